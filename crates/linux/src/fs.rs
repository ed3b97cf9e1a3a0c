//! Files: paths resolved beneath a directory, extended attributes, atomic replacement, safe removal of trees.
//!
//! Everything here that takes a path from an image or a container takes a directory fd with it and lets the kernel
//! do the resolving, so that no `..` and no symbolic link leads out, whoever changes the tree meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;

/// Opens `path` as a process whose root directory is `root` would: absolute symbolic links and `..` stop there.
///
/// `openat2(2)` with `RESOLVE_IN_ROOT`, Linux 5.6. Links of `/proc` (`/proc/PID/fd/N`) are refused with `ELOOP`.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    openat2(root, path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` below `dir`; anything that leads out (`..`, an absolute link) is refused with `EXDEV`.
///
/// `openat2(2)` with `RESOLVE_BENEATH`, Linux 5.6.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    openat2(dir, path, flags, mode, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` below `dir` and follows no symbolic link at all (`ELOOP`).
pub fn open_beneath_no_symlinks(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    openat2(dir, path, flags, mode, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

fn openat2(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    // The kernel answers EAGAIN when a rename anywhere on the machine raced with `..`; a later try succeeds.
    for _ in 0..128 {
        match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens a directory for use as the `dir` or `root` of the other functions.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Replaces the file at `path` so that a reader, a crash or a power cut sees the old bytes or the new, nothing else:
/// temporary file, fsync, rename, fsync of the directory.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let dir = open_dir(parent)?;
    let temporary = temporary_name(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&dir, &temporary, flags, Mode::from_raw_mode(0o644))?);
    let written = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(&dir, &temporary, &dir, name)?));
    if let Err(error) = written {
        // The target is untouched; a temporary that cannot be removed either is only litter.
        let _ = rustix::fs::unlinkat(&dir, &temporary, AtFlags::empty());
        return Err(error);
    }
    Ok(rustix::fs::fsync(&dir)?)
}

/// A name that no other thread or process uses at the same time, beside `name`.
fn temporary_name(name: &OsStr) -> OsString {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".tmp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    temporary
}

/// The path by which calls without an `…at` form reach `name` in `dir`: `/proc/self/fd/N/name`.
///
/// `name` must be a single component, else a link could lead elsewhere.
pub fn path_at(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    path.push(name);
    path
}

/// Sets an extended attribute of `name` in `dir`, of a symbolic link itself.
pub fn set_xattr(dir: BorrowedFd<'_>, name: &OsStr, key: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::lsetxattr(path_at(dir, name), key, value, XattrFlags::empty())?)
}

/// The value of an extended attribute of `name` in `dir`, or `None` if it has none of that name.
pub fn xattr(dir: BorrowedFd<'_>, name: &OsStr, key: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let path = path_at(dir, name);
    read_growing(|buffer| rustix::fs::lgetxattr(&path, key, buffer))
}

/// All extended attributes of `name` in `dir`, sorted by name.
pub fn xattrs(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let path = path_at(dir, name);
    let list = read_growing(|buffer| rustix::fs::llistxattr(&path, buffer))?.unwrap_or_default();
    let mut attributes = Vec::new();
    for key in list.split(|&b| b == 0).filter(|key| !key.is_empty()) {
        let key = OsStr::from_bytes(key);
        // One that vanished since the list was made is not an attribute any more.
        if let Some(value) = read_growing(|buffer| rustix::fs::lgetxattr(&path, key, buffer))? {
            attributes.push((key.to_owned(), value));
        }
    }
    attributes.sort();
    Ok(attributes)
}

