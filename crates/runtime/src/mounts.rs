//! The mounts of a container, made in its own mount namespace, on descriptors resolved beneath its root.
//!
//! **Invariant:** a mount is attached to the descriptor of its target, never to a path, and gets its attributes
//! before it is attached.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::mount::{Filesystem, clone_tree};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MoveMountFlags};

use crate::beneath::{self, Make};
use crate::error::{During, StartError};
use crate::plan::MountPlan;
use crate::sources::{self, Source};

/// `PROC_SUPER_MAGIC`.
pub(crate) const PROC_MAGIC: i64 = 0x9fa0;

/// File systems without a device behind them, for which read-only is an attribute of the mount alone.
const PSEUDO: [&str; 10] =
    ["tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "bpf", "overlay"];

/// File systems that get `linux.mountLabel`; of the others, files have labels of their own.
const LABELLED: [&str; 3] = ["tmpfs", "ramfs", "devpts"];

/// Files of /proc that may be replaced, for the likes of lxcfs. Anything else below /proc may not: programs trust
/// what they read there.
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The container's root while it is being filled.
#[derive(Debug)]
pub(crate) struct Root<'a> {
    /// The root mount.
    pub fd: OwnedFd,
    /// SELinux label of new file systems.
    pub label: Option<&'a str>,
    /// The proc file system mounted at /proc by the specification, by its root.
    pub proc: Option<OwnedFd>,
}

impl Root<'_> {
    /// Makes one mount.
    pub(crate) fn mount(&mut self, mount: &MountPlan<'_>, source: Source) -> Result<(), StartError> {
        self.try_mount(mount, source).map_err(|Refusal { error, detail }| {
            let source = mount.source.map_or(mount.kind.to_owned(), |source| source.display().to_string());
            let target = mount.destination.display().to_string();
            let step = format!("error mounting {source:?} to rootfs at {target:?}");
            let failed = StartError::new(step, error).about(&*target);
            match detail {
                None => failed,
                Some(detail) => {
                    let (errno, word) = (failed.errno(), crate::error::reason(&errno_error(failed.errno())));
                    failed.because(errno, if errno == 0 { detail } else { format!("{detail}: {word}") })
                }
            }
        })
    }

    fn try_mount(&mut self, mount: &MountPlan<'_>, source: Source) -> Result<(), Refusal> {
        if mount.options.remount {
            let target = beneath::open(self.fd.as_fd(), mount.destination)?;
            return Ok(sources::apply(target.as_fd(), &mount.options)?);
        }
        // Asked before the target is made, and only of what goes by the directory that it covers.
        let covers = mount.is("tmpfs") && beneath::open(self.fd.as_fd(), mount.destination).is_ok();
        let (target, options) = (self.target(mount, &source)?, &mount.options);
        let made = match source {
            Source::Tree(tree) => tree,
            Source::New => new_filesystem(mount, covers.then_some(target.as_fd()), self.label)?,
            Source::Hierarchies { trees, links } => {
                let made = hierarchies_tmpfs()?;
                attach(made.as_fd(), target.as_fd())?;
                let read_only = options.set.contains(MountAttrFlags::MOUNT_ATTR_RDONLY);
                return Ok(fill_hierarchies(made.as_fd(), trees, &links, read_only)?);
            }
        };
        attach(made.as_fd(), target.as_fd())?;
        if mount.options.bind.is_none() && !mount.options.propagation.is_empty() {
            sources::apply(made.as_fd(), &mount.options)?;
        }
        if mount.is("proc") && mount.destination == Path::new("/proc") {
            self.proc = Some(made);
        }
        Ok(())
    }

    /// The descriptor to attach to, made when missing.
    fn target(&self, mount: &MountPlan<'_>, source: &Source) -> Result<OwnedFd, Refusal> {
        let make = match source {
            Source::Tree(tree) if !is_directory(tree)? => Make::File,
            _ => Make::Directory,
        };
        let root = self.fd.as_fd();
        let special = ["/proc", "/sys", "/dev"].iter().any(|path| mount.destination == Path::new(path))
            || mount.is("proc")
            || mount.is("sysfs");
        let target = if special {
            match beneath::open_plain_directory(root, mount.destination) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    beneath::open_or_make(root, mount.destination, Make::Directory)?
                }
                Err(error) if [libc::ELOOP, libc::ENOTDIR].contains(&error.raw_os_error().unwrap_or(0)) => {
                    return Err(Refusal::because(error, "it must be mounted on an ordinary directory"));
                }
                result => result?,
            }
        } else {
            beneath::open_or_make(root, mount.destination, make)
                .map_err(|error| Refusal::because(error, "create mount point"))?
        };
        self.protect_proc(mount, source, target.as_fd())?;
        // The kernel would say EINVAL, which tells nobody anything.
        if is_directory(&target)? != (make == Make::Directory) {
            return Err(io::Error::from_raw_os_error(libc::ENOTDIR).into());
        }
        Ok(target)
    }

    fn protect_proc(
        &self,
        mount: &MountPlan<'_>,
        source: &Source,
        target: BorrowedFd<'_>,
    ) -> Result<(), Refusal> {
        let refused = |text: &str| {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "refused");
            Err(Refusal {
                error,
                detail: Some(format!("{:?} {text}", mount.destination.display().to_string())),
            })
        };
        let procfs =
            |fd: BorrowedFd<'_>| -> io::Result<bool> { Ok(rustix::fs::fstatfs(fd)?.f_type == PROC_MAGIC) };
        if mount.destination == Path::new("/proc") {
            let allowed = match source {
                Source::Tree(tree) => procfs(tree.as_fd())?,
                _ => mount.is("proc"),
            };
            return if allowed {
                Ok(())
            } else {
                refused("cannot be mounted because it is not of type proc")
            };
        }
        // By what the target is, not by how its path reads: a link of the image may lead there.
        let inside = match &self.proc {
            Some(proc) => rustix::fs::fstat(target)?.st_dev == rustix::fs::fstat(proc)?.st_dev,
            None => false,
        };
        let allowed = PROC_FILES.iter().any(|path| mount.destination == Path::new(path));
        if inside && !allowed { refused("cannot be mounted because it is inside /proc") } else { Ok(()) }
    }
}

