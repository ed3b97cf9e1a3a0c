//! Paths inside a container's root, from outside: nothing here ever leaves it.
//!
//! **Invariant:** every path is resolved from the root's own descriptor, either by the kernel with
//! `RESOLVE_IN_ROOT` or, where something has to be made on the way, one component at a time with `O_NOFOLLOW`.
//! What comes back is a descriptor: nobody resolves the same path again later and finds another file.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// Links followed before giving up, as many as the kernel follows.
const MAX_LINKS: usize = 40;

/// What to make when a path is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// A directory.
    Directory,
    /// An empty file, in directories.
    File,
}

/// Opens `path` (`O_PATH`) as a process in the container would, links of /proc excepted.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    linux::fs::open_in_root(root, path, OFlags::PATH, Mode::empty())
}

/// Opens the directory `path`, none of whose components may be a symbolic link: for /proc, /sys and /dev, which
/// an image that made links of them would redirect.
pub(crate) fn open_plain_directory(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    linux::fs::open_beneath_no_symlinks(root, relative, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

/// Opens `path`, making it and the directories that lead to it when they are missing.
///
/// Links on the way are followed inside the root, also those that point to something missing: an image may have
/// `/var/run -> /run` and no `/run`.
pub fn open_or_make(root: BorrowedFd<'_>, path: &Path, make: Make) -> io::Result<OwnedFd> {
    match open(root, path) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Walk::new(root, path)?.run(make),
        result => result,
    }
}

/// A path walk that makes what is missing.
struct Walk {
    /// From the root down to where the walk stands; `..` pops, and stops at the root.
    stack: Vec<OwnedFd>,
    rest: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn new(root: BorrowedFd<'_>, path: &Path) -> io::Result<Self> {
        Ok(Self { stack: vec![root.try_clone_to_owned()?], rest: components(path), links: 0 })
    }

    fn run(mut self, make: Make) -> io::Result<OwnedFd> {
        while let Some(name) = self.rest.pop_front() {
            if name == ".." {
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                continue;
            }
            let next = self.step(&name, make)?;
            if FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) == FileType::Symlink {
                self.follow(&next)?;
            } else {
                self.stack.push(next);
            }
        }
        self.stack.pop().ok_or_else(|| Errno::INVAL.into())
    }

    fn step(&self, name: &OsStr, make: Make) -> io::Result<OwnedFd> {
        let here = self.stack.last().ok_or(Errno::INVAL)?.as_fd();
        let look = || {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(here, name, flags, Mode::empty())
        };
        match look() {
            Err(Errno::NOENT) => {}
            result => return Ok(result?),
        }
        let made = if self.rest.is_empty() && make == Make::File {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
            rustix::fs::openat(here, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        } else {
            rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o755))
        };
        match made {
            // Somebody else was faster: what is there now is looked at, not trusted.
            Ok(()) | Err(Errno::EXIST) => Ok(look()?),
            Err(error) => Err(error.into()),
        }
    }

    fn follow(&mut self, link: &OwnedFd) -> io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(link, "", Vec::new())?;
        let target = OsString::from_vec(target.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            self.stack.truncate(1);
        }
        for name in components(Path::new(&target)).into_iter().rev() {
            self.rest.push_front(name);
        }
        Ok(())
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    use super::*;

    /// A root with a canary beside it that nothing may touch.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let base = std::env::temp_dir().join(format!("corten-beneath-{name}-{}", std::process::id()));
            fs::create_dir_all(base.join("root")).unwrap();
            fs::create_dir_all(base.join("canary")).unwrap();
            Self(base)
        }
        fn make(&self, path: &str, make: Make) -> io::Result<OwnedFd> {
            let root = linux::fs::open_dir(&self.0.join("root")).unwrap();
            open_or_make(root.as_fd(), Path::new(path), make)
        }
        fn is(&self, fd: &OwnedFd, path: &str) -> bool {
            let (a, b) = (rustix::fs::fstat(fd).unwrap(), fs::metadata(self.0.join(path)).unwrap());
            (a.st_dev, a.st_ino) == (b.dev(), b.ino())
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            assert_eq!(fs::read_dir(self.0.join("canary")).unwrap().count(), 0, "the canary was touched");
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn missing_paths_are_made() {
        let tree = Tree::new("made");
        let dir = tree.make("/a/b/c", Make::Directory).unwrap();
        assert!(tree.is(&dir, "root/a/b/c"));
        let file = tree.make("a/file", Make::File).unwrap();
        assert!(tree.is(&file, "root/a/file"));
        assert!(fs::metadata(tree.0.join("root/a/file")).unwrap().is_file());
    }

    #[test]
    fn links_stay_inside() {
        let tree = Tree::new("links");
        let canary = tree.0.join("canary");
        symlink(&canary, tree.0.join("root/absolute")).unwrap();
        symlink("../../../../../..", tree.0.join("root/up")).unwrap();
        symlink("/run", tree.0.join("root/dangling")).unwrap();
        let absolute = tree.make("/absolute/x", Make::Directory).unwrap();
        assert!(tree.is(&absolute, &format!("root{}/x", canary.display())));
        let up = tree.make("/up/x", Make::Directory).unwrap();
        assert!(tree.is(&up, "root/x"));
        let dangling = tree.make("/dangling/lock/x", Make::Directory).unwrap();
        assert!(tree.is(&dangling, "root/run/lock/x"));
        let dots = tree.make("/../../../y", Make::Directory).unwrap();
        assert!(tree.is(&dots, "root/y"));
    }

    #[test]
    fn loops_end() {
        let tree = Tree::new("loops");
        symlink("b", tree.0.join("root/a")).unwrap();
        symlink("a", tree.0.join("root/b")).unwrap();
        assert_eq!(tree.make("/a/x", Make::Directory).unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_file_in_the_way_is_no_directory() {
        let tree = Tree::new("file");
        fs::File::create(tree.0.join("root/file")).unwrap();
        let error = tree.make("/file/x", Make::Directory).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
    }

    #[test]
    fn special_directories_must_be_plain() {
        let tree = Tree::new("plain");
        symlink("/etc", tree.0.join("root/proc")).unwrap();
        let root = linux::fs::open_dir(&tree.0.join("root")).unwrap();
        let error = open_plain_directory(root.as_fd(), Path::new("/proc")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }
}
