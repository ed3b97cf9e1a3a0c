//! `--systemd-cgroup`: the container's cgroup is a transient scope that systemd makes, lists, and takes away.
//!
//! `linux.cgroupsPath` is then `slice:prefix:name`. Limits are told to systemd, which would otherwise reset them when it
//! next looks at the scope, and then set by ourselves, because it does not know all of them. The scope is delegated: what
//! is below it is the container's.
//!
//! On cgroup v2 only: on v1 systemd keeps track of processes in a hierarchy of its own that the container is not in.

mod dbus;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use linux::clone::{Child, CloneArgs, spawn};
use oci::runtime::Resources;
use runtime::cgroup::{self, Cgroup};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use self::dbus::{CallError, Connection, Target, Value};
use super::{Failure, Naming};

const MANAGER: Target = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// systemd's own socket, for machines without a bus.
const PRIVATE_SOCKET: &str = "/run/systemd/private";
const BUS_SOCKET: &str = "/run/dbus/system_bus_socket";
const BUS_VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// Name and place of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `prefix-name.scope`.
    pub(crate) name: String,
    slice: String,
}

impl Unit {
    /// Reads `slice:prefix:name`; what is absent or empty has a default.
    pub(crate) fn parse(path: Option<&str>, id: &str) -> Result<Self, Failure> {
        let path = path.unwrap_or_default();
        let parts: Vec<&str> = path.split(':').collect();
        let (slice, prefix, name) = match parts[..] {
            [""] => ("", "corten-runtime", id),
            [slice, prefix, name] => (slice, prefix, name),
            _ => {
                return Err(Failure::new(format_args!(
                    "linux.cgroupsPath {path:?}: with --systemd-cgroup it is slice:prefix:name"
                )));
            }
        };
        let slice = if slice.is_empty() { "system.slice" } else { slice };
        let name = if name.is_empty() { id } else { name };
        let name = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        let unit = Self { name, slice: slice.to_owned() };
        unit.check(path)?;
        Ok(unit)
    }

    /// Characters that a unit's name may have; a slash would lead elsewhere.
    fn check(&self, path: &str) -> Result<(), Failure> {
        let good = |text: &str| {
            text.len() < 256
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
        };
        let stem = self.slice.strip_suffix(".slice").unwrap_or_default();
        let parts_named = stem == "-" || !stem.split('-').any(str::is_empty);
        if good(&self.name) && good(&self.slice) && !self.name.starts_with('.') && parts_named {
            return Ok(());
        }
        Err(Failure::new(format_args!(
            "linux.cgroupsPath {path:?}: {:?} in {:?} cannot be a scope in a slice",
            self.name, self.slice
        )))
    }

    /// Path of its cgroup: `a-b.slice` is below `a.slice`.
    pub(crate) fn cgroup(&self) -> String {
        let stem = self.slice.strip_suffix(".slice").unwrap_or(&self.slice);
        let mut path = String::new();
        if stem != "-" {
            for (at, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
                path.push('/');
                path.push_str(&stem[..at]);
                path.push_str(".slice");
            }
        }
        format!("{path}/{}", self.name)
    }
}

/// Refuses machines on which no systemd can be asked.
pub(crate) fn check() -> Result<(), Failure> {
    let instead = "call it without --systemd-cgroup (cgroupfs driver)";
    let reason = if !Path::new("/run/systemd/system").is_dir() {
        "systemd is not running on this machine"
    } else if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "it needs cgroup v2 alone at /sys/fs/cgroup, and this machine has v1"
    } else {
        return Ok(());
    };
    Err(Failure::new(format_args!("--systemd-cgroup: {reason}; {instead}")))
}

/// A scope that has been made, kept alive until the container's first process is in it.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) unit: Unit,
    pub(crate) cgroup: Cgroup,
    /// systemd makes no scope without a process.
    _placeholder: Placeholder,
}

impl Scope {
    /// Has systemd make it, and sets the limits that it does not know.
    pub(crate) fn create(unit: Unit, id: &str, resources: &Resources) -> Result<Self, Failure> {
        let placeholder = Placeholder::start()?;
        let mut properties = vec![
            ("Description", Value::str(format!("OCI container {id}"))),
            ("Slice", Value::str(&unit.slice)),
            ("PIDs", Value::U32s(vec![placeholder.child.pid.unsigned_abs()])),
            ("Delegate", Value::Bool(true)),
            ("DefaultDependencies", Value::Bool(false)),
        ];
        for accounting in ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"] {
            properties.push((accounting, Value::Bool(true)));
        }
        properties.extend(limits(resources)?);
        let mut manager = Manager::connect()?;
        manager.start(&unit.name, properties)?;
        let cgroup = Cgroup::open(&unit.cgroup());
        let scope = Self { unit, cgroup, _placeholder: placeholder };
        let limited = scope.cgroup.update(resources);
        if let Err(error) = limited {
            // The first error is the one to tell.
            let _ = manager.stop(&scope.unit.name);
            return Err(Failure::new(format_args!("limit scope {}: {error}", scope.unit.name)));
        }
        Ok(scope)
    }
}

