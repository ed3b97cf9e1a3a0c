//! Directories that entries are made in, kept open.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use linux::fs::open_in_root;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

/// Directories kept open. Archives list a directory's entries together, so few are enough.
const KEPT: usize = 64;
/// Mode of directories that the archive implies but does not list; Docker's.
const IMPLIED_MODE: u32 = 0o755;

/// Opens parents by path with the layer's root as `/`, and remembers them.
pub(super) struct Parents<'a> {
    root: BorrowedFd<'a>,
    owner: u32,
    /// Where the root itself is.
    prefix: Vec<u8>,
    open: HashMap<Vec<u8>, Rc<Parent>>,
}

/// An open directory.
pub(super) struct Parent {
    pub(super) fd: OwnedFd,
    /// Its path below the root with no symbolic link in it, which the asked path may have had.
    pub(super) real: Vec<u8>,
}

impl<'a> Parents<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, owner: u32) -> io::Result<Self> {
        Ok(Self { root, owner, prefix: path_of(root)?, open: HashMap::new() })
    }

    /// The directory at `path`, made with its own parents if it is missing.
    pub(super) fn get(&mut self, path: &[u8]) -> io::Result<Rc<Parent>> {
        if let Some(dir) = self.open.get(path) {
            return Ok(Rc::clone(dir));
        }
        let dir = match self.open_dir(path) {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => self.make(path)?,
            outcome => outcome?,
        };
        self.keep(path, dir)
    }

    /// The directory at `path`, which must be there.
    pub(super) fn existing(&mut self, path: &[u8]) -> io::Result<Rc<Parent>> {
        match self.open.get(path) {
            Some(dir) => Ok(Rc::clone(dir)),
            None => {
                let dir = self.open_dir(path)?;
                self.keep(path, dir)
            }
        }
    }

    /// Something that paths may lead through was replaced: open everything anew.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    fn keep(&mut self, path: &[u8], fd: OwnedFd) -> io::Result<Rc<Parent>> {
        if self.open.len() >= KEPT {
            self.open.clear();
        }
        let real = path_of(fd.as_fd())?;
        let real = real.strip_prefix(self.prefix.as_slice()).unwrap_or(&real);
        let parent = Rc::new(Parent { fd, real: real.strip_prefix(b"/").unwrap_or(real).to_vec() });
        self.open.insert(path.to_vec(), Rc::clone(&parent));
        Ok(parent)
    }

    fn open_dir(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path: &Path = if path.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(path)) };
        open_in_root(self.root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    fn make(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut dir = self.open_dir(b"")?;
        let mut end = 0;
        for part in path.split(|&b| b == b'/') {
            end += part.len() + usize::from(end > 0);
            match self.open_dir(&path[..end]) {
                Ok(next) => dir = next,
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                    dir = self.make_one(dir.as_fd(), part)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(dir)
    }

    fn make_one(&self, parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
        let name = OsStr::from_bytes(name);
        // A dangling link is there and not there: EEXIST, and the archive is refused, as by Docker.
        rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        rustix::fs::fchown(&dir, Some(Uid::from_raw(self.owner)), Some(Gid::from_raw(self.owner)))?;
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(IMPLIED_MODE))?;
        Ok(dir)
    }
}

fn path_of(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::readlink(link, Vec::new())?.into_bytes())
}
