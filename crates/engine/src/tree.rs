//! A container's file system from outside, and paths in it.
//!
//! **Invariant:** a path is resolved one name at a time, each opened in the directory before it without following
//! links, and a link's text is followed here. So nothing leads out of the root, whoever changes links meanwhile: what
//! was looked at is what is used.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags};
use rustix::io::Errno;

/// Links followed before giving up; Docker's number.
const MAX_LINKS: usize = 255;
/// What the runtime mounts in every container. None of it is part of the container's files: as in Docker, its top
/// directories look empty.
const OF_THE_KERNEL: [&str; 6] = ["proc", "sys", "dev", "dev/pts", "dev/shm", "dev/mqueue"];

/// A container's file system.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Arc<OwnedFd>,
    /// Mounts that look empty.
    hidden: Vec<u64>,
}

/// A file that a path led to.
#[derive(Debug)]
pub(crate) struct Place {
    /// Absolute path without links and dots.
    pub(crate) path: Vec<u8>,
    /// The directory it is in; for the root, and after a path that ends in dots, the directory itself.
    pub(crate) dir: OwnedFd,
    /// Its name there; `.` for the directory itself.
    pub(crate) name: OsString,
    /// What it is.
    pub(crate) stat: Stat,
}

impl Place {
    /// Its type.
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Opens it, a directory.
    pub(crate) fn open_dir(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?)
    }
}

/// Whether a link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

impl Tree {
    /// A file system without the runtime's mounts: all of it is shown.
    pub(crate) fn plain(root: Arc<OwnedFd>) -> Self {
        Self { root, hidden: Vec::new() }
    }

    /// The root of a container that runs.
    pub(crate) fn of_running(root: OwnedFd) -> io::Result<Self> {
        let own = mount_of(root.as_fd(), OsStr::new("."))?;
        let mut hidden = Vec::new();
        for path in OF_THE_KERNEL {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let opened =
                linux::fs::open_beneath_no_symlinks(root.as_fd(), Path::new(path), flags, Mode::empty());
            if let Ok(opened) = opened {
                hidden.push(mount_of(opened.as_fd(), OsStr::new(""))?);
            }
        }
        hidden.retain(|mount| *mount != own);
        Ok(Self { root: Arc::new(root), hidden })
    }

    /// The root directory.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether the file `name` in `dir` is on a mount that looks empty.
    pub(crate) fn hides(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
        Ok(!self.hidden.is_empty() && self.hidden.contains(&mount_of(dir, name)?))
    }

    /// Finds the file at `path`, which is taken from the root whether or not it begins with a slash. A path that ends
    /// in `/` or `/.` names a directory and follows a link there.
    pub(crate) fn find(&self, path: &str, last: Last) -> Result<Place, Errno> {
        let last = if is_directory_path(path) { Last::Follow } else { last };
        let mut walk = Walk::new(self, path)?;
        let place = walk.run(last)?;
        if is_directory_path(path) && place.kind() != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        Ok(place)
    }

    /// Where `path` leads with all links followed, whether or not something is there. `ELOOP` for too many links.
    pub(crate) fn evaluate(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let mut walk = Walk::new(self, path)?;
        match walk.run(Last::Follow) {
            Ok(place) => Ok(place.path),
            Err(Errno::LOOP) => Err(Errno::LOOP),
            Err(_) => Ok(walk.rest_as_text()),
        }
    }
}

/// Whether a path says that it names a directory.
pub(crate) fn is_directory_path(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.") || path == "."
}

