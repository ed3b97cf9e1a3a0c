//! The socket pair between a runtime and the process that it is setting up.
//!
//! ```text
//! new process                     runtime
//!             ◀── Go ────────────  id mappings are written (user namespaces; processes made in two steps)
//!  Hooks ────────────────────────▶
//!             ◀── Go ────────────  the runtime's hooks have run
//!  Pid n ────────────────────────▶ sent by the transient process of a two-step start
//!  Ready (+ terminal master) ────▶
//!             ◀── Start ─────────
//!  Error e, or end of file: the program runs
//! ```
//!
//! **Invariant:** both ends are close-on-exec and nobody else holds the new process's end, so end of file on the
//! runtime's end means that `execve` succeeded or the process is gone.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::error::StartError;

/// Largest message.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024;

/// What the new process says.
#[derive(Debug)]
pub(crate) enum Report {
    /// A transient process has made the real one: its pid as the runtime sees it.
    Pid(i32),
    /// Mounts are done; now the runtime's hooks.
    Hooks,
    /// All is set up up to the program; with the master of its terminal.
    Ready(Option<OwnedFd>),
    /// It failed; the process ends.
    Failed(StartError),
    /// The other end is closed.
    Closed,
}

/// What the runtime says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Go on.
    Go = b'G' as isize,
    /// Run the program.
    Start = b'S' as isize,
}

/// Two connected ends: the runtime's and the new process's.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let ends =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    Ok(ends)
}

/// Sends a command; `EPIPE` when the process is gone.
pub(crate) fn command(socket: impl AsFd, command: Command) -> io::Result<()> {
    rustix::net::send(socket, &[command as u8], SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a given command. `ECONNRESET`: the runtime is gone, or talks nonsense.
pub(crate) fn await_command(socket: impl AsFd, expected: Command) -> io::Result<()> {
    let mut byte = [0_u8];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&socket, &mut byte))?;
    if length == 1 && byte[0] == expected as u8 { Ok(()) } else { Err(Errno::CONNRESET.into()) }
}

/// Reports to the runtime.
///
/// A plain `write` unless a descriptor goes along: filters that forbid `sendmsg` leave `write` alone.
pub(crate) fn report(socket: impl AsFd, report: &Report) -> io::Result<()> {
    let mut bytes = Vec::new();
    match report {
        Report::Pid(pid) => {
            bytes.push(b'P');
            bytes.extend(pid.to_le_bytes());
        }
        Report::Hooks => bytes.push(b'H'),
        Report::Ready(None) => bytes.push(b'R'),
        Report::Ready(Some(fd)) => return send_fd(socket.as_fd(), b'R', fd.as_fd()),
        Report::Failed(error) => {
            bytes.push(b'E');
            bytes.extend(error.encode());
        }
        Report::Closed => return Ok(()),
    }
    rustix::io::retry_on_intr(|| rustix::io::write(&socket, &bytes))?;
    Ok(())
}

fn send_fd(socket: BorrowedFd<'_>, tag: u8, fd: BorrowedFd<'_>) -> io::Result<()> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(&[tag])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for the next report.
pub(crate) fn next_report(socket: impl AsFd) -> io::Result<Report> {
    let mut bytes = [0_u8; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(&socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received.bytes,
            Err(Errno::INTR) => {}
            // The process died with something of ours unread.
            Err(Errno::CONNRESET) => break 0,
            Err(error) => return Err(error.into()),
        }
    };
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let report = match bytes[..length].split_first() {
        None => Some(Report::Closed),
        Some((b'H', _)) => Some(Report::Hooks),
        Some((b'R', _)) => Some(Report::Ready(fd)),
        Some((b'P', pid)) => pid.try_into().ok().map(|pid| Report::Pid(i32::from_le_bytes(pid))),
        Some((b'E', error)) => StartError::decode(error).map(Report::Failed),
        Some(_) => None,
    };
    report.ok_or_else(|| Errno::PROTO.into())
}
