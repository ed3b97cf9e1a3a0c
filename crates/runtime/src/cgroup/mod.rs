//! Control groups: one [`Cgroup`] handle for v1, hybrid and v2 hosts.
//!
//! **Invariant:** a path never leaves the hierarchies (`..` stops at their root), and a failed [`Cgroup::create`]
//! leaves no directory of the cgroup behind (parents stay, others may be using them by then).
//!
//! On v1 a cgroup exists only in hierarchies where a limit is held or accounting wants it: making, entering and
//! removing a directory costs some 40 µs in each. On v2 containers are leaves; controllers are handed down to them.
//!
//! - `host`: which hierarchies there are, and what they can do: [`Host`], [`Support`]
//! - `limits`: resources → files and values, pure
//! - `devices`: device rules → v1 lines or an eBPF program
//! - `v1`, `v2`: the two kinds of hierarchy
//! - `stats`: [`Stats`]
//! - `oom`: whose memory limit it was, [`OutOfMemory`]
//! - `files`: reading and writing cgroup files
//!
//! Knows nothing of containers, and nothing of systemd.

mod devices;
mod files;
mod host;
mod limits;
mod oom;
mod stats;
mod v1;
mod v2;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::runtime::Resources;

use host::Layout;
pub use host::{Host, Support};
pub use oom::{LimitOwner, OutOfMemory};
pub use stats::{CpuStats, IoEntry, MemoryStats, PidStats, Stats};

/// Longest wait for tasks to freeze, or to leave a cgroup that is dissolved.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait for killed tasks to leave a cgroup: hundreds take their time on a machine that is busy or emulated.
const DYING: Duration = Duration::from_secs(10);

/// A container's cgroup: one directory per hierarchy on v1, one in all on v2.
#[derive(Debug, Clone)]
pub struct Cgroup {
    /// Path below each hierarchy's mount point, with a leading slash.
    path: String,
    host: Arc<Host>,
}

impl Cgroup {
    /// Makes the cgroup (parents included) and sets its limits.
    ///
    /// An empty leftover of the same path is replaced; one that is in use is an error. So is a limit whose controller
    /// this host lacks; the error names the controller.
    pub fn create(path: &str, resources: &Resources) -> io::Result<Self> {
        Self::create_on(Host::current(), path, resources)
    }

    /// Like [`Self::create`], on given hierarchies.
    pub fn create_on(host: Arc<Host>, path: &str, resources: &Resources) -> io::Result<Self> {
        let cgroup = Self::open_on(host, path);
        match &cgroup.host.layout {
            Layout::V1(hierarchies) => v1::create(&cgroup.host, hierarchies, &cgroup.path, resources)?,
            Layout::V2(mount) => v2::create(mount, &cgroup.path, resources)?,
            Layout::Nothing => refuse_limits(resources)?,
        }
        Ok(cgroup)
    }

    /// A handle of an existing (or already removed) cgroup.
    pub fn open(path: &str) -> Self {
        Self::open_on(Host::current(), path)
    }

    /// Like [`Self::open`], on given hierarchies.
    pub fn open_on(host: Arc<Host>, path: &str) -> Self {
        Self { path: clean(path), host }
    }

