//! An OOM kill in words: whose limit was reached, how large it is, and how much the container used.

use std::path::Path;

use serde::{Deserialize, Serialize};
use shim::oom::{LimitOwner, OutOfMemory};
use shim::protocol::Exit;

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OomKill {
    /// Whose limit was reached; none: nobody has said.
    pub whose: Option<Whose>,
    /// That limit in bytes.
    pub limit: Option<u64>,
    /// The most that the container used, in bytes.
    pub peak: Option<u64>,
}

/// Whose limit was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// The container's own, `--memory`.
    Container,
    /// That of a cgroup above it, `--cgroup-parent`.
    Above(String),
    /// That of a cgroup that was made in the container.
    Below,
    /// Nobody's: the machine has no memory left.
    Machine,
}

impl From<Option<OutOfMemory>> for OomKill {
    fn from(found: Option<OutOfMemory>) -> Self {
        let Some(OutOfMemory { whose, limit, peak }) = found else {
            return Self { whose: None, limit: None, peak: None };
        };
        let whose = match whose {
            LimitOwner::Own => Whose::Container,
            LimitOwner::Above(path) => Whose::Above(path),
            LimitOwner::Below => Whose::Below,
            LimitOwner::Machine => Whose::Machine,
        };
        Self { whose: Some(whose), limit, peak }
    }
}

impl OomKill {
    /// What the shim has found out, if it was an OOM kill. Blocks.
    pub(crate) fn of(exit: &Exit, run_dir: &Path) -> Option<Self> {
        exit.oom_killed.then(|| shim::oom::read(run_dir).into())
    }

    /// What `run` says, and `State.Error`.
    pub(crate) fn explanation(&self) -> String {
        let of =
            |limit: Option<u64>| limit.map_or_else(String::new, |limit| format!(" of {}", size_text(limit)));
        let reason = match &self.whose {
            None => "it was out of memory".to_owned(),
            Some(Whose::Container) => {
                format!("the container's memory limit{} was reached (raise it with --memory)", of(self.limit))
            }
            Some(Whose::Above(path)) => format!(
                "the memory limit{} of the cgroup {path} above the container (--cgroup-parent) was reached, \
                 which all in that cgroup share",
                of(self.limit)
            ),
            Some(Whose::Below) => "a memory limit that was set inside the container was reached".to_owned(),
            Some(Whose::Machine) => {
                "the machine is out of memory; no limit of the container was reached".to_owned()
            }
        };
        match self.peak {
            Some(peak) => {
                format!("killed by the kernel: {reason}; the most that it used was {}", size_text(peak))
            }
            None => format!("killed by the kernel: {reason}"),
        }
    }

    /// What `ps` adds to the status.
    pub(crate) fn note(&self) -> String {
        let limit = self.limit.map_or_else(String::new, |limit| format!(" {}", size_text(limit)));
        match &self.whose {
            None => "out of memory".to_owned(),
            Some(Whose::Container) => format!("out of memory: limit{limit}"),
            Some(Whose::Above(path)) => format!("out of memory: limit{limit} of {path}"),
            Some(Whose::Below) => "out of memory: limit inside the container".to_owned(),
            Some(Whose::Machine) => "out of memory: machine".to_owned(),
        }
    }

    /// What the `oom` event tells beside Docker's attributes.
    pub(crate) fn attributes(&self) -> Vec<(&'static str, String)> {
        let whose = self.whose.as_ref().map(|whose| match whose {
            Whose::Container => "container".to_owned(),
            Whose::Above(path) => path.clone(),
            Whose::Below => "below".to_owned(),
            Whose::Machine => "machine".to_owned(),
        });
        [
            ("memoryLimitOf", whose),
            ("memoryLimit", self.limit.map(|limit| limit.to_string())),
            ("memoryPeak", self.peak.map(|peak| peak.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// Exact where it can be said in whole units.
fn size_text(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    UNITS
        .iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .map_or_else(|| format!("{bytes} bytes"), |(unit, size)| format!("{} {unit}", bytes / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_of_a_limit_is_named() {
        let mebi = |count: u64| Some(count << 20);
        for (whose, limit, peak, explanation, note) in [
            (
                Some(Whose::Container),
                mebi(16),
                mebi(16),
                "killed by the kernel: the container's memory limit of 16 MiB was reached (raise it with --memory); \
                 the most that it used was 16 MiB",
                "out of memory: limit 16 MiB",
            ),
            (
                Some(Whose::Above("/teams/blue".into())),
                mebi(2048),
                Some(1000),
                "killed by the kernel: the memory limit of 2 GiB of the cgroup /teams/blue above the container \
                 (--cgroup-parent) was reached, which all in that cgroup share; the most that it used was 1000 bytes",
                "out of memory: limit 2 GiB of /teams/blue",
            ),
            (
                Some(Whose::Below),
                None,
                None,
                "killed by the kernel: a memory limit that was set inside the container was reached",
                "out of memory: limit inside the container",
            ),
            (
                Some(Whose::Machine),
                None,
                Some(2048),
                "killed by the kernel: the machine is out of memory; no limit of the container was reached; \
                 the most that it used was 2 KiB",
                "out of memory: machine",
            ),
            (None, None, None, "killed by the kernel: it was out of memory", "out of memory"),
        ] {
            let kill = OomKill { whose, limit, peak };
            assert_eq!(kill.explanation(), explanation);
            assert_eq!(kill.note(), note);
        }
    }

    #[test]
    fn the_event_has_figures_in_bytes() {
        let found = OutOfMemory { whose: LimitOwner::Above("/a".into()), limit: Some(5), peak: None };
        let kill = OomKill::from(Some(found));
        assert_eq!(kill.attributes(), [("memoryLimitOf", "/a".to_owned()), ("memoryLimit", "5".to_owned())]);
        assert_eq!(OomKill::from(None).attributes(), []);
    }
}
