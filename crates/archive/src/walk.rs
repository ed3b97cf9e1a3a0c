//! Everything below a directory, in the order of sorted names.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Something found by [`walk`].
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// Path below the walked directory.
    pub path: &'a [u8],
    /// The directory it is in.
    pub dir: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a OsStr,
    /// What it is.
    pub stat: &'a Stat,
}

impl Item<'_> {
    /// Its type.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }
}

/// Whether a walk goes on into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descend {
    /// It does.
    Yes,
    /// It leaves out what is in it.
    No,
}

/// A directory being walked: what is left in it, last first.
struct Level {
    dir: OwnedFd,
    names: Vec<OsString>,
    path_length: usize,
}

/// Visits everything below `root`, a directory before what is in it. Follows no link. What vanishes meanwhile, or
/// is no directory any more when it is entered, is left out.
pub fn walk(root: BorrowedFd<'_>, visit: &mut dyn FnMut(Item<'_>) -> io::Result<Descend>) -> io::Result<()> {
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
        let item = Item { path: &path, dir: level.dir.as_fd(), name: &name, stat: &stat };
        if visit(item)? == Descend::Yes && item.is_dir() {
            match rustix::fs::openat(&level.dir, &name, flags, Mode::empty()) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
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