/// Reads a value whose length is not known beforehand; no such attribute, or a file system without any, is `None`.
fn read_growing(mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(Some(buffer));
            }
            // 64 KiB is the kernel's limit for a value and for a list.
            Err(Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(buffer.len() * 4, 0),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes `name` in `dir` with everything below it; absent is done.
///
/// Follows no link, needs two fds and constant stack at any depth (a container can make a tree a million deep): a
/// directory that is not empty is first moved up beside the others, never descended into.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    empty_tree(root.as_fd())?;
    Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

/// Removes everything below `root`, which stays.
pub fn empty_tree(root: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut moved = 0u64;
    loop {
        let mut again = false;
        for entry in entries(root)? {
            match remove_shallow(root, &entry)? {
                Removed::Yes => {}
                Removed::NotEmpty => {
                    again = true;
                    let child = rustix::fs::openat(root, &entry.name, flags, Mode::empty())?;
                    flatten(child.as_fd(), root, &mut moved)?;
                }
            }
        }
        if !again {
            return Ok(());
        }
    }
}

/// Removes what can be removed in `child` and moves its non-empty directories up into `root`.
fn flatten(child: BorrowedFd<'_>, root: BorrowedFd<'_>, moved: &mut u64) -> io::Result<()> {
    for entry in entries(child)? {
        if let Removed::NotEmpty = remove_shallow(child, &entry)? {
            loop {
                let target = format!(".removing-{moved}");
                *moved += 1;
                match rustix::fs::renameat_with(
                    child,
                    &entry.name,
                    root,
                    &target,
                    rustix::fs::RenameFlags::NOREPLACE,
                ) {
                    Ok(()) => break,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(())
}

enum Removed {
    Yes,
    NotEmpty,
}

fn remove_shallow(dir: BorrowedFd<'_>, entry: &Entry) -> io::Result<Removed> {
    let flags = if entry.is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match rustix::fs::unlinkat(dir, &entry.name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(Removed::Yes),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Removed::NotEmpty),
        Err(error) => Err(error.into()),
    }
}

/// One name in a directory.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// The names in `dir`, without `.` and `..`, in the file system's order.
pub fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let name = OsStr::from_bytes(name).to_owned();
        let is_dir = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            _ => false,
        };
        found.push(Entry { name, is_dir });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("corten-fs-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn fd(&self) -> OwnedFd {
            open_dir(&self.0).unwrap()
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_and_dots_stay_in_the_root_or_are_refused() {
        let dir = TempDir::new("resolve");
        replace(&dir.0.join("secret"), b"outside").unwrap();
        fs::create_dir(dir.0.join("root")).unwrap();
        replace(&dir.0.join("root/secret"), b"inside").unwrap();
        symlink("/secret", dir.0.join("root/absolute")).unwrap();
        symlink("../../secret", dir.0.join("root/up")).unwrap();
        let root = open_dir(&dir.0.join("root")).unwrap();
        for path in ["secret", "/secret", "../secret", "absolute", "up"] {
            let flags = OFlags::RDONLY;
            let fd = open_in_root(root.as_fd(), Path::new(path), flags, Mode::empty()).unwrap();
            assert_eq!(io::read_to_string(File::from(fd)).unwrap(), "inside", "{path}");
            let beneath = open_beneath(root.as_fd(), Path::new(path), flags, Mode::empty());
            assert_eq!(beneath.is_ok(), path == "secret", "{path}");
        }
        let linked = open_beneath_no_symlinks(root.as_fd(), Path::new("up"), OFlags::RDONLY, Mode::empty());
        assert_eq!(linked.unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }

    #[test]
    fn replace_leaves_only_the_new_file() {
        let dir = TempDir::new("replace");
        let path = dir.0.join("state");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
        fs::create_dir(dir.0.join("dir")).unwrap();
        assert!(replace(&dir.0.join("dir"), b"x").is_err());
        assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 2, "no temporary is left by a failure");
    }

    #[test]
    fn trees_of_any_depth_are_removed_and_links_not_followed() {
        let dir = TempDir::new("remove");
        let fd = dir.fd();
        replace(&dir.0.join("canary"), b"x").unwrap();
        fs::create_dir(dir.0.join("tree")).unwrap();
        let mut deepest = open_dir(&dir.0.join("tree")).unwrap();
        // Deeper than PATH_MAX and than any usual limit of open files.
        for depth in 0..3000 {
            rustix::fs::mkdirat(&deepest, "d", Mode::RWXU).unwrap();
            rustix::fs::symlinkat("/", &deepest, "link").unwrap();
            if depth % 500 == 0 {
                rustix::fs::mkdirat(&deepest, ".removing-0", Mode::RWXU).unwrap();
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            deepest = rustix::fs::openat(&deepest, "d", flags, Mode::empty()).unwrap();
        }
        symlink("../canary", dir.0.join("tree/up")).unwrap();
        remove_tree(fd.as_fd(), OsStr::new("tree")).unwrap();
        remove_tree(fd.as_fd(), OsStr::new("tree")).unwrap();
        symlink("canary", dir.0.join("link")).unwrap();
        remove_tree(fd.as_fd(), OsStr::new("link")).unwrap();
        let left: Vec<_> = fs::read_dir(&dir.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["canary"]);
    }

    #[test]
    fn extended_attributes_come_back_as_set() {
        let dir = TempDir::new("xattr");
        let fd = dir.fd();
        let name = OsStr::new("file");
        replace(&dir.0.join(name), b"").unwrap();
        let long = vec![7u8; 2000];
        set_xattr(fd.as_fd(), name, OsStr::new("user.a"), b"1").unwrap();
        set_xattr(fd.as_fd(), name, OsStr::new("user.b"), &long).unwrap();
        assert_eq!(xattr(fd.as_fd(), name, OsStr::new("user.none")).unwrap(), None);
        assert_eq!(xattr(fd.as_fd(), name, OsStr::new("user.b")).unwrap(), Some(long.clone()));
        assert_eq!(
            xattrs(fd.as_fd(), name).unwrap(),
            [("user.a".into(), b"1".to_vec()), ("user.b".into(), long)]
        );
    }
}
