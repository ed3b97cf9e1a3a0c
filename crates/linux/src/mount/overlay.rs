//! Overlay mounts, made detached: nothing is attached in the caller's mount namespace.
//!
//! Linux 6.7 and later take one layer per `lowerdir+` call. Older kernels know only `lowerdir`, whose value the
//! mount API limits to 255 bytes: by the names of descriptors that is some fifteen layers. For a deeper stack a
//! short-lived child with its own mount namespace mounts the overlay with `mount(2)` and hands a detached copy back.

use std::ffi::CString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags, MountPropagationFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::{Filesystem, clone_tree};
use crate::clone::{CloneArgs, Forked, spawn};

/// What an overlay mount is made with, beside its directories.
#[derive(Debug, Clone, Copy, Default)]
pub struct OverlayOptions<'a> {
    /// Keep overlay's own marks in `user.overlay.*` attributes, as mounts inside a user namespace need.
    pub userxattr: bool,
    /// Further options; an empty value sets the option as a flag.
    pub extra: &'a [(&'a str, &'a str)],
}

/// A detached, writable overlay mount of `lower` (the uppermost first) under `upper`.
///
/// Redirects and metadata-only copy-up are off whatever the kernel's default is: a layer must be complete and
/// mean the same on any host, and a crafted redirect attribute must not be followed.
pub fn overlay(
    lower: &[&Path],
    upper: &Path,
    work: &Path,
    options: &OverlayOptions<'_>,
) -> io::Result<OwnedFd> {
    make(lower, Some((upper, work)), options)
}

/// A detached, read-only overlay mount of `lower`, the uppermost first; at least two.
pub fn overlay_read_only(lower: &[&Path], options: &OverlayOptions<'_>) -> io::Result<OwnedFd> {
    make(lower, None, options)
}

/// Most bytes of a value that `fsconfig(2)` takes.
const MAX_VALUE: usize = 255;

