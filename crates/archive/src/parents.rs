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

use crate::path::EntryPath;

/// Directories kept open. Archives list a directory's entries together, so few are enough.
const KEPT: usize = 64;
/// Dangling links followed to make one directory.
const LINKS_MAX: usize = 16;
/// Mode of directories that the archive implies but does not list; Docker's.
const IMPLIED_MODE: u32 = 0o755;

/// Opens parents by path with a directory as `/`, and remembers them.
#[derive(Debug)]
pub struct Parents<'a> {
    root: BorrowedFd<'a>,
    owner: Option<u32>,
    /// Where the root itself is.
    prefix: Vec<u8>,
    open: HashMap<Vec<u8>, Rc<Parent>>,
}

/// An open directory.
#[derive(Debug)]
pub struct Parent {
    /// The directory.
    pub fd: OwnedFd,
    /// Its path below the root with no symbolic link in it, which the asked path may have had.
    pub real: Vec<u8>,
}

impl<'a> Parents<'a> {
    /// Of directories below `root`. Those that are made get `owner` as user and group; without one they belong to
    /// whoever makes them.
    pub fn new(root: BorrowedFd<'a>, owner: Option<u32>) -> io::Result<Self> {
        Ok(Self { root, owner, prefix: path_of(root)?, open: HashMap::new() })
    }

    /// The directory at `path`, made with its own parents if it is missing.
    pub fn get(&mut self, path: &[u8]) -> io::Result<Rc<Parent>> {
        if let Some(dir) = self.open.get(path) {
            return Ok(Rc::clone(dir));
        }
        let dir = match self.open_dir(path) {
            Err(error) if is(&error, Errno::NOENT) => self.make(path, LINKS_MAX)?,
            outcome => outcome?,
        };
        self.keep(path, dir)
    }

    /// The directory at `path`, which must be there.
    pub fn existing(&mut self, path: &[u8]) -> io::Result<Rc<Parent>> {
        match self.open.get(path) {
            Some(dir) => Ok(Rc::clone(dir)),
            None => {
                let dir = self.open_dir(path)?;
                self.keep(path, dir)
            }
        }
    }

    /// Something that paths may lead through was replaced: open everything anew.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    fn keep(&mut self, path: &[u8], fd: OwnedFd) -> io::Result<Rc<Parent>> {
        if self.open.len() >= KEPT {
            self.open.clear();
        }
        let parent = Rc::new(Parent { real: self.below_root(fd.as_fd())?, fd });
        self.open.insert(path.to_vec(), Rc::clone(&parent));
        Ok(parent)
    }

    fn open_dir(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let path: &Path = if path.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(path)) };
        open_in_root(self.root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    fn make(&self, path: &[u8], links: usize) -> io::Result<OwnedFd> {
        let mut dir = self.open_dir(b"")?;
        let mut end = 0;
        for part in path.split(|&b| b == b'/') {
            end += part.len() + usize::from(end > 0);
            dir = match self.open_dir(&path[..end]) {
                Err(error) if is(&error, Errno::NOENT) => self.make_one(&dir, part, links)?,
                next => next?,
            };
        }
        Ok(dir)
    }

    fn make_one(&self, parent: &OwnedFd, name: &[u8], links: usize) -> io::Result<OwnedFd> {
        let name = OsStr::from_bytes(name);
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            // A link whose target the archive has not made yet (`var/run -> /run`): make the target.
            Err(Errno::EXIST) if links > 0 => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes();
                let target = EntryPath::linked(&self.below_root(parent.as_fd())?, &target);
                return self.make(target.bytes(), links - 1);
            }
            made => made?,
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        if let Some(owner) = self.owner {
            rustix::fs::fchown(&dir, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
        }
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(IMPLIED_MODE))?;
        Ok(dir)
    }

    fn below_root(&self, fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
        let path = path_of(fd)?;
        let path = path.strip_prefix(self.prefix.as_slice()).unwrap_or(&path);
        Ok(path.strip_prefix(b"/").unwrap_or(path).to_vec())
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn path_of(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::readlink(link, Vec::new())?.into_bytes())
}
