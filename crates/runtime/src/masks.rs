//! Masked, read-only and tuned paths of a container, and the root's own read-only flag.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::mount::{Attributes, Filesystem, clone_tree, set_attributes};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::MountAttrFlags;

use crate::beneath;
use crate::error::{During, StartError};
use crate::mounts::{attach, bind_onto_itself};

/// Hides paths: a directory under one empty read-only tmpfs that all share, a file under /dev/null. Missing ones
/// need no hiding.
pub(crate) fn mask(root: BorrowedFd<'_>, paths: &[String], null: Option<OwnedFd>) -> Result<(), StartError> {
    let mut masks = Masks { directory: None, file: null.map(|null| (null, false)) };
    for path in paths {
        masks.cover(root, Path::new(path)).during(|| format!("error masking path {path:?}"))?;
    }
    Ok(())
}

/// The mounts that cover; the flag says whether it is attached somewhere already. Only an attached mount can be
/// copied on every kernel.
struct Masks {
    directory: Option<(OwnedFd, bool)>,
    file: Option<(OwnedFd, bool)>,
}

impl Masks {
    fn cover(&mut self, root: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        let target = match beneath::open(root, path) {
            // ENOTDIR: a file of the image where the path wants a directory; there is nothing to hide either.
            Err(error) if [libc::ENOENT, libc::ENOTDIR].contains(&error.raw_os_error().unwrap_or(0)) => {
                return Ok(());
            }
            result => result?,
        };
        let is_directory =
            FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) == FileType::Directory;
        let slot = if is_directory {
            if self.directory.is_none() {
                self.directory = Some((empty_tmpfs()?, false));
            }
            self.directory.as_mut()
        } else {
            self.file.as_mut()
        };
        match slot {
            Some((mount, true)) => attach(clone_tree(&*mount, "", false)?.as_fd(), target.as_fd()),
            Some((mount, attached)) => {
                attach(mount.as_fd(), target.as_fd())?;
                *attached = true;
                Ok(())
            }
            None => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        }
    }
}

fn empty_tmpfs() -> io::Result<OwnedFd> {
    let fs = Filesystem::open("tmpfs")?;
    fs.set("source", "tmpfs")?;
    fs.set("nr_inodes", "1")?;
    fs.set("mode", "755")?;
    fs.mount(
        MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

/// Makes paths read-only; missing ones need none.
pub(crate) fn make_read_only(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), StartError> {
    for path in paths {
        let bind = || match beneath::open(root, Path::new(path)) {
            Err(error) if [libc::ENOENT, libc::ENOTDIR].contains(&error.raw_os_error().unwrap_or(0)) => {
                Ok(())
            }
            target => bind_onto_itself(target?.as_fd(), |copy| read_only(copy, true)).map(drop),
        };
        bind().during(|| format!("error making path {path:?} read-only"))?;
    }
    Ok(())
}

/// Makes the mount at `mount` read-only.
pub(crate) fn read_only(mount: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY;
    set_attributes(mount, recursive, &Attributes { set, ..Attributes::default() })
}

/// Writes kernel parameters, below the root of a proc file system that nothing is mounted over.
pub(crate) fn set_sysctls<'a>(
    proc: BorrowedFd<'_>,
    sysctls: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(), StartError> {
    for (key, value) in sysctls {
        // `net.ipv4.conf.eth0/1.x`: a key with slashes uses dots in names.
        let path = if key.contains('/') { key.clone() } else { key.replace('.', "/") };
        write_proc(proc, &format!("sys/{path}"), value)
            .during(|| format!("error setting sysctl {key:?} to {value:?}"))
            .map_err(|error| error.about(&**key))?;
    }
    Ok(())
}

/// Writes a file below `proc` whatever has been mounted over or linked in it: nothing is crossed or followed.
pub(crate) fn write_proc(proc: BorrowedFd<'_>, path: &str, value: &str) -> io::Result<()> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::openat2(proc, path, flags, Mode::empty(), resolve)?;
    let written = rustix::io::write(&file, value.as_bytes())?;
    if written == value.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