/// An error of one mount, with what is known beside the error number.
struct Refusal {
    error: io::Error,
    detail: Option<String>,
}

impl Refusal {
    fn because(error: io::Error, detail: &str) -> Self {
        Self { error, detail: Some(detail.to_owned()) }
    }
}

impl<E: Into<io::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self { error: error.into(), detail: None }
    }
}

fn errno_error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// Attaches a detached mount to the file or directory behind `target`.
pub(crate) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

fn is_directory(fd: impl AsFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) == FileType::Directory)
}

/// `covered` is the directory of the image that a tmpfs will cover, if there is one.
fn new_filesystem(
    mount: &MountPlan<'_>,
    covered: Option<BorrowedFd<'_>>,
    label: Option<&str>,
) -> Result<OwnedFd, Refusal> {
    let options = &mount.options;
    // On a host with the unified hierarchy alone, "cgroup" means that one.
    let kind = if mount.kind == "cgroup" { "cgroup2" } else { mount.kind };
    let fs = Filesystem::open(kind)
        .map_err(|error| Refusal::because(error, &format!("file system type {kind:?}")))?;
    let with_log = |error: io::Error| {
        let detail = fs.messages();
        Refusal { error, detail }
    };
    if let Some(source) = mount.source {
        fs.set("source", source).map_err(with_log)?;
    }
    for (key, value) in &options.data {
        match value {
            Some(value) => fs.set(key, value.as_str()),
            None => fs.flag(key),
        }
        .map_err(with_log)?;
    }
    if let Some(label) = label.filter(|_| LABELLED.contains(&kind)) {
        fs.set("context", label).map_err(with_log)?;
    }
    if options.value("mode").is_none()
        && let Some(covered) = covered
    {
        // As that directory; otherwise everybody's, which is the kernel's own default.
        let mode = rustix::fs::fstat(covered)?.st_mode & 0o7777;
        fs.set("mode", format!("{mode:o}")).map_err(with_log)?;
    }
    if options.set.contains(MountAttrFlags::MOUNT_ATTR_RDONLY) && !PSEUDO.contains(&kind) {
        fs.flag("ro").map_err(with_log)?;
    }
    let copied = covered.filter(|_| options.copy_up);
    let later = if copied.is_some() { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
    let made = fs.mount(options.set - later).map_err(with_log)?;
    if let Some(covered) = copied {
        crate::copy_up::copy_tree(covered, made.as_fd())?;
        sources::apply(made.as_fd(), options)?;
    }
    Ok(made)
}

fn hierarchies_tmpfs() -> io::Result<OwnedFd> {
    let fs = Filesystem::open("tmpfs")?;
    fs.set("source", "tmpfs")?;
    fs.set("mode", "755")?;
    fs.mount(
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

fn fill_hierarchies(
    tmpfs: BorrowedFd<'_>,
    trees: Vec<(String, OwnedFd)>,
    links: &[(String, String)],
    read_only: bool,
) -> io::Result<()> {
    for (name, tree) in trees {
        rustix::fs::mkdirat(tmpfs, &*name, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(tmpfs, &*name, flags, Mode::empty())?;
        attach(tree.as_fd(), directory.as_fd())?;
    }
    for (name, target) in links {
        rustix::fs::symlinkat(&**target, tmpfs, &**name)?;
    }
    if read_only { crate::masks::read_only(tmpfs, false) } else { Ok(()) }
}

/// A proc file system of the current pid namespace that is attached nowhere: nothing can be mounted over its files.
pub(crate) fn detached_proc() -> Result<OwnedFd, StartError> {
    Filesystem::open("proc")
        .and_then(|fs| fs.mount(MountAttrFlags::empty()))
        .during(|| "open a proc file system".to_owned())
}

/// Attaches a copy of what is at `fd` onto itself and returns the copy.
pub(crate) fn bind_onto_itself(
    fd: BorrowedFd<'_>,
    prepare: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<OwnedFd> {
    let copy = clone_tree(fd, "", true)?;
    prepare(copy.as_fd())?;
    attach(copy.as_fd(), fd)?;
    Ok(copy)
}