    /// Path below the mount points.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is there, in any hierarchy.
    pub fn exists(&self) -> bool {
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::exists(hierarchies, &self.path),
            Layout::V2(mount) => v2::directory(mount, &self.path).is_ok(),
            Layout::Nothing => false,
        }
    }

    /// Moves a process into it. Slow: the kernel waits for an RCU grace period (some 12 ms on an idle machine) unless
    /// another such move was just before. New processes use [`Self::enter`] or [`Self::dir_fd`].
    pub fn add(&self, pid: i32) -> io::Result<()> {
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::add(hierarchies, &self.path, "cgroup.procs", pid),
            Layout::V2(mount) => v2::directory(mount, &self.path)?.set("cgroup.procs", &pid.to_string()),
            Layout::Nothing => Ok(()),
        }
    }

    /// Moves the calling process into it; it must have one thread only. Fast on v1 (8 µs a hierarchy), where the
    /// kernel takes no global lock for a thread that moves itself; on v2 be born there, by [`Self::dir_fd`].
    pub fn enter(&self) -> io::Result<()> {
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::add(hierarchies, &self.path, "tasks", 0),
            Layout::V2(mount) => v2::directory(mount, &self.path)?.set("cgroup.procs", "0"),
            Layout::Nothing => Ok(()),
        }
    }

    /// Moves the calling process, which must have one thread only, to where its memory and its tasks are counted: on v1
    /// in those two hierarchies alone, because each one costs time at every start. Made if it is missing.
    pub fn enter_accounts(&self) -> io::Result<()> {
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::enter_accounts(hierarchies, &self.path),
            Layout::V2(mount) => {
                files::make_path(mount, &self.path, |_| Ok(()))?;
                self.enter()
            }
            Layout::Nothing => Ok(()),
        }
    }

    /// The directory of a v2 cgroup, for `clone3` with `CLONE_INTO_CGROUP`; none on v1.
    pub fn dir_fd(&self) -> io::Result<Option<OwnedFd>> {
        match &self.host.layout {
            Layout::V2(mount) => v2::directory_fd(mount, &self.path).map(Some),
            Layout::V1(_) | Layout::Nothing => Ok(None),
        }
    }

    /// Changes limits of a live cgroup; what `resources` does not name stays.
    pub fn update(&self, resources: &Resources) -> io::Result<()> {
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::update(&self.host, hierarchies, &self.path, resources),
            Layout::V2(mount) => v2::update(mount, &self.path, resources),
            Layout::Nothing => refuse_limits(resources),
        }
    }

    /// Stops every task; returns when all are stopped. After two seconds it gives up and lets them run.
    pub fn freeze(&self) -> io::Result<()> {
        match &self.host.layout {
            Layout::V1(_) => v1::freeze(&self.host, &self.path, PATIENCE),
            Layout::V2(mount) => v2::freeze(mount, &self.path, PATIENCE),
            Layout::Nothing => Err(host::Controller::Freezer.missing()),
        }
    }

    /// Lets them run again.
    pub fn thaw(&self) -> io::Result<()> {
        match &self.host.layout {
            Layout::V1(_) => v1::thaw(&self.host, &self.path),
            Layout::V2(mount) => v2::thaw(mount, &self.path),
            Layout::Nothing => Err(host::Controller::Freezer.missing()),
        }
    }

    /// Whether it was frozen, and not let run since.
    pub fn is_frozen(&self) -> io::Result<bool> {
        match &self.host.layout {
            Layout::V1(_) => v1::is_frozen(&self.host, &self.path),
            Layout::V2(mount) => v2::is_frozen(mount, &self.path),
            Layout::Nothing => Ok(false),
        }
    }

    /// Kills every process in it and below, also when frozen, also against a fork bomb. Returns when all have the
    /// signal; [`Self::remove`] waits for their end.
    pub fn kill(&self) -> io::Result<()> {
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::kill(&self.host, hierarchies, &self.path),
            Layout::V2(mount) => v2::kill(mount, &self.path),
            Layout::Nothing => Ok(()),
        }
    }

    /// Pids in it and below.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::pids(hierarchies, &self.path),
            Layout::V2(mount) => v2::pids(mount, &self.path),
            Layout::Nothing => Ok(Vec::new()),
        }
    }

    /// How often the kernel's OOM killer struck in it.
    pub fn oom_kills(&self) -> u64 {
        stats::oom_kills(&self.host, &self.path)
    }

    /// Whose memory limit it was that the OOM killer struck for; asked after [`Self::oom_kills`] said that it did.
    pub fn out_of_memory(&self) -> OutOfMemory {
        oom::of(&self.host, &self.path)
    }

    /// The most memory it ever used, in bytes, when the kernel says it.
    pub fn memory_peak(&self) -> Option<u64> {
        stats::memory_peak(&self.host, &self.path)
    }

    /// What it has used.
    pub fn stats(&self) -> Stats {
        stats::read(&self.host, &self.path)
    }

    /// Makes a cgroup below this one that only keeps some of its tasks apart from the others: nothing is limited or
    /// counted in it. [`Self::enter`] of this one first, then of that one; on v2 the latter alone.
    pub fn scope(&self, name: &str) -> io::Result<Self> {
        let scope = Self::open_on(Arc::clone(&self.host), &format!("{}/{name}", self.path));
        match &self.host.layout {
            Layout::V1(_) => v1::make_scope(&self.host, &scope.path)?,
            Layout::V2(mount) => files::make_leaf(mount, &scope.path)?,
            Layout::Nothing => {}
        }
        Ok(scope)
    }

    /// Removes a cgroup that [`Self::scope`] made; what still runs in it goes on as one of this cgroup's.
    pub fn dissolve(&self, scope: &Self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        match &self.host.layout {
            Layout::V1(_) => v1::dissolve(&self.host, &self.path, &scope.path, deadline),
            Layout::V2(mount) => {
                let into = v2::directory(mount, &self.path)?;
                files::dissolve(&into, &format!("{mount}{}", scope.path), deadline)
            }
            Layout::Nothing => Ok(()),
        }
    }

    /// Removes it and its children; waits a little for dying tasks. A missing one is no error.
    pub fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + DYING;
        match &self.host.layout {
            Layout::V1(hierarchies) => v1::remove(hierarchies, &self.path, deadline),
            Layout::V2(mount) => files::remove_tree(&format!("{mount}{}", self.path), deadline),
            Layout::Nothing => Ok(()),
        }
    }
}

/// The files of a v2 cgroup, and their values, that limits become; a file that stands in for another comes after it.
pub fn v2_files(resources: &Resources) -> io::Result<Vec<(String, String)>> {
    let settings = limits::v2(resources)?.into_iter();
    Ok(settings
        .flat_map(|setting| {
            let other = setting.or.map(|(file, value)| (file.to_owned(), value));
            [Some((setting.file, setting.value)), other]
        })
        .flatten()
        .collect())
}

/// Without any hierarchy every limit lacks its controller.
fn refuse_limits(resources: &Resources) -> io::Result<()> {
    match limits::v1(resources)?.into_iter().find(|setting| !setting.optional) {
        Some(setting) => Err(setting.controller.missing()),
        None => Ok(()),
    }
}

/// An absolute path without `.`, `..` and doubled slashes.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths_stay_below_the_mount_points() {
        let cases = [
            ("/a/b", "/a/b"),
            ("a//b/", "/a/b"),
            ("/a/../../b", "/b"),
            ("../../etc", "/etc"),
            ("/./a/./b/..", "/a"),
            ("", "/"),
        ];
        for (path, expected) in cases {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
