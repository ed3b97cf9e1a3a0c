//! cgroup v1: one directory per hierarchy, made only where a limit is to be held or accounting wants it.

use std::io;
use std::time::{Duration, Instant};

use oci::runtime::Resources;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::devices::Policy;
use super::files::{self, Directory, context, write_value};
use super::host::{Controller, Hierarchy, Host};
use super::limits::{self, Setting};

/// Controllers that every container is in: what `stats` reads, and what pausing and killing need.
const ALWAYS: [Controller; 5] =
    [Controller::Memory, Controller::Cpuacct, Controller::Pids, Controller::Blkio, Controller::Freezer];

/// What is to be set: decided before anything is touched.
struct Plan {
    settings: Vec<Setting>,
    policy: Option<Policy>,
}

impl Plan {
    fn new(resources: &Resources) -> io::Result<Self> {
        Ok(Self { settings: limits::v1(resources)?, policy: Policy::of_rules(&resources.devices)? })
    }

    fn needs(&self, controller: Controller) -> bool {
        let limited = self.settings.iter().any(|setting| setting.controller == controller);
        limited
            || (controller == Controller::Devices
                && self.policy.as_ref().is_some_and(|policy| !policy.is_free()))
    }

    /// Refuses a limit whose controller is not there. Lifting one is no limit.
    fn check(&self, host: &Host) -> io::Result<()> {
        let lacking = |controller| host.hierarchy(controller).is_none();
        match self.settings.iter().find(|setting| !setting.optional && lacking(setting.controller)) {
            Some(setting) => Err(setting.controller.missing()),
            None if self.needs(Controller::Devices) && lacking(Controller::Devices) => {
                Err(Controller::Devices.missing())
            }
            None => Ok(()),
        }
    }

    fn policy_of(&self, hierarchy: &Hierarchy) -> Option<&Policy> {
        self.policy.as_ref().filter(|_| hierarchy.controllers.contains(&Controller::Devices))
    }

    fn of(&self, hierarchy: &Hierarchy) -> Vec<&Setting> {
        self.settings.iter().filter(|setting| hierarchy.controllers.contains(&setting.controller)).collect()
    }
}

