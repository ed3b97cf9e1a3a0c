//! /dev of a container: the default nodes and links, those of the specification, the console.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::mount::clone_tree;
use oci::runtime::Device;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;

use crate::beneath::{self, Make};
use crate::error::{During, StartError};
use crate::mounts::attach;

/// A character device that every container has.
#[derive(Debug)]
pub(crate) struct DefaultDevice {
    pub name: &'static str,
    major: u32,
    minor: u32,
}

/// The specification's default devices; /dev/ptmx and /dev/console are made apart.
pub(crate) const DEFAULT: [DefaultDevice; 6] = [
    DefaultDevice { name: "null", major: 1, minor: 3 },
    DefaultDevice { name: "zero", major: 1, minor: 5 },
    DefaultDevice { name: "full", major: 1, minor: 7 },
    DefaultDevice { name: "random", major: 1, minor: 8 },
    DefaultDevice { name: "urandom", major: 1, minor: 9 },
    DefaultDevice { name: "tty", major: 5, minor: 0 },
];

const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
];

/// Opens /dev of the container, which must be a directory and no link.
pub(crate) fn open_dev(root: BorrowedFd<'_>) -> Result<OwnedFd, StartError> {
    let path = Path::new("/dev");
    match beneath::open_plain_directory(root, path) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            beneath::open_or_make(root, path, Make::Directory)
        }
        result => result,
    }
    .during(|| "open /dev in the container".to_owned())
}

/// Makes the default devices and links. `host` are the host's devices, to be bound where nodes cannot be made.
pub(crate) fn make_default(dev: BorrowedFd<'_>, host: &[OwnedFd]) -> Result<(), StartError> {
    for (index, device) in DEFAULT.iter().enumerate() {
        match host.get(index) {
            Some(host) => bind_device(dev, device.name, host.as_fd()),
            None => make_node(
                dev,
                device.name,
                FileType::CharacterDevice,
                0o666,
                makedev(device.major, device.minor),
            ),
        }
        .during(|| format!("error creating device /dev/{}", device.name))?;
    }
    for (target, name) in LINKS {
        make_link(dev, target, name).during(|| format!("create symlink /dev/{name}"))?;
    }
    Ok(())
}

fn make_link(dev: BorrowedFd<'_>, target: &str, name: &str) -> io::Result<()> {
    // /dev/ptmx of an image would be another devpts than the container's own.
    if name == "ptmx" {
        match rustix::fs::unlinkat(dev, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match rustix::fs::symlinkat(target, dev, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes the devices of the specification.
pub(crate) fn make_listed(
    root: BorrowedFd<'_>,
    devices: &[Device],
    in_user_namespace: bool,
) -> Result<(), StartError> {
    // A privileged container lists the host's; here it is the link to the container's own devpts.
    for device in devices.iter().filter(|device| device.path != Path::new("/dev/ptmx")) {
        let path = device.path.display().to_string();
        make_device(root, device, in_user_namespace)
            .during(|| format!("error creating device {path}"))
            .map_err(|error| error.about(&*path))?;
    }
    Ok(())
}

fn make_device(root: BorrowedFd<'_>, device: &Device, in_user_namespace: bool) -> io::Result<()> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let (parent, name) =
        (device.path.parent().ok_or_else(invalid)?, device.path.file_name().ok_or_else(invalid)?);
    let directory = beneath::open_or_make(root, parent, Make::Directory)?;
    let name = name.to_str().ok_or_else(invalid)?;
    // Nodes may be made in no user namespace but the first.
    if in_user_namespace {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    let kind = match device.kind.as_str() {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        _ => return Err(invalid()),
    };
    let number = |value: i64| u32::try_from(value).map_err(|_| invalid());
    let rdev = if kind == FileType::Fifo { 0 } else { makedev(number(device.major)?, number(device.minor)?) };
    make_node(directory.as_fd(), name, kind, device.file_mode.unwrap_or(0o666) & 0o7777, rdev)?;
    if device.uid.is_some() || device.gid.is_some() {
        let (uid, gid) = (device.uid.map(Uid::from_raw), device.gid.map(Gid::from_raw));
        rustix::fs::chownat(&directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Makes a node, or finds exactly that node: anything else in its place is an attack (CVE-2025-31133).
fn make_node(dir: BorrowedFd<'_>, name: &str, kind: FileType, mode: u32, rdev: u64) -> io::Result<()> {
    match rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(mode), rdev) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let same = FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == rdev;
            if same { Ok(()) } else { Err(Errno::EXIST.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

fn make_file(dir: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Opening may have effects on what an image put here; only a file that is ours, or a plain one, will do.
    match rustix::fs::openat(dir, name, flags | OFlags::EXCL, Mode::from_raw_mode(0o666)) {
        Err(Errno::EXIST) => {}
        result => return Ok(result?),
    }
    let path = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, path, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::Symlink | FileType::Directory => Err(Errno::EXIST.into()),
        _ => Ok(file),
    }
}

fn bind_device(dev: BorrowedFd<'_>, name: &str, host: BorrowedFd<'_>) -> io::Result<()> {
    let target = make_file(dev, name)?;
    attach(host, target.as_fd())
}

/// Shows the terminal `pty` as /dev/console.
pub(crate) fn bind_console(dev: BorrowedFd<'_>, pty: BorrowedFd<'_>) -> io::Result<()> {
    let target = make_file(dev, "console")?;
    attach(clone_tree(pty, "", false)?.as_fd(), target.as_fd())
}