/// Changes the limits of a scope, as systemd sees them.
pub(crate) fn update(unit: &str, resources: &Resources) -> Result<(), Failure> {
    let properties = limits(resources)?;
    if properties.is_empty() {
        return Ok(());
    }
    let body = [Value::str(unit), Value::Bool(true), Value::Properties(properties)];
    let mut manager = Manager::connect()?;
    manager.call("SetUnitProperties", &body).naming(|| format!("change scope {unit}")).map(drop)
}

/// Takes a scope away; one that has ended by itself is no error.
pub(crate) fn stop(unit: &str) -> Result<(), Failure> {
    Manager::connect()?.stop(unit)
}

/// A child that waits until it is let go.
#[derive(Debug)]
struct Placeholder {
    child: Child,
    hold: Option<OwnedFd>,
}

impl Placeholder {
    fn start() -> Result<Self, Failure> {
        let naming = || "start a process for the scope".to_owned();
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).naming(naming)?;
        let child = spawn(&CloneArgs::default(), |forked| {
            forked.reset_signals();
            // Without the other end: its closing is what this one waits for.
            let _ = forked.close_all_except(0, &[reader.as_fd()]);
            let _ = rustix::io::read(&reader, &mut [0_u8; 1]);
            0
        })
        .naming(naming)?;
        Ok(Self { child, hold: Some(writer) })
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        self.hold = None;
        // It ends at once; there is nothing to do about one that does not.
        let _ = waitid(WaitId::PidFd(self.child.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

/// A connection to systemd.
struct Manager(Connection);

impl Manager {
    fn connect() -> Result<Self, Failure> {
        let bus = std::env::var(BUS_VARIABLE).ok();
        let bus = bus.as_deref().and_then(bus_path).unwrap_or(BUS_SOCKET);
        let over_bus = || -> Result<Connection, CallError> {
            let mut connection = Connection::bus(Path::new(bus))?;
            connection.listen(
                "type='signal',sender='org.freedesktop.systemd1',\
                 interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
            )?;
            connection.call(MANAGER, "Subscribe", &[])?;
            Ok(connection)
        };
        // systemd tells everybody on its own socket of every job, without being asked to.
        let direct = |error: CallError| {
            Connection::direct(Path::new(PRIVATE_SOCKET))
                .naming(|| format!("reach systemd: {bus}: {error}; {PRIVATE_SOCKET}"))
        };
        over_bus().or_else(direct).map(Self)
    }

    fn call(&mut self, member: &str, body: &[Value]) -> Result<Vec<String>, CallError> {
        self.0.call(MANAGER, member, body)
    }

    fn start(&mut self, unit: &str, properties: Vec<(&'static str, Value)>) -> Result<(), Failure> {
        let naming = || format!("have systemd make scope {unit}");
        let body = [Value::str(unit), Value::str("replace"), Value::Properties(properties), Value::NoUnits];
        let job = match self.call("StartTransientUnit", &body) {
            // One that failed, of the same name, is a leftover.
            Err(CallError::Refused { name, .. }) if name == "org.freedesktop.systemd1.UnitExists" => {
                self.reset(unit);
                self.call("StartTransientUnit", &body)
            }
            result => result,
        };
        let job = job.naming(naming)?;
        match &*self.await_job(&job).naming(naming)? {
            "done" => Ok(()),
            result => Err(Failure::new(format_args!("{}: the job is {result}", naming()))),
        }
    }

    fn stop(&mut self, unit: &str) -> Result<(), Failure> {
        let naming = || format!("have systemd stop scope {unit}");
        match self.call("StopUnit", &[Value::str(unit), Value::str("replace")]) {
            Ok(job) => drop(self.await_job(&job).naming(naming)?),
            Err(CallError::Refused { name, .. }) if name == "org.freedesktop.systemd1.NoSuchUnit" => {}
            Err(error) => return Err(error).naming(naming),
        }
        self.reset(unit);
        Ok(())
    }

    /// Lets a failed unit be forgotten; one that has not failed is already gone.
    fn reset(&mut self, unit: &str) {
        let _ = self.call("ResetFailedUnit", &[Value::str(unit)]);
    }

    fn await_job(&mut self, job: &[String]) -> Result<String, CallError> {
        let job = job.first().cloned().unwrap_or_default();
        // Number, path, unit, result.
        self.0.signal("JobRemoved", |words| match words {
            [_, path, _, result] if *path == job => Some(result.clone()),
            _ => None,
        })
    }
}

/// The path in `unix:path=/x,guid=…`.
fn bus_path(address: &str) -> Option<&str> {
    address.strip_prefix("unix:")?.split(',').find_map(|part| part.strip_prefix("path="))
}

/// Limits as systemd's properties: from the v2 files that they become.
fn limits(resources: &Resources) -> Result<Vec<(&'static str, Value)>, Failure> {
    let files = cgroup::v2_files(resources).naming(|| "read linux.resources".to_owned())?;
    Ok(files.iter().flat_map(|(file, value)| properties(file, value)).collect())
}

/// Properties for one file; what systemd has no word for stays between the kernel and us.
fn properties(file: &str, value: &str) -> Vec<(&'static str, Value)> {
    const INFINITY: u64 = u64::MAX;
    let number = || if value == "max" { Some(INFINITY) } else { value.parse().ok() };
    let one = |name| number().map(|number| (name, Value::U64(number))).into_iter().collect();
    match file {
        "memory.max" => one("MemoryMax"),
        "memory.high" => one("MemoryHigh"),
        "memory.low" => one("MemoryLow"),
        "memory.min" => one("MemoryMin"),
        "memory.swap.max" => one("MemorySwapMax"),
        "pids.max" => one("TasksMax"),
        "cpu.weight" => one("CPUWeight"),
        "io.weight" => one("IOWeight"),
        "cpu.max" => {
            let (quota, period) = value.split_once(' ').unwrap_or((value, "100000"));
            let period: u64 = period.parse().unwrap_or(100_000);
            // Microseconds of CPU a second, which systemd keeps in steps of 10 ms.
            let per_second = quota.parse::<u64>().ok().and_then(|quota| {
                quota.checked_mul(1_000_000)?.checked_div(period)?.checked_next_multiple_of(10_000)
            });
            vec![
                ("CPUQuotaPerSecUSec", Value::U64(per_second.unwrap_or(INFINITY))),
                ("CPUQuotaPeriodUSec", Value::U64(period)),
            ]
        }
        "cpuset.cpus" => bits(value).map(|bits| ("AllowedCPUs", Value::Bytes(bits))).into_iter().collect(),
        "cpuset.mems" => {
            bits(value).map(|bits| ("AllowedMemoryNodes", Value::Bytes(bits))).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// `0-2,7` as a mask, the lowest byte first.
fn bits(list: &str) -> Option<Vec<u8>> {
    let mut mask = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if last > 8192 {
            return None;
        }
        for number in first..=last {
            if mask.len() <= number / 8 {
                mask.resize(number / 8 + 1, 0);
            }
            mask[number / 8] |= 1 << (number % 8);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_paths_name_a_scope_in_a_slice() {
        let read = |path| match Unit::parse(path, "box") {
            Ok(unit) => format!("{} {}", unit.name, unit.cgroup()),
            Err(failure) => failure.message,
        };
        let cases = [
            (None, "corten-runtime-box.scope /system.slice/corten-runtime-box.scope"),
            (Some(""), "corten-runtime-box.scope /system.slice/corten-runtime-box.scope"),
            (Some("system.slice:docker:x"), "docker-x.scope /system.slice/docker-x.scope"),
            (Some("a-b-c.slice:p:x"), "p-x.scope /a.slice/a-b.slice/a-b-c.slice/p-x.scope"),
            (Some("-.slice:p:x"), "p-x.scope /p-x.scope"),
            (Some("::x"), "x.scope /system.slice/x.scope"),
            (Some("user.slice:p:"), "p-box.scope /user.slice/p-box.scope"),
        ];
        for (path, wanted) in cases {
            assert_eq!(read(path), wanted, "{path:?}");
        }
        for bad in
            ["/a/b", "a:b", "a:b:c", "a.slice:b:c:d", "a.slice:b:../x", "a--b.slice:p:x", "/a.slice:p:x"]
        {
            assert!(read(Some(bad)).starts_with("linux.cgroupsPath"), "{bad}");
        }
    }

    #[test]
    fn limits_are_told_in_systemds_words() {
        let json = r#"{"memory": {"limit": 1000, "swap": 3000}, "pids": {"limit": 7},
            "cpu": {"shares": 1024, "quota": 50500, "period": 100000, "cpus": "0-1,9"},
            "unified": {"memory.high": "max", "cpu.idle": "0"}}"#;
        let resources = serde_json::from_str(json).unwrap();
        let wanted = [
            ("MemorySwapMax", Value::U64(2000)),
            ("MemoryMax", Value::U64(1000)),
            ("CPUWeight", Value::U64(100)),
            ("CPUQuotaPerSecUSec", Value::U64(510_000)),
            ("CPUQuotaPeriodUSec", Value::U64(100_000)),
            ("AllowedCPUs", Value::Bytes(vec![3, 2])),
            ("TasksMax", Value::U64(7)),
            ("MemoryHigh", Value::U64(u64::MAX)),
        ];
        assert_eq!(limits(&resources).unwrap(), wanted);
    }

    #[test]
    fn the_bus_is_where_the_environment_says() {
        assert_eq!(bus_path("unix:path=/x/y,guid=12"), Some("/x/y"));
        assert_eq!(bus_path("tcp:host=x"), None);
    }
}
