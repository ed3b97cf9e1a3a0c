//! A container's own writable directory: the upper and work directories of its overlay.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
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
        Ok(())
    })?;
    Ok(size)
}

/// Something found by [`walk`].
pub(crate) struct Item<'a> {
    /// Path below the walked directory.
    pub(crate) path: &'a [u8],
    /// The directory it is in.
    pub(crate) dir: BorrowedFd<'a>,
    /// Its name there.
    pub(crate) name: &'a OsStr,
    /// What it is.
    pub(crate) stat: &'a Stat,
}

impl Item<'_> {
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }
}

/// Whether it is overlayfs' mark that a name is gone.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// A directory being walked: what is left in it, last first.
struct Level {
    dir: OwnedFd,
    names: Vec<OsString>,
    path_length: usize,
}

/// Visits everything below `root` in the order of sorted names, a directory before what is in it. Follows no link.
/// What vanishes meanwhile is left out.
pub(crate) fn walk(
    root: BorrowedFd<'_>,
    visit: &mut dyn FnMut(Item<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut path: Vec<u8> = Vec::new();
    let top = rustix::fs::openat(root, ".", flags, Mode::empty())?;
    let mut levels = vec![Level { names: sorted_names(top.as_fd())?, dir: top, path_length: 0 }];
    while let Some(level) = levels.last_mut() {
        path.truncate(level.path_length);
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
        // As deep as a path can name; each level costs an fd.
        if path.len() >= 4096 {
            return Err(Errno::NAMETOOLONG.into());
        }
        let stat = match rustix::fs::statat(&level.dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        visit(Item { path: &path, dir: level.dir.as_fd(), name: &name, stat: &stat })?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            match rustix::fs::openat(&level.dir, &name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {}
                dir => {
                    let dir = dir?;
                    let names = sorted_names(dir.as_fd())?;
                    levels.push(Level { names, dir, path_length: path.len() });
                }
            }
        }
    }
    Ok(())
}

fn sorted_names(dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut names: Vec<OsString> = linux::fs::entries(dir)?.into_iter().map(|entry| entry.name).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}
