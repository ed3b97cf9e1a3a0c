//! A copy of what a process has mounted in a mount namespace of its own, for containers that share `/dev/shm`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::clone::{CloneArgs, spawn};
use linux::mount::clone_tree;
use linux::socket::{packet_pair, receive_packet, send_packet};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, WaitId, WaitIdOptions, waitid};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::{beneath, identity};

/// `TMPFS_MAGIC`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// A detached copy of the tmpfs that the process of `pidfd` has mounted at `path`.
///
/// The kernel copies mounts of one's own namespace only, so a transient child enters that one and hands the copy out.
/// What the process put in the way of the path is not followed: it could lead it to the host's files. The caller must
/// be single-threaded, see [`linux::clone`].
pub fn copy_tmpfs(pidfd: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let (ours, theirs) = packet_pair()?;
    let child = spawn(&CloneArgs::default(), |forked| {
        // Errors travel as exit codes, which hold every error number that there is.
        let code = |error: io::Error| error.raw_os_error().unwrap_or(libc::EIO);
        let sent = forked
            .close_all_except(3, &[pidfd, theirs.as_fd()])
            .and_then(|()| enter_and_copy(pidfd, path))
            .and_then(|tree| send_packet(theirs.as_fd(), b"t", &[tree.as_fd()]));
        sent.err().map_or(0, code)
    })?;
    drop(theirs);
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    match status.and_then(|status| status.exit_status()) {
        Some(0) => {}
        Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
        None => return Err(io::Error::other("the process that copies the mount was killed")),
    }
    let received = receive_packet(ours.as_fd(), &mut [0; 1])?;
    received.and_then(|(_, fds)| fds.into_iter().next()).ok_or_else(|| Errno::PROTO.into())
}

fn enter_and_copy(pidfd: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    // Before there is anybody who could look into this process.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    move_into_thread_name_spaces(pidfd, ThreadNameSpaceType::MOUNT)?;
    let directory = beneath::open_plain_directory(identity::own_root()?.as_fd(), path)?;
    if rustix::fs::fstatfs(&directory)?.f_type != TMPFS_MAGIC {
        return Err(Errno::NODEV.into());
    }
    clone_tree(&directory, "", false)
}
