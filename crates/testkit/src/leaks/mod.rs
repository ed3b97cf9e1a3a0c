//! The leak oracle: what the kernel and the disk hold on behalf of one sandbox, before and after.
//!
//! A [`Snapshot`] is a set of lines per [`Kind`]; comparing two of them gives a readable difference. Only what
//! belongs to the sandbox is listed, so that parallel tests do not disturb each other:
//!
//! | kind | belongs to the sandbox when |
//! |---|---|
//! | processes | in one of its namespaces, in a cgroup of its engine, or its environment or command line names the root |
//! | mounts | in its mount namespace; in the host's, when the line names the root |
//! | cgroups | in the engine's root cgroup (`/corten-<8 hex digits>`, itself allowed while the daemon runs), in any hierarchy, or named after the root |
//! | namespaces | network namespaces held by its processes, or mounted in its mount namespace |
//! | links, nft | in its network namespace |
//! | files | under the root, and in its own `/run` |
//! | fds | of the daemon |

mod cgroups;
mod processes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Processes other than the holder and the test.
    Process,
    /// Mounts in the sandbox's mount namespace and in the host's.
    Mount,
    /// Control groups, in every hierarchy.
    Cgroup,
    /// Network namespaces.
    Namespace,
    /// Network devices.
    Link,
    /// nftables rules.
    Nft,
    /// Files and directories.
    File,
    /// Open file descriptors of the daemon, by what they point at.
    Fd,
}

/// The lines of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<Kind, BTreeSet<String>>);

/// What there is to look at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Root directory of the sandbox.
    pub root: &'a Path,
    /// The process that keeps its namespaces.
    pub holder: u32,
    /// The daemon, while it runs.
    pub daemon: Option<u32>,
}

impl Snapshot {
    /// Looks at everything in the scope.
    pub fn take(scope: &Scope<'_>) -> Self {
        let processes = processes::belonging_to(scope.root, Some(scope.holder));
        let mut kinds = BTreeMap::new();
        let listed = processes.iter().filter(|process| Some(process.pid) != scope.daemon);
        kinds.insert(Kind::Process, listed.map(ToString::to_string).collect());
        kinds.insert(Kind::Mount, mounts(scope));
        let mut groups = cgroups::belonging_to(scope.root);
        if scope.daemon.is_some() {
            groups.retain(|group| !cgroups::is_furniture(group));
        }
        kinds.insert(Kind::Cgroup, groups.iter().map(|group| shown(group)).collect());
        kinds.insert(Kind::Namespace, namespaces(scope, &processes));
        kinds.insert(Kind::Link, links(scope.holder));
        kinds.insert(Kind::Nft, nft_rules(scope.holder));
        kinds.insert(Kind::File, files(scope));
        kinds.insert(Kind::Fd, scope.daemon.map(fds).unwrap_or_default());
        Self(kinds)
    }

    /// Takes snapshots until nothing has been left over since `self`, at most `patience` long: teardown is allowed
    /// to take a moment, but not to forget. Gives the last difference if there is one.
    pub fn settle(&self, scope: &Scope<'_>, patience: Duration) -> Result<(), Leaks> {
        let mut leaks = Leaks::default();
        let clean = wait::within(patience, || {
            leaks = self.leaks_in(&Self::take(scope));
            leaks.0.is_empty()
        });
        if clean { Ok(()) } else { Err(leaks) }
    }

    /// What `later` has and `self` has not.
    pub fn leaks_in(&self, later: &Self) -> Leaks {
        let none = BTreeSet::new();
        let mut leaks = BTreeMap::new();
        for (kind, lines) in &later.0 {
            let new: Vec<_> = lines.difference(self.0.get(kind).unwrap_or(&none)).cloned().collect();
            if !new.is_empty() {
                leaks.insert(*kind, new);
            }
        }
        Leaks(leaks)
    }
}

/// What was left behind, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaks(BTreeMap<Kind, Vec<String>>);

impl Leaks {
    /// The lines of one kind.
    pub fn of(&self, kind: Kind) -> &[String] {
        self.0.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, lines) in &self.0 {
            writeln!(f, "{kind:?} left behind ({}):", lines.len())?;
            for line in lines.iter().take(20) {
                writeln!(f, "  + {line}")?;
            }
            if lines.len() > 20 {
                writeln!(f, "  … and {} more", lines.len() - 20)?;
            }
        }
        Ok(())
    }
}