pub(super) fn create(
    host: &Host,
    hierarchies: &[Hierarchy],
    path: &str,
    resources: &Resources,
) -> io::Result<()> {
    let plan = Plan::new(resources)?;
    plan.check(host)?;
    // A device policy that forbids nothing needs no directory.
    let wanted = |hierarchy: &&Hierarchy| {
        hierarchy.controllers.iter().any(|&controller| ALWAYS.contains(&controller) || plan.needs(controller))
    };
    let mut made = Vec::new();
    for hierarchy in hierarchies.iter().filter(wanted) {
        let result = make(hierarchy, path, &plan, &mut made);
        if let Err(error) = result {
            for directory in made {
                // The first error is the one to tell.
                let _ = rustix::fs::rmdir(directory);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// One hierarchy's directory, with its limits.
fn make(hierarchy: &Hierarchy, path: &str, plan: &Plan, made: &mut Vec<String>) -> io::Result<()> {
    let directory = format!("{}{path}", hierarchy.mount);
    made.push(directory.clone());
    if hierarchy.controllers.contains(&Controller::Cpuset) {
        let new = files::make_path(&hierarchy.mount, path, inherit_cpuset)?;
        if !new {
            files::reuse(&directory)?;
            inherit_cpuset(&directory)?;
        }
    } else {
        files::make_leaf(&hierarchy.mount, path)?;
    }
    let settings = plan.of(hierarchy);
    let policy = plan.policy_of(hierarchy).filter(|policy| !policy.is_free());
    if settings.is_empty() && policy.is_none() {
        return Ok(());
    }
    let directory = Directory::open(directory)?.ok_or(Errno::NOENT)?;
    apply_all(&directory, &settings)?;
    match policy {
        Some(policy) => set_devices(&directory, policy),
        None => Ok(()),
    }
}

/// A new cpuset is empty and takes no task; it gets what its parent has.
fn inherit_cpuset(directory: &str) -> io::Result<()> {
    let Some(own) = Directory::open(directory.to_owned())? else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if own.read(file)?.trim().is_empty() {
            let parent = directory.rsplit_once('/').map_or("/", |(parent, _)| parent);
            let Some(parent) = Directory::open(parent.to_owned())? else { return Ok(()) };
            own.set(file, parent.read(file)?.trim())?;
        }
    }
    Ok(())
}

/// Writes settings that may depend on each other (a quota on its period, memory on memory plus swap): those that the
/// kernel refuses for now are tried again after the others.
pub(super) fn apply_all(directory: &Directory, settings: &[&Setting]) -> io::Result<()> {
    let mut pending = settings.to_vec();
    while !pending.is_empty() {
        let mut refused = Vec::new();
        let mut first_error = None;
        for &setting in &pending {
            match apply(directory, setting) {
                Ok(()) => {}
                Err((Errno::INVAL, error)) => {
                    refused.push(setting);
                    first_error.get_or_insert(error);
                }
                Err((_, error)) => return Err(error),
            }
        }
        match first_error {
            Some(error) if refused.len() == pending.len() => return Err(error),
            _ => pending = refused,
        }
    }
    Ok(())
}

fn apply(directory: &Directory, setting: &Setting) -> Result<(), (Errno, io::Error)> {
    let (mut file, mut value) = (setting.file.as_str(), setting.value.as_str());
    let mut result = directory.write(file, value);
    if let (Err(Errno::NOENT | Errno::ACCESS), Some((other, other_value))) = (result, &setting.or) {
        (file, value) = (other, other_value);
        result = directory.write(file, value);
    }
    match result {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) if setting.optional => Ok(()),
        Err(errno @ Errno::NOENT) => {
            let text =
                format!("cgroup controller {:?} of this kernel has no {file}", setting.controller.name());
            Err((errno, io::Error::new(io::ErrorKind::Unsupported, text)))
        }
        Err(errno @ Errno::BUSY) if file == "memory.limit_in_bytes" => {
            let of = |file| directory.number(file).unwrap_or(0);
            let (usage, peak) = (of("memory.usage_in_bytes"), of("memory.max_usage_in_bytes"));
            let text =
                format!("unable to set memory limit to {value} (current usage: {usage}, peak usage: {peak})");
            Err((errno, io::Error::new(io::ErrorKind::ResourceBusy, text)))
        }
        Err(errno) => Err((errno, directory.cannot_set(file, value, errno))),
    }
}

/// Sets a policy from nothing.
fn set_devices(directory: &Directory, policy: &Policy) -> io::Result<()> {
    let (default, exceptions) =
        if policy.allow { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
    directory.set(default, "a")?;
    let lines: Vec<String> = policy.exceptions.iter().map(|exception| exception.to_line()).collect();
    write_lines(directory, exceptions, lines.iter().map(String::as_str))
}

/// Replaces a policy. From one list of allowed devices to another, what stays allowed is never denied in between, for
/// tasks are running.
fn change_devices(directory: &Directory, policy: &Policy) -> io::Result<()> {
    let listed = directory.read("devices.list")?;
    if policy.allow || listed.lines().any(|line| line == "a *:* rwm") {
        return set_devices(directory, policy);
    }
    let wanted: Vec<String> = policy.exceptions.iter().map(|exception| exception.to_line()).collect();
    let stale = listed.lines().filter(|line| !wanted.iter().any(|wanted| wanted == line));
    write_lines(directory, "devices.deny", stale)?;
    write_lines(directory, "devices.allow", wanted.iter().map(String::as_str))
}

fn write_lines<'a>(
    directory: &Directory,
    file: &str,
    lines: impl Iterator<Item = &'a str>,
) -> io::Result<()> {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let fd = directory.writer(file).map_err(|error| directory.cannot_set(file, "", error))?;
    for line in lines {
        write_value(&fd, line).map_err(|error| directory.cannot_set(file, line, error))?;
    }
    Ok(())
}

pub(super) fn update(
    host: &Host,
    hierarchies: &[Hierarchy],
    path: &str,
    resources: &Resources,
) -> io::Result<()> {
    let plan = Plan::new(resources)?;
    plan.check(host)?;
    for hierarchy in hierarchies {
        let (settings, policy) = (plan.of(hierarchy), plan.policy_of(hierarchy));
        if settings.is_empty() && policy.is_none() {
            continue;
        }
        let name = format!("{}{path}", hierarchy.mount);
        if let Some(directory) = Directory::open(name.clone())? {
            apply_all(&directory, &settings)?;
            if let Some(policy) = policy {
                change_devices(&directory, policy)?;
            }
        } else if hierarchy.controllers.iter().any(|&controller| plan.needs(controller)) {
            // Nothing was limited here when the container was made: now it moves in.
            make(hierarchy, path, &plan, &mut Vec::new())?;
            move_in(hierarchies, path, &Directory::open(name)?.ok_or(Errno::NOENT)?)?;
        }
    }
    Ok(())
}

/// Moves all tasks of the cgroup into a new directory of it, until none is left outside.
fn move_in(hierarchies: &[Hierarchy], path: &str, directory: &Directory) -> io::Result<()> {
    loop {
        let mut inside = Vec::new();
        directory.collect_pids(&mut inside)?;
        let outside: Vec<i32> =
            pids(hierarchies, path)?.into_iter().filter(|pid| !inside.contains(pid)).collect();
        if outside.is_empty() {
            return Ok(());
        }
        for pid in outside {
            match patiently(|| directory.write("cgroup.procs", &pid.to_string())) {
                Ok(()) => {}
                Err(Errno::SRCH) => {}
                Err(error) => return Err(directory.cannot_set("cgroup.procs", &pid.to_string(), error)),
            }
        }
    }
}

/// The directories that exist.
fn directories(hierarchies: &[Hierarchy], path: &str) -> io::Result<Vec<Directory>> {
    let open = |hierarchy: &Hierarchy| Directory::open(format!("{}{path}", hierarchy.mount)).transpose();
    hierarchies.iter().filter_map(open).collect()
}

pub(super) fn exists(hierarchies: &[Hierarchy], path: &str) -> bool {
    directories(hierarchies, path).is_ok_and(|found| !found.is_empty())
}

/// Moves a process in (`cgroup.procs`, a pid), or the calling thread (`tasks`, 0).
pub(super) fn add(hierarchies: &[Hierarchy], path: &str, file: &str, pid: i32) -> io::Result<()> {
    let value = pid.to_string();
    let mut found = false;
    for hierarchy in hierarchies {
        // By its whole path, for this is on the way of every start: a directory first would cost as much again.
        let file = format!("{}{path}/{file}", hierarchy.mount);
        let entered = match rustix::fs::open(&file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            Ok(fd) => patiently(|| write_value(&fd, &value)),
            Err(error) => Err(error),
        };
        entered.map_err(|error| context(error.into(), &format!("cannot write {value} to {file}")))?;
        found = true;
    }
    if found { Ok(()) } else { Err(nothing_there(path)) }
}

fn nothing_there(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no cgroup {path}"))
}

/// Moves the calling thread in where memory and tasks are counted.
pub(super) fn enter_accounts(hierarchies: &[Hierarchy], path: &str) -> io::Result<()> {
    let counted = [Controller::Memory, Controller::Pids];
    let counts = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|known| counted.contains(known));
    for hierarchy in hierarchies.iter().filter(counts) {
        let one = std::slice::from_ref(hierarchy);
        match add(one, path, "tasks", 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files::make_path(&hierarchy.mount, path, |_| Ok(()))?;
                add(one, path, "tasks", 0)?;
            }
            entered => entered?,
        }
    }
    Ok(())
}