/// The mount that a file is on; of the directory itself when `name` is empty.
fn mount_of(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<u64> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    Ok(rustix::fs::statx(dir, name, flags, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// A path being resolved.
struct Walk<'a> {
    tree: &'a Tree,
    /// Where the walk stands.
    dir: OwnedFd,
    /// Names that led there from the root; no links, no dots.
    names: Vec<OsString>,
    rest: VecDeque<OsString>,
    links: usize,
}

impl<'a> Walk<'a> {
    fn new(tree: &'a Tree, path: &str) -> Result<Self, Errno> {
        let dir = tree.reopen(&[])?;
        Ok(Self { tree, dir, names: Vec::new(), rest: parts(path.as_bytes()), links: 0 })
    }

    fn run(&mut self, last: Last) -> Result<Place, Errno> {
        while let Some(name) = self.rest.front().cloned() {
            if name == ".." {
                self.rest.pop_front();
                self.names.pop();
                self.dir = self.tree.reopen(&self.names)?;
                continue;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let here = self.dir.as_fd();
            if self.tree.hides(here, OsStr::new("")).map_err(errno)? {
                return Err(Errno::NOENT);
            }
            let next = rustix::fs::openat(here, &name, flags, Mode::empty())?;
            let stat = rustix::fs::fstat(&next)?;
            self.rest.pop_front();
            let at_end = self.rest.is_empty();
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink if !at_end || last == Last::Follow => self.follow(&next)?,
                _ if at_end => {
                    let mut path = self.path();
                    path.push(b'/');
                    path.extend_from_slice(name.as_bytes());
                    return Ok(Place { path, dir: self.dir.try_clone().map_err(errno)?, name, stat });
                }
                FileType::Directory => {
                    self.dir = next;
                    self.names.push(name);
                }
                _ => {
                    self.rest.push_front(name);
                    return Err(Errno::NOTDIR);
                }
            }
        }
        let stat = rustix::fs::fstat(&self.dir)?;
        let path = if self.names.is_empty() { b"/".to_vec() } else { self.path() };
        Ok(Place { path, dir: self.dir.try_clone().map_err(errno)?, name: ".".into(), stat })
    }

    fn follow(&mut self, link: &OwnedFd) -> Result<(), Errno> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        let target = rustix::fs::readlinkat(link, "", Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            self.names.clear();
            self.dir = self.tree.reopen(&[])?;
        }
        for name in parts(&target).into_iter().rev() {
            self.rest.push_front(name);
        }
        Ok(())
    }

    fn path(&self) -> Vec<u8> {
        self.names.iter().flat_map(|name| [b"/", name.as_bytes()].concat()).collect()
    }

    /// After a failure: where the walk stands, and the names that are left, taken as they are.
    fn rest_as_text(&mut self) -> Vec<u8> {
        for name in std::mem::take(&mut self.rest) {
            if name == ".." {
                self.names.pop();
            } else {
                self.names.push(name);
            }
        }
        if self.names.is_empty() { b"/".to_vec() } else { self.path() }
    }
}

impl Tree {
    /// Opens a directory again by the names that led to it; `ELOOP` when one is a link by now.
    fn reopen(&self, names: &[OsString]) -> Result<OwnedFd, Errno> {
        let path: std::path::PathBuf = names.iter().collect();
        let path = if names.is_empty() { Path::new(".") } else { path.as_path() };
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        linux::fs::open_beneath_no_symlinks(self.root(), path, flags, Mode::empty()).map_err(errno)
    }
}

/// Names of a path, dots left out.
fn parts(path: &[u8]) -> VecDeque<OsString> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(|part| OsString::from_vec(part.to_vec()))
        .collect()
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// A root beside a secret.
    struct TempTree(PathBuf);

    impl TempTree {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("corten-tree-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("root/o/s")).unwrap();
            fs::create_dir_all(path.join("secret")).unwrap();
            let root = path.join("root");
            linux::fs::replace(&root.join("o/f"), b"out").unwrap();
            for (link, target) in [
                ("o/l", "f"),
                ("odir", "/o"),
                ("abs", "/o/f"),
                ("dangling", "/nowhere/../gone"),
                ("loop", "/loop"),
                ("up", "../../../../secret"),
                ("up2", "o/../../../o"),
            ] {
                symlink(target, root.join(link)).unwrap();
            }
            Self(path)
        }
    }

    impl Drop for TempTree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn short(error: Errno) -> &'static str {
        match error {
            Errno::NOTDIR => "NOTDIR",
            Errno::NOENT => "NOENT",
            Errno::LOOP => "LOOP",
            _ => "another error",
        }
    }

    #[test]
    fn paths_are_resolved_as_in_the_container() {
        let temp = TempTree::new();
        let tree = Tree::plain(Arc::new(linux::fs::open_dir(&temp.0.join("root")).unwrap()));
        let find = |path: &str, last| match tree.find(path, last) {
            Ok(place) => String::from_utf8_lossy(&place.path).into_owned(),
            Err(error) => short(error).to_owned(),
        };
        for (path, kept, followed, evaluated) in [
            ("/", "/", "/", "/"),
            ("o", "/o", "/o", "/o"),
            ("/o/.", "/o", "/o", "/o"),
            ("/o/../../o/f", "/o/f", "/o/f", "/o/f"),
            ("/o/f/", "NOTDIR", "NOTDIR", "/o/f"),
            ("/o/f/x", "NOTDIR", "NOTDIR", "/o/f/x"),
            ("/o/l", "/o/l", "/o/f", "/o/f"),
            ("/o/l/", "NOTDIR", "NOTDIR", "/o/f"),
            ("/odir", "/odir", "/o", "/o"),
            ("/odir/", "/o", "/o", "/o"),
            ("/odir/s", "/o/s", "/o/s", "/o/s"),
            ("/odir/..", "/", "/", "/"),
            ("/abs", "/abs", "/o/f", "/o/f"),
            ("/dangling", "/dangling", "NOENT", "/gone"),
            ("/loop", "/loop", "LOOP", "LOOP"),
            ("/up", "/up", "NOENT", "/secret"),
            ("/up2", "/up2", "/o", "/o"),
            ("/none/x", "NOENT", "NOENT", "/none/x"),
        ] {
            assert_eq!(find(path, Last::Keep), kept, "{path}");
            assert_eq!(find(path, Last::Follow), followed, "{path}, followed");
            let evaluation = match tree.evaluate(path) {
                Ok(path) => String::from_utf8_lossy(&path).into_owned(),
                Err(error) => short(error).to_owned(),
            };
            assert_eq!(evaluation, evaluated, "{path}, evaluated");
        }
    }
}