fn make(lower: &[&Path], upper: Option<(&Path, &Path)>, options: &OverlayOptions<'_>) -> io::Result<OwnedFd> {
    if lower.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let fs = Filesystem::open("overlay")?;
    // A flag of that name is an error to every kernel since 6.5, and changes nothing. Before, any option at all is
    // taken until the file system is made, which then fails and complains in the kernel's log.
    if fs.flag("lowerdir+").is_ok() {
        return by_names(lower, upper, options);
    }
    for (index, layer) in lower.iter().enumerate() {
        match fs.set("lowerdir+", *layer) {
            Ok(()) => {}
            // Unknown before 6.7; a bad directory answers ENOENT, ENOTDIR or ESTALE.
            Err(error) if index == 0 && error.raw_os_error() == Some(libc::EINVAL) => {
                return by_names(lower, upper, options);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some((upper, work)) = upper {
        fs.set("upperdir", upper)?;
        fs.set("workdir", work)?;
    }
    finish(&fs, upper.is_some(), options)
}

/// Directories by the names of their descriptors: short, so that many fit, and without anything to escape.
struct Named {
    lower: Vec<OwnedFd>,
    upper: Option<(OwnedFd, OwnedFd)>,
}

impl Named {
    fn open(lower: &[&Path], upper: Option<(&Path, &Path)>) -> io::Result<Self> {
        let open = |path: &Path| {
            rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        };
        let lower = lower.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let upper = upper.map(|(upper, work)| Ok::<_, Errno>((open(upper)?, open(work)?))).transpose()?;
        Ok(Self { lower, upper })
    }

    fn lowerdir(&self) -> String {
        self.lower.iter().map(name).collect::<Vec<_>>().join(":")
    }

    /// `upperdir` and `workdir`.
    fn upper(&self) -> Option<(String, String)> {
        self.upper.as_ref().map(|(upper, work)| (name(upper), name(work)))
    }
}

fn name(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// For kernels without `lowerdir+`.
fn by_names(
    lower: &[&Path],
    upper: Option<(&Path, &Path)>,
    options: &OverlayOptions<'_>,
) -> io::Result<OwnedFd> {
    let named = Named::open(lower, upper)?;
    let lowerdir = named.lowerdir();
    if lowerdir.len() > MAX_VALUE {
        return through_old_api(lower, upper, options);
    }
    let fs = Filesystem::open("overlay")?;
    fs.set("lowerdir", &lowerdir)?;
    if let Some((upper, work)) = named.upper() {
        fs.set("upperdir", upper)?;
        fs.set("workdir", work)?;
    }
    finish(&fs, upper.is_some(), options)
}

fn finish(fs: &Filesystem, writable: bool, options: &OverlayOptions<'_>) -> io::Result<OwnedFd> {
    fs.set("redirect_dir", "nofollow")?;
    fs.set("metacopy", "off")?;
    if options.userxattr {
        fs.flag("userxattr")?;
    }
    for (key, value) in options.extra {
        if value.is_empty() { fs.flag(key)? } else { fs.set(key, *value)? }
    }
    let attributes = if writable { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    fs.set("source", "overlay")?;
    fs.mount(attributes)
}

fn through_old_api(
    lower: &[&Path],
    upper: Option<(&Path, &Path)>,
    options: &OverlayOptions<'_>,
) -> io::Result<OwnedFd> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let child = spawn(&CloneArgs { namespaces: libc::CLONE_NEWNS, ..CloneArgs::default() }, |_: Forked| {
        send_fd(theirs.as_fd(), &mount_and_detach(lower, upper, options))
    })?;
    drop(theirs);
    let received = receive_fd(ours.as_fd());
    waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    received
}

/// In the child: its mount namespace goes away with it, only the detached copy lives on.
fn mount_and_detach(
    lower: &[&Path],
    upper: Option<(&Path, &Path)>,
    options: &OverlayOptions<'_>,
) -> io::Result<OwnedFd> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // Opened here: overlay refuses directories of another mount namespace.
    let named = Named::open(lower, upper)?;
    let mut data = format!("lowerdir={}", named.lowerdir());
    if let Some((upper, work)) = named.upper() {
        data.push_str(&format!(",upperdir={upper},workdir={work}"));
    }
    data.push_str(",redirect_dir=nofollow,metacopy=off");
    if options.userxattr {
        data.push_str(",userxattr");
    }
    for (key, value) in options.extra {
        data.push_str(&if value.is_empty() { format!(",{key}") } else { format!(",{key}={value}") });
    }
    let flags = if upper.is_none() { MountFlags::RDONLY } else { MountFlags::empty() };
    // Any directory does as mount point: nobody else sees what it hides.
    let target = upper.map_or(lower[0], |(upper, _)| upper);
    rustix::mount::mount("overlay", target, "overlay", flags, CString::new(data)?.as_c_str())?;
    clone_tree(CWD, target, false)
}

fn send_fd(socket: BorrowedFd<'_>, made: &io::Result<OwnedFd>) -> i32 {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fd;
    let errno = match made {
        Ok(mount) => {
            fd = [mount.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&fd));
            0
        }
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    };
    let bytes = errno.to_ne_bytes();
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::empty());
    i32::from(sent.is_err())
}

fn receive_fd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut errno = [0_u8; 4];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut errno)], &mut control, flags)?;
    let mount = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    match (received.bytes, i32::from_ne_bytes(errno), mount) {
        (4, 0, Some(mount)) => Ok(mount),
        (4, errno @ 1.., _) => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(Errno::IO.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    struct Layers(std::path::PathBuf);

    impl Layers {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("corten-overlay-{name}-{}", std::process::id()));
            for dir in ["a", "b:with,odd\\name", "upper", "work"] {
                std::fs::create_dir_all(root.join(dir)).unwrap();
            }
            std::fs::File::create(root.join("a/from-a")).unwrap();
            std::fs::File::create(root.join("b:with,odd\\name/from-b")).unwrap();
            Self(root)
        }
        fn path(&self, name: &str) -> std::path::PathBuf {
            self.0.join(name)
        }
    }

    impl Drop for Layers {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn names(mount: &OwnedFd) -> Vec<String> {
        let dir = rustix::fs::openat(mount, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut names: Vec<_> = rustix::fs::Dir::read_from(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    fn write(mount: &OwnedFd, name: &str) -> rustix::io::Result<File> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(mount, name, flags, Mode::from_raw_mode(0o644)).map(File::from)
    }

    type Maker = fn(&[&Path], Option<(&Path, &Path)>, &OverlayOptions<'_>) -> io::Result<OwnedFd>;

    fn shows_all_layers_and_writes_to_upper(name: &str, make: Maker) {
        let layers = Layers::new(name);
        let (a, b) = (layers.path("a"), layers.path("b:with,odd\\name"));
        let (upper, work) = (layers.path("upper"), layers.path("work"));
        let mount = make(&[&a, &b], Some((&upper, &work)), &OverlayOptions::default()).unwrap();
        assert_eq!(names(&mount), ["from-a", "from-b"]);
        let file = write(&mount, "new").unwrap();
        assert_eq!(file.metadata().unwrap().uid(), 0);
        assert!(layers.path("upper/new").exists());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(layers.0.to_str().unwrap()), "the overlay is attached");
    }

    #[test]
    fn overlay_is_detached_and_writable() {
        shows_all_layers_and_writes_to_upper("new-api", make);
    }

    #[test]
    fn overlay_by_names_of_descriptors_is_detached_and_writable() {
        shows_all_layers_and_writes_to_upper("by-names", by_names);
    }

    #[test]
    fn a_stack_that_is_too_deep_for_names_is_mounted_all_the_same() {
        let layers = Layers::new("deep");
        let stack: Vec<_> = (0..60).map(|number| layers.path(&format!("layer{number}"))).collect();
        for (number, layer) in stack.iter().enumerate() {
            std::fs::create_dir(layer).unwrap();
            File::create(layer.join(format!("{number}"))).unwrap();
        }
        let stack: Vec<&Path> = stack.iter().map(AsRef::as_ref).collect();
        let (upper, work) = (layers.path("upper"), layers.path("work"));
        for make in [make as Maker, by_names] {
            let mount = make(&stack, Some((&upper, &work)), &OverlayOptions::default()).unwrap();
            assert_eq!(names(&mount).len(), 60);
        }
    }

    #[test]
    fn overlay_by_the_old_api_is_detached_and_writable() {
        shows_all_layers_and_writes_to_upper("old-api", through_old_api);
    }

    #[test]
    fn read_only_overlay_refuses_writes() {
        for (name, make) in [("ro-new", make as Maker), ("ro-names", by_names), ("ro-old", through_old_api)] {
            let layers = Layers::new(name);
            let (a, b) = (layers.path("a"), layers.path("b:with,odd\\name"));
            let mount = make(&[&a, &b], None, &OverlayOptions::default()).unwrap();
            assert_eq!(write(&mount, "new").unwrap_err(), Errno::ROFS);
        }
    }

    #[test]
    fn missing_layer_is_reported_with_its_errno() {
        let missing = Path::new("/nonexistent/layer");
        let error = overlay_read_only(&[missing, missing], &OverlayOptions::default()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