/// A task that is just being born is refused with EINVAL for a moment.
fn patiently(attach: impl Fn() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    for _ in 0..5 {
        match attach() {
            Err(Errno::INVAL) => std::thread::sleep(Duration::from_millis(1)),
            result => return result,
        }
    }
    attach()
}

pub(super) fn pids(hierarchies: &[Hierarchy], path: &str) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for directory in directories(hierarchies, path)? {
        directory.collect_pids(&mut pids)?;
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn freezer(host: &Host, path: &str) -> io::Result<Directory> {
    let hierarchy = host.hierarchy(Controller::Freezer).ok_or_else(|| Controller::Freezer.missing())?;
    Directory::open(format!("{}{path}", hierarchy.mount))?.ok_or_else(|| nothing_there(path))
}

/// A scope exists where its tasks can be frozen, hence killed for certain, and nowhere else.
pub(super) fn make_scope(host: &Host, path: &str) -> io::Result<()> {
    let hierarchy = host.hierarchy(Controller::Freezer).ok_or_else(|| Controller::Freezer.missing())?;
    files::make_leaf(&hierarchy.mount, path)
}

pub(super) fn dissolve(host: &Host, path: &str, scope: &str, deadline: Instant) -> io::Result<()> {
    let hierarchy = host.hierarchy(Controller::Freezer).ok_or_else(|| Controller::Freezer.missing())?;
    files::dissolve(&freezer(host, path)?, &format!("{}{scope}", hierarchy.mount), deadline)
}

pub(super) fn freeze(host: &Host, path: &str, patience: Duration) -> io::Result<()> {
    let directory = freezer(host, path)?;
    freeze_directory(&directory, patience).inspect_err(|_| {
        // Half frozen is worse than not; the error of the freeze is the one to tell.
        let _ = directory.write("freezer.state", "THAWED");
    })
}

/// Frozen itself, not by a cgroup above.
pub(super) fn is_frozen(host: &Host, path: &str) -> io::Result<bool> {
    Ok(freezer(host, path)?.read("freezer.self_freezing")?.trim() == "1")
}

/// Tasks that are born while others freeze are caught by writing again; a task in an uninterruptible wait cannot be.
fn freeze_directory(directory: &Directory, patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_micros(20);
    loop {
        directory.set("freezer.state", "FROZEN")?;
        if directory.read("freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let text = format!("cgroup {}: a task did not freeze in time", directory.path);
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(2));
    }
}

pub(super) fn thaw(host: &Host, path: &str) -> io::Result<()> {
    freezer(host, path)?.set("freezer.state", "THAWED")
}

/// Freezes, so that nothing can fork away; kills all that is there; thaws, for only then do they die.
pub(super) fn kill(host: &Host, hierarchies: &[Hierarchy], path: &str) -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_millis(200);
    let freezer = freezer(host, path).ok();
    if let Some(directory) = &freezer {
        // A task that does not freeze cannot fork either, as long as the freezer wants it.
        let _ = freeze_directory(directory, PATIENCE);
    }
    let result = kill_all(hierarchies, path);
    if let Some(directory) = &freezer {
        match directory.write("freezer.state", "THAWED") {
            Ok(()) | Err(Errno::NODEV) => {}
            Err(error) => return Err(directory.cannot_set("freezer.state", "THAWED", error)),
        }
    }
    result
}

/// Until nobody is there who has not been sent the signal.
fn kill_all(hierarchies: &[Hierarchy], path: &str) -> io::Result<()> {
    let mut killed = Vec::new();
    loop {
        let mut fresh = pids(hierarchies, path)?;
        fresh.retain(|pid| !killed.contains(pid));
        if fresh.is_empty() {
            return Ok(());
        }
        for pid in fresh {
            killed.push(pid);
            match Pid::from_raw(pid).map(|pid| rustix::process::kill_process(pid, Signal::KILL)) {
                None | Some(Ok(()) | Err(Errno::SRCH)) => {}
                Some(Err(error)) => return Err(context(error.into(), &format!("cannot kill process {pid}"))),
            }
        }
    }
}

pub(super) fn remove(hierarchies: &[Hierarchy], path: &str, deadline: Instant) -> io::Result<()> {
    let mut first = Ok(());
    for hierarchy in hierarchies {
        let result = files::remove_tree(&format!("{}{path}", hierarchy.mount), deadline);
        if first.is_ok() {
            first = result;
        }
    }
    first
}