/// Kills every process of the sandbox and removes its cgroups: what a failed or killed test may have left.
pub(crate) fn remove_everything_of(root: &Path, holder: Option<u32>) {
    let cgroups = cgroups::belonging_to(root);
    // Frozen processes do not die.
    cgroups::thaw(&cgroups);
    wait::within(wait::PATIENCE, || {
        let processes = processes::belonging_to(root, holder);
        for pid in processes.iter().filter_map(|process| Pid::from_raw(i32::try_from(process.pid).ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        processes.is_empty()
    });
    wait::within(Duration::from_secs(5), || cgroups::remove(&cgroups::belonging_to(root)));
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// `mountinfo` without ids: mount point, root within the file system, type and source.
fn mounts(scope: &Scope<'_>) -> BTreeSet<String> {
    let table = |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let line = |text: &str| {
        let (left, right) = text.split_once(" - ")?;
        let fields: Vec<_> = left.split(' ').collect();
        let source: Vec<_> = right.split(' ').take(2).collect();
        Some(format!("{} (root {}, {})", fields.get(4)?, fields.get(3)?, source.join(" ")))
    };
    let root = shown(scope.root);
    let own = table(&scope.holder.to_string());
    let host = table("self");
    let host = host.lines().filter(|text| text.contains(&root));
    own.lines()
        .filter_map(line)
        .chain(host.filter_map(line).map(|text| format!("on the host: {text}")))
        .collect()
}

fn namespaces(scope: &Scope<'_>, processes: &[processes::Process]) -> BTreeSet<String> {
    let held = processes.iter().map(|process| process.pid).chain([scope.holder]);
    let mut found: BTreeSet<_> = held.filter_map(|pid| link(&format!("/proc/{pid}/ns/net"))).collect();
    let fds = scope.daemon.into_iter().flat_map(fd_targets);
    found.extend(fds.filter(|target| target.starts_with("net:")));
    found.extend(mounts(scope).into_iter().filter(|line| line.contains("(root net:")));
    found
}

fn links(holder: u32) -> BTreeSet<String> {
    let table = fs::read_to_string(format!("/proc/{holder}/net/dev")).unwrap_or_default();
    table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// The rule set as text; nothing where nft is not installed, before as after.
fn nft_rules(holder: u32) -> BTreeSet<String> {
    let listed = Command::new("nsenter")
        .args([
            "-t",
            &holder.to_string(),
            "-n",
            "--",
            "sh",
            "-c",
            "! command -v nft >/dev/null || nft list ruleset",
        ])
        .output()
        .expect("nsenter of util-linux");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    // Counters are not leaks.
    text.lines().map(|line| line.split(" counter packets").next().unwrap_or(line).to_owned()).collect()
}

/// Files whose coming and going is the business of their writer alone.
fn is_noise(path: &str) -> bool {
    // SQLite's side files; the caller's own folders; the daemon's output.
    path.ends_with("-wal")
        || path.ends_with("-shm")
        || path.ends_with("-journal")
        || ["work", "home", "lock"].contains(&path)
}

fn files(scope: &Scope<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(scope.root, "", &mut |path| {
        if is_noise(path) {
            return false;
        }
        found.insert(path.to_owned());
        true
    });
    let run = PathBuf::from(format!("/proc/{}/root/run", scope.holder));
    walk(&run, "", &mut |path| {
        // mount(8) keeps its table there.
        let wanted = path != "mount";
        if wanted {
            found.insert(format!("/run/{path}"));
        }
        wanted
    });
    found
}

/// Calls `visit` with every path below `folder`; goes into a folder when it answers yes. Links are not followed.
fn walk(folder: &Path, relative: &str, visit: &mut impl FnMut(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if relative.is_empty() { name } else { format!("{relative}/{name}") };
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if visit(&path) && is_folder {
            walk(&entry.path(), &path, visit);
        }
    }
}

fn link(path: &str) -> Option<String> {
    fs::read_link(path).ok().map(|target| shown(&target))
}

fn fd_targets(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| link(&entry.path().display().to_string())).collect()
}

/// The daemon's descriptors as `kind #n`, so that a second socket is a line of its own whatever its inode is. Without
/// those of the shims that wait, which it makes when it has the time: before a snapshot or after.
fn fds(daemon: u32) -> BTreeSet<String> {
    // Counted first: one that comes meanwhile makes the first snapshot larger, not smaller, and a later one is retaken.
    let waiting = processes::waiting_shims(daemon);
    let mut counted: BTreeMap<String, u32> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for target in fd_targets(daemon) {
        let kind = match target.split_once(":[") {
            Some((kind, _)) => kind.to_owned(),
            None if is_noise(&target) => continue,
            None => target,
        };
        let number = counted.entry(kind.clone()).or_default();
        *number += 1;
        // Each has a socket and a pidfd.
        let of_shims = if ["socket", "anon_inode"].contains(&&*kind) { waiting } else { 0 };
        if *number > of_shims {
            lines.insert(format!("{kind} #{}", *number - of_shims));
        }
    }
    lines
}
