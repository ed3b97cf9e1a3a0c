//! A container's own writable directory: the upper and work directories of its overlay.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use archive::walk::{Descend, walk};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Uid};
use rustix::io::Errno;

use crate::settings::Settings;

/// Name of the upper directory in a container's directory.
pub const UPPER: &str = "upper";
/// Name of overlayfs' work directory, beside it.
pub const WORK: &str = "work";
/// Mode of `/` in a container; Docker's.
const ROOT_MODE: u32 = 0o755;

/// Makes `upper` and `work` in the container's directory. Again is fine.
pub fn prepare(container: &Path, settings: &Settings) -> io::Result<()> {
    let dir = linux::fs::open_dir(container)?;
    for (name, mode) in [(UPPER, ROOT_MODE), (WORK, 0o700)] {
        match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(mode)) {
            Err(error) if error != Errno::EXIST => return Err(error.into()),
            _ => {}
        }
        // The daemon's umask and a setgid parent must not show in the container.
        let shift = settings.id_shift;
        let (uid, gid) = (Uid::from_raw(shift), Gid::from_raw(shift));
        rustix::fs::chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::chmodat(&dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    Ok(())
}

/// Removes `upper` and `work` from the container's directory. Absent is done; nothing must be mounted on them.
pub fn remove(container: &Path) -> io::Result<()> {
    let dir = match linux::fs::open_dir(container) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        dir => dir?,
    };
    for name in [UPPER, WORK] {
        linux::fs::remove_tree(dir.as_fd(), OsStr::new(name))?;
    }
    Ok(())
}

/// Bytes that a container's own files take: `SizeRw`.
pub fn size(upper: &Path) -> io::Result<u64> {
    tree_size(linux::fs::open_dir(upper)?.as_fd())
}

/// Bytes of file contents and link targets below `root`; each file once, however many names it has.
pub(crate) fn tree_size(root: BorrowedFd<'_>) -> io::Result<u64> {
    let mut size: u64 = 0;
    let mut seen = HashSet::new();
    walk(root, &mut |item| {
        let counted = !item.is_dir() && (item.stat.st_nlink < 2 || seen.insert(item.stat.st_ino));
        if counted {
            size = size.saturating_add(u64::try_from(item.stat.st_size).unwrap_or(0));
        }
        Ok(Descend::Yes)
    })?;
    Ok(size)
}

/// Whether it is overlayfs' mark that a name is gone.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}
