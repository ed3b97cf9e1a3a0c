//! Which processes belong to a sandbox.

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{cgroups, link};

/// A process, as far as a reader of a failed test wants to know it.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) pid: u32,
    parent: u32,
    state: char,
    line: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} (parent {}, state {}): {}", self.pid, self.parent, self.state, self.line)
    }
}

/// A shim that waits for a container: a daemon has a few of them, others after each start. Without its daemon it is a
/// leak like any other.
const WAITING_SHIM: &str = "corten-ready";

/// Processes of the sandbox, without its holder and without the test process itself.
pub(super) fn belonging_to(root: &Path, holder: Option<u32>) -> Vec<Process> {
    let owner = Owner::new(root, holder);
    let me = std::process::id();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != me && Some(*pid) != holder)
        .filter(|pid| owner.has(*pid))
        .filter_map(describe)
        // A zombie of init is nobody's mistake but init's; one of this test is about to be waited for.
        .filter(|process| process.state != 'Z' || ![1, me].contains(&process.parent))
        .collect()
}

/// How many shims wait at a daemon.
pub(super) fn waiting_shims(daemon: u32) -> u32 {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let waits = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, fields) = name_and_fields(&stat)?;
        Some(name == WAITING_SHIM && fields.split(' ').nth(1)?.parse() == Ok(daemon))
    };
    let count = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| waits(pid).unwrap_or(false))
        .count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Name, and what follows it, of `/proc/PID/stat`.
fn name_and_fields(stat: &str) -> Option<(&str, &str)> {
    stat.split_once('(')?.1.rsplit_once(") ")
}

struct Owner<'a> {
    root: &'a [u8],
    namespaces: Vec<(&'static str, String)>,
    cgroups: Vec<String>,
}

impl<'a> Owner<'a> {
    fn new(root: &'a Path, holder: Option<u32>) -> Self {
        let of = |pid: u32| ["mnt", "net"].map(|kind| (kind, link(&format!("/proc/{pid}/ns/{kind}"))));
        let own = of(std::process::id());
        let held = holder.map(of).into_iter().flatten();
        let namespaces = held
            .zip(own)
            // A holder that has not entered its namespaces yet must not make the whole machine ours.
            .filter(|(theirs, ours)| theirs.1 != ours.1)
            .filter_map(|((kind, name), _)| Some((kind, name?)))
            .collect();
        Self { root: root.as_os_str().as_bytes(), namespaces, cgroups: cgroups::names_of(root) }
    }

    fn has(&self, pid: u32) -> bool {
        let shares =
            |(kind, name): &(&str, String)| link(&format!("/proc/{pid}/ns/{kind}")).as_ref() == Some(name);
        self.namespaces.iter().any(shares)
            || ["environ", "cmdline"].iter().any(|file| self.is_named_in(pid, file))
            || self.is_in_cgroup(pid)
    }

    fn is_named_in(&self, pid: u32, file: &str) -> bool {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // `/tmp/ct-7-1` must not claim what belongs to `/tmp/ct-7-10`.
        text.windows(self.root.len())
            .enumerate()
            .any(|(at, part)| part == self.root && !text.get(at + part.len()).is_some_and(u8::is_ascii_digit))
    }

    fn is_in_cgroup(&self, pid: u32) -> bool {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mut parts = groups.lines().flat_map(|line| line.split('/'));
        parts.any(|part| self.cgroups.iter().any(|name| part.trim_end_matches(" (deleted)") == name))
    }
}

fn describe(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, fields) = name_and_fields(&stat)?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    if name == WAITING_SHIM && parent != 1 {
        return None;
    }
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    let line = if line.is_empty() { format!("[{name}]") } else { line };
    Some(Process { pid, parent, state, line })
}
