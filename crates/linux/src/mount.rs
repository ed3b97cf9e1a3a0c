//! The mount API on file descriptors: what `rustix` lacks of it, and overlay mounts.
//!
//! **Invariant:** nothing here attaches a mount anywhere the caller can see. Mounts are made detached and come back
//! as an [`OwnedFd`]; `rustix::mount::move_mount` attaches one, closing the last descriptor dissolves it.
//!
//! - [`Filesystem`]: `fsopen` → options → `fsmount`, with the kernel's own words when it refuses
//! - [`set_attributes`]: `mount_setattr(2)`, which `rustix` does not have
//! - [`clone_tree`]: a detached copy of what is mounted at a path
//! - [`overlay()`]: a detached overlay mount

mod overlay;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags};
use rustix::path::Arg;

pub use overlay::{OverlayOptions, overlay, overlay_read_only};

/// Changes to the attributes of a mount; see [`set_attributes`].
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Attributes to turn on.
    pub set: MountAttrFlags,
    /// Attributes to turn off, before `set` applies. To change the access time mode, clear `MOUNT_ATTR__ATIME`.
    pub clear: MountAttrFlags,
    /// New propagation type; empty leaves it.
    pub propagation: MountPropagationFlags,
    /// User namespace whose mappings an id-mapped mount gets (with `MOUNT_ATTR_IDMAP` in `set`).
    pub user_namespace: Option<BorrowedFd<'a>>,
}

impl Default for Attributes<'_> {
    fn default() -> Self {
        Self {
            set: MountAttrFlags::empty(),
            clear: MountAttrFlags::empty(),
            propagation: MountPropagationFlags::empty(),
            user_namespace: None,
        }
    }
}

/// Changes the attributes of the mount whose root is `mount`, and with `recursive` of those below it.
///
/// `mount_setattr(2)`, Linux 5.12. With `recursive` either all mounts change or none.
pub fn set_attributes(mount: impl AsFd, recursive: bool, attributes: &Attributes<'_>) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: u64::from(attributes.set.bits()),
        attr_clr: u64::from(attributes.clear.bits()),
        propagation: u64::from(attributes.propagation.bits()),
        // Zero is what the field must be without MOUNT_ATTR_IDMAP; a descriptor is never negative.
        userns_fd: attributes.user_namespace.map_or(0, |fd| fd.as_raw_fd().unsigned_abs().into()),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `mount` is borrowed and stays open during the call. The empty string is static, `attr` is on our
    // stack and outlives the call, the size is its own; the kernel only reads both.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A detached copy of the mount at `path` below `dir`, with `recursive` of those below it too.
///
/// An empty `path` means `dir` itself. Symbolic links are followed.
pub fn clone_tree(dir: impl AsFd, path: impl Arg, recursive: bool) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let depth = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    Ok(rustix::mount::open_tree(dir, path, flags | depth)?)
}

/// A file system being configured: `fsopen(2)` and `fsconfig(2)`, Linux 5.2.
#[derive(Debug)]
pub struct Filesystem {
    context: OwnedFd,
}

impl Filesystem {
    /// Starts a new instance of file system type `kind`. `ENODEV`: the kernel does not have it.
    pub fn open(kind: &str) -> io::Result<Self> {
        Ok(Self { context: rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)? })
    }

    /// Sets `key=value`. The kernel takes at most 255 bytes of value.
    pub fn set(&self, key: &str, value: impl Arg) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_string(&self.context, key, value)?)
    }

    /// Sets an option without a value.
    pub fn flag(&self, key: &str) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_flag(&self.context, key)?)
    }

    /// Creates the file system and a detached mount of it.
    pub fn mount(&self, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(&self.context)?;
        Ok(rustix::mount::fsmount(&self.context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }

    /// What the kernel had to say about the last failure, if anything; reading takes it away.
    pub fn messages(&self) -> Option<String> {
        let mut lines = Vec::new();
        let mut buffer = [0_u8; 512];
        // One message a read, "<level letter> <text>"; ENODATA at the end.
        while let Ok(length @ 1..) = rustix::io::read(&self.context, &mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..length]);
            lines.push(line.trim_end().get(2..).unwrap_or_default().to_owned());
        }
        if lines.is_empty() { None } else { Some(lines.join("; ")) }
    }
}
