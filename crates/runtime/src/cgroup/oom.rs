//! Whose memory limit it was that the kernel killed for.

use super::files::Directory;
use super::host::{Controller, Host, Layout};
use super::stats;

/// What is known of an OOM kill in a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Whose limit was reached.
    pub whose: LimitOwner,
    /// That limit in bytes, when the kernel says it.
    pub limit: Option<u64>,
    /// The most memory the cgroup itself ever used.
    pub peak: Option<u64>,
}

/// Whose limit was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitOwner {
    /// The cgroup's own.
    Own,
    /// That of the cgroup above it with this path.
    Above(String),
    /// That of one that was made below it.
    Below,
    /// Nobody's: the machine has no memory left.
    Machine,
}

/// What v1 charges at once; a peak may stay that far below the limit that it ran into.
const BATCH: u64 = 32 * 4096;

pub(super) fn of(host: &Host, path: &str) -> OutOfMemory {
    let peak = stats::memory_peak(host, path);
    let (whose, limit) = match host.layout {
        Layout::V2(_) => v2(host, path),
        Layout::V1(_) | Layout::Nothing => v1(host, path),
    };
    OutOfMemory { whose, limit, peak }
}

/// The cgroups above, the nearest first; the root has no limit.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at]).filter(|parent| !parent.is_empty())
}

/// v2 counts in `memory.events.local` where the limit was reached, and in `memory.events` also below.
fn v2(host: &Host, path: &str) -> (LimitOwner, Option<u64>) {
    let directory = |path: &str| stats::of(host, path, Controller::Memory);
    let struck = |directory: &Directory, file| directory.keyed(file, "oom").is_some_and(|times| times > 0);
    let Some(own) = directory(path) else { return (LimitOwner::Machine, None) };
    if struck(&own, "memory.events.local") {
        return (LimitOwner::Own, own.number("memory.max"));
    }
    if struck(&own, "memory.events") {
        return (LimitOwner::Below, None);
    }
    for parent in above(path) {
        let found = directory(parent).filter(|parent| struck(parent, "memory.events.local"));
        if let Some(limit) = found.and_then(|parent| parent.number("memory.max")) {
            return (LimitOwner::Above(parent.to_owned()), Some(limit));
        }
    }
    (LimitOwner::Machine, None)
}

/// v1 does not say, and newer kernels do not even count there how often a limit was in the way; but only a cgroup that
/// has used all that it may can have been the cause.
fn v1(host: &Host, path: &str) -> (LimitOwner, Option<u64>) {
    let exhausted = |path: &str| {
        let directory = stats::of(host, path, Controller::Memory)?;
        let limit = stats::limit_v1(&directory)?;
        let peak = directory.number("memory.max_usage_in_bytes").unwrap_or(0);
        (peak.saturating_add(BATCH) >= limit).then_some(limit)
    };
    if let Some(limit) = exhausted(path) {
        return (LimitOwner::Own, Some(limit));
    }
    let found = above(path).find_map(|parent| Some((parent, exhausted(parent)?)));
    match found {
        Some((parent, limit)) => (LimitOwner::Above(parent.to_owned()), Some(limit)),
        None => (LimitOwner::Machine, None),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// A tree of files that looks like a hierarchy.
    struct Tree(std::path::PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("corten-oom-{name}-{}", std::process::id()));
            for (file, text) in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
            }
            Self(root)
        }

        fn v1(&self) -> Host {
            let line = format!("1 1 0:1 / {} rw - cgroup cgroup rw,memory\n", self.0.display());
            Host::from_mountinfo(&line)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn v2_says_in_which_cgroup_the_limit_was_reached() {
        let none = "low 0\noom 0\noom_kill 1\n";
        let struck = "low 0\noom 1\noom_kill 1\n";
        let cases: [(&str, [&str; 3], LimitOwner, Option<u64>); 4] = [
            ("own", [struck, struck, none], LimitOwner::Own, Some(100)),
            ("above", [none, none, struck], LimitOwner::Above("/p".into()), Some(50)),
            ("below", [none, struck, none], LimitOwner::Below, None),
            ("machine", [none, none, none], LimitOwner::Machine, None),
        ];
        for (name, [local, events, parent], whose, limit) in cases {
            let tree = Tree::new(
                name,
                &[
                    ("p/c/memory.events.local", local),
                    ("p/c/memory.events", events),
                    ("p/c/memory.max", "100\n"),
                    ("p/c/memory.peak", "40\n"),
                    ("p/memory.events.local", parent),
                    ("p/memory.max", "50\n"),
                ],
            );
            let host = Host::v2(&tree.0.display().to_string());
            assert_eq!(of(&host, "/p/c"), OutOfMemory { whose, limit, peak: Some(40) }, "{name}");
        }
    }

    #[test]
    fn on_v1_it_is_the_nearest_that_has_used_all_that_it_may() {
        const NO_LIMIT: &str = "9223372036854771712\n";
        let cases: [(&str, [&str; 4], LimitOwner, Option<u64>); 4] = [
            ("own", ["1000000", "999000", "2000000", "2000000"], LimitOwner::Own, Some(1_000_000)),
            (
                "above",
                ["3000000", "1500000", "2000000", "1999000"],
                LimitOwner::Above("/p".into()),
                Some(2_000_000),
            ),
            ("no-limit", [NO_LIMIT, "5000000", NO_LIMIT, "5000000"], LimitOwner::Machine, None),
            ("room", ["3000000", "1500000", "9000000", "1999000"], LimitOwner::Machine, None),
        ];
        for (name, [limit, peak, limit_above, peak_above], whose, reached) in cases {
            let tree = Tree::new(
                &format!("v1-{name}"),
                &[
                    ("p/c/memory.limit_in_bytes", limit),
                    ("p/c/memory.max_usage_in_bytes", peak),
                    ("p/memory.limit_in_bytes", limit_above),
                    ("p/memory.max_usage_in_bytes", peak_above),
                ],
            );
            let expected = OutOfMemory { whose, limit: reached, peak: peak.parse().ok() };
            assert_eq!(of(&tree.v1(), "/p/c"), expected, "{name}");
        }
    }
}
