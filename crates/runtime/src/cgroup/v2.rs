//! cgroup v2: one directory; its parents hand the controllers down.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use oci::runtime::Resources;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::devices::Policy;
use super::files::{self, Directory};
use super::host::Controller;
use super::limits::{self, Setting};
use super::v1::apply_all;

/// Controllers that every container has, where there are any: what `stats` reads.
const ALWAYS: [Controller; 4] = [Controller::Cpu, Controller::Memory, Controller::Pids, Controller::Blkio];

pub(super) fn create(mount: &str, path: &str, resources: &Resources) -> io::Result<()> {
    let settings = limits::v2(resources)?;
    let policy = Policy::of_rules(&resources.devices)?;
    let leaf = format!("{mount}{path}");
    hand_down(mount, path, &settings)?;
    match rustix::fs::mkdir(&leaf, Mode::from_raw_mode(0o755)) {
        Ok(()) => {}
        Err(Errno::EXIST) => files::reuse(&leaf)?,
        Err(error) => return Err(files::context(error.into(), &format!("cannot make cgroup {leaf}"))),
    }
    let limited = limit(&leaf, &settings, policy.as_ref());
    if limited.is_err() {
        // The first error is the one to tell.
        let _ = rustix::fs::rmdir(&leaf);
    }
    limited
}

pub(super) fn update(mount: &str, path: &str, resources: &Resources) -> io::Result<()> {
    let settings = limits::v2(resources)?;
    let policy = Policy::of_rules(&resources.devices)?;
    hand_down(mount, path, &settings)?;
    limit(&format!("{mount}{path}"), &settings, policy.as_ref())
}

fn limit(leaf: &str, settings: &[Setting], policy: Option<&Policy>) -> io::Result<()> {
    let Some(directory) = Directory::open(leaf.to_owned())? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no cgroup {leaf}")));
    };
    apply_all(&directory, &settings.iter().collect::<Vec<_>>())?;
    match policy {
        Some(policy) => set_devices(&directory, policy),
        None => Ok(()),
    }
}

/// Makes the parents of `path` and switches the controllers on in each, for a cgroup has only those that its parent
/// gives. Controllers that nobody asked for by a limit are given where possible.
fn hand_down(mount: &str, path: &str, settings: &[Setting]) -> io::Result<()> {
    let required =
        |controller: Controller| settings.iter().any(|one| one.controller == controller && !one.optional);
    let mut wanted = ALWAYS.to_vec();
    for setting in settings {
        if !wanted.contains(&setting.controller) {
            wanted.push(setting.controller);
        }
    }
    let wanted: Vec<(Controller, &'static str)> =
        wanted.into_iter().filter_map(|controller| Some((controller, controller.v2_name()?))).collect();
    let enable = |directory: &str| {
        let Some(directory) = Directory::open(directory.to_owned())? else { return Ok(()) };
        enable(&directory, &wanted, required)
    };
    enable(mount)?;
    match path.rsplit_once('/') {
        Some((parent, _)) if !parent.is_empty() => files::make_path(mount, parent, enable).map(|_| ()),
        _ => Ok(()),
    }
}

fn enable(
    directory: &Directory,
    wanted: &[(Controller, &'static str)],
    required: impl Fn(Controller) -> bool,
) -> io::Result<()> {
    let on = directory.read("cgroup.subtree_control")?;
    let has = |list: &str, name: &str| list.split_whitespace().any(|known| known == name);
    let missing: Vec<_> = wanted.iter().filter(|(_, name)| !has(&on, name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let available = directory.read("cgroup.controllers")?;
    if let Some((controller, _)) =
        missing.iter().find(|&&&(one, name)| required(one) && !has(&available, name))
    {
        return Err(controller.missing());
    }
    let missing: Vec<_> = missing.into_iter().filter(|(_, name)| has(&available, name)).collect();
    let all: Vec<String> = missing.iter().map(|(_, name)| format!("+{name}")).collect();
    if all.is_empty() || directory.write("cgroup.subtree_control", &all.join(" ")).is_ok() {
        return Ok(());
    }
    // All or nothing failed: each on its own, and only what a limit needs must succeed.
    for (controller, name) in missing {
        let result = directory.set("cgroup.subtree_control", &format!("+{name}"));
        if required(*controller) {
            result?;
        }
    }
    Ok(())
}

/// Replaces the device program: the new one is on before the old one is off, so nothing is open in between.
fn set_devices(directory: &Directory, policy: &Policy) -> io::Result<()> {
    let failed =
        |error| files::context(error, &format!("cgroup {}: cannot set device rules", directory.path));
    let cgroup = directory.readable().map_err(|error| failed(error.into()))?;
    let old = linux::bpf::device_programs(cgroup.as_fd()).map_err(failed)?;
    if old.is_empty() && policy.is_free() {
        return Ok(());
    }
    let program = linux::bpf::load_device_program(&policy.to_bpf()).map_err(failed)?;
    let replaced = match old.as_slice() {
        [only] => Some(only.as_fd()),
        _ => None,
    };
    linux::bpf::attach_device_program(cgroup.as_fd(), program.as_fd(), replaced).map_err(failed)?;
    if replaced.is_none() {
        for program in &old {
            linux::bpf::detach_device_program(cgroup.as_fd(), program.as_fd()).map_err(failed)?;
        }
    }
    Ok(())
}

/// The directory, for `clone3` with `CLONE_INTO_CGROUP`.
pub(super) fn directory(mount: &str, path: &str) -> io::Result<Directory> {
    Directory::open(format!("{mount}{path}"))?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no cgroup {path}")))
}

pub(super) fn freeze(mount: &str, path: &str, patience: Duration) -> io::Result<()> {
    let directory = directory(mount, path)?;
    directory.set("cgroup.freeze", "1")?;
    wait_frozen(&directory, patience).inspect_err(|_| {
        // Half frozen is worse than not; the error of the freeze is the one to tell.
        let _ = directory.write("cgroup.freeze", "0");
    })
}

/// Frozen itself, not by a cgroup above.
pub(super) fn is_frozen(mount: &str, path: &str) -> io::Result<bool> {
    Ok(directory(mount, path)?.read("cgroup.freeze")?.trim() == "1")
}

/// `cgroup.events` can be polled for a change.
fn wait_frozen(directory: &Directory, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    let events =
        rustix::fs::openat(&directory.fd, "cgroup.events", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0; 256];
    loop {
        let length = rustix::io::pread(&events, &mut buffer, 0)?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        if files::keyed(&text).any(|line| line == ("frozen", 1)) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text = format!("cgroup {}: a task did not freeze in time", directory.path);
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        let timeout = rustix::event::Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn thaw(mount: &str, path: &str) -> io::Result<()> {
    directory(mount, path)?.set("cgroup.freeze", "0")
}

/// The kernel kills all below at once, frozen or forking.
pub(super) fn kill(mount: &str, path: &str) -> io::Result<()> {
    match Directory::open(format!("{mount}{path}"))? {
        Some(directory) => directory.set("cgroup.kill", "1"),
        None => Ok(()),
    }
}

pub(super) fn pids(mount: &str, path: &str) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    if let Some(directory) = Directory::open(format!("{mount}{path}"))? {
        directory.collect_pids(&mut pids)?;
    }
    Ok(pids)
}

/// The fd of [`directory`].
pub(super) fn directory_fd(mount: &str, path: &str) -> io::Result<OwnedFd> {
    Ok(directory(mount, path)?.fd)
}
