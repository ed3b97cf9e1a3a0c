//! `stats`: what a container uses, once or every second.
//!
//! Everything is read from the kernel when somebody asks: nothing is kept between readers, nothing runs without one,
//! and an engine that has just taken a container over tells the same as the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api_types::stats::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, ThrottlingData,
};
use runtime::cgroup::{self, Cgroup};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::container::Container;
use crate::events::now;
use crate::host::Host;
use crate::modes::{self, NetworkMode};
use crate::params::StatsMode;
use crate::record::Record;
use crate::shared::Shared;
use crate::time::rfc3339;

/// Between two messages.
const PERIOD: Duration = Duration::from_secs(1);

/// What is shown of `memory.stat` on cgroup v1; the same with `total_` before it includes the cgroups below.
const MEMORY_V1: [&str; 15] = [
    "cache",
    "rss",
    "rss_huge",
    "mapped_file",
    "dirty",
    "writeback",
    "pgpgin",
    "pgpgout",
    "pgfault",
    "pgmajfault",
    "inactive_anon",
    "active_anon",
    "inactive_file",
    "active_file",
    "unevictable",
];

/// What is shown of `memory.stat` on cgroup v2.
const MEMORY_V2: [&str; 31] = [
    "active_anon",
    "active_file",
    "anon",
    "anon_thp",
    "file",
    "file_dirty",
    "file_mapped",
    "file_writeback",
    "inactive_anon",
    "inactive_file",
    "kernel_stack",
    "pgactivate",
    "pgdeactivate",
    "pgfault",
    "pglazyfree",
    "pglazyfreed",
    "pgmajfault",
    "pgrefill",
    "pgscan",
    "pgsteal",
    "shmem",
    "slab",
    "slab_reclaimable",
    "slab_unreclaimable",
    "sock",
    "thp_collapse_alloc",
    "thp_fault_alloc",
    "unevictable",
    "workingset_activate",
    "workingset_nodereclaim",
    "workingset_refault",
];

/// Messages about a container, until the receiver is dropped or the container is removed.
pub(crate) fn watch(
    shared: &Arc<Shared>,
    container: Arc<Container>,
    mode: StatsMode,
) -> mpsc::Receiver<Stats> {
    let (sender, receiver) = mpsc::channel(1);
    let reader = Reader { shared: Arc::clone(shared), container, mode };
    tokio::spawn(async move {
        let closed = sender.clone();
        tokio::select! {
            () = reader.run(sender) => {}
            () = closed.closed() => {}
        }
    });
    receiver
}

struct Reader {
    shared: Arc<Shared>,
    container: Arc<Container>,
    mode: StatsMode,
}

impl Reader {
    async fn run(self, sender: mpsc::Sender<Stats>) {
        let mut watch = self.container.watch();
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = watch.wait_for(|now| now.removed) => return,
            }
            let sample = self.sample().await;
            let complete = match self.mode {
                StatsMode::Stream | StatsMode::Once => true,
                StatsMode::Pair => before.is_some() || sample.is_none(),
            };
            if complete {
                let message = self.message(sample.as_ref(), before.as_ref());
                if sender.send(message).await.is_err() || self.mode != StatsMode::Stream {
                    return;
                }
            }
            before = sample;
        }
    }

    /// What is used now; none when it does not run.
    async fn sample(&self) -> Option<Sample> {
        let record = self.container.record();
        let pid = record.state.run()?.pid;
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || Sample::read(&shared, &record, pid)).await.ok()
    }

    fn message(&self, sample: Option<&Sample>, before: Option<&Sample>) -> Stats {
        let mut stats = sample.map(|sample| sample.stats(before)).unwrap_or_default();
        if self.mode != StatsMode::Once || sample.is_none() {
            let record = self.container.record();
            stats.name = format!("/{}", record.name);
            stats.id.clone_from(&record.id);
        }
        stats
    }
}

/// What the kernel says at one moment.
struct Sample {
    at: i64,
    used: cgroup::Stats,
    cgroup_v2: bool,
    machine_memory: u64,
    /// CPU time of the machine, and its CPUs.
    machine: (u64, u32),
    networks: Option<BTreeMap<String, NetworkStats>>,
}

impl Sample {
    fn read(shared: &Shared, record: &Record, pid: i32) -> Self {
        let cgroup = shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
        let Host { cgroup_v2, memory, .. } = shared.host;
        let host_network = matches!(modes::network(&record.host_config.network_mode), Ok(NetworkMode::Host));
        let traffic = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
        Self {
            used: Cgroup::open(&cgroup).stats(),
            at: now(),
            cgroup_v2,
            machine_memory: memory,
            machine: machine(&std::fs::read_to_string("/proc/stat").unwrap_or_default()),
            networks: Some(interfaces(&traffic)).filter(|found| !host_network && !found.is_empty()),
        }
    }

    fn stats(&self, before: Option<&Self>) -> Stats {
        let pids = &self.used.pids;
        // v2 says "unlimited" with the largest number, as Docker's users know it; v1 says nothing.
        let unlimited = if self.cgroup_v2 { u64::MAX } else { 0 };
        Stats {
            read: rfc3339(Some(self.at)),
            preread: rfc3339(before.map(|before| before.at)),
            pids_stats: PidsStats { current: pids.current, limit: pids.limit.unwrap_or(unlimited) },
            blkio_stats: self.blkio(),
            cpu_stats: self.cpu(),
            precpu_stats: before.map(Self::cpu).unwrap_or_default(),
            memory_stats: self.memory(),
            networks: self.networks.clone(),
            ..Stats::default()
        }
    }

    fn cpu(&self) -> CpuStats {
        let cpu = &self.used.cpu;
        CpuStats {
            cpu_usage: CpuUsage {
                total_usage: cpu.total,
                percpu_usage: cpu.per_cpu.clone(),
                usage_in_kernelmode: cpu.system,
                usage_in_usermode: cpu.user,
            },
            system_cpu_usage: self.machine.0,
            online_cpus: self.machine.1,
            throttling_data: ThrottlingData {
                periods: cpu.periods,
                throttled_periods: cpu.throttled_periods,
                throttled_time: cpu.throttled_time,
            },
        }
    }

    fn memory(&self) -> MemoryStats {
        let memory = &self.used.memory;
        let details: BTreeMap<&str, u64> =
            memory.details.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        // A cgroup above the container's may leave it less than its own limit.
        let above = details.get("hierarchical_memory_limit").copied().unwrap_or(u64::MAX);
        let limit = memory.limit.unwrap_or(u64::MAX).min(above).min(self.machine_memory);
        MemoryStats {
            usage: memory.usage,
            max_usage: if self.cgroup_v2 { 0 } else { memory.peak.unwrap_or(0) },
            stats: if self.cgroup_v2 { details_v2(&details) } else { details_v1(&details) },
            failcnt: if self.cgroup_v2 { 0 } else { memory.failures },
            limit,
        }
    }

    fn blkio(&self) -> BlkioStats {
        let entries = |list: &[cgroup::IoEntry]| {
            let entry = |entry: &cgroup::IoEntry| BlkioEntry {
                major: entry.major,
                minor: entry.minor,
                op: if self.cgroup_v2 { entry.operation.clone() } else { capitalised(&entry.operation) },
                value: entry.value,
            };
            Some(list.iter().map(entry).collect())
        };
        let nothing = || if self.cgroup_v2 { None } else { Some(Vec::new()) };
        BlkioStats {
            io_service_bytes_recursive: entries(&self.used.io_bytes),
            io_serviced_recursive: if self.cgroup_v2 { None } else { entries(&self.used.io_operations) },
            io_queue_recursive: nothing(),
            io_service_time_recursive: nothing(),
            io_wait_time_recursive: nothing(),
            io_merged_recursive: nothing(),
            io_time_recursive: nothing(),
            sectors_recursive: nothing(),
        }
    }
}

fn details_v1(details: &BTreeMap<&str, u64>) -> BTreeMap<String, u64> {
    let get = |name: &str| details.get(name).copied().unwrap_or(0);
    let mut shown = BTreeMap::new();
    for name in MEMORY_V1 {
        shown.insert(name.to_owned(), get(name));
        let total = format!("total_{name}");
        shown.insert(total.clone(), get(&total));
    }
    for name in ["hierarchical_memory_limit", "hierarchical_memsw_limit"] {
        shown.insert(name.to_owned(), get(name));
    }
    shown
}

/// Newer kernels count some things by kind of page; their sum is what the older name stood for.
fn details_v2(details: &BTreeMap<&str, u64>) -> BTreeMap<String, u64> {
    let get = |name: &str| {
        let by_kind = |kind: &str| details.get(format!("{name}_{kind}").as_str()).copied();
        let sum = || by_kind("anon").unwrap_or(0) + by_kind("file").unwrap_or(0);
        details.get(name).copied().unwrap_or_else(sum)
    };
    MEMORY_V2.iter().map(|name| ((*name).to_owned(), get(name))).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `/proc/stat`: CPU time of the machine in nanoseconds, as far as it is not counted twice (time of guests is in user
/// time), and the number of CPUs.
fn machine(text: &str) -> (u64, u32) {
    const TICK: u64 = 10_000_000;
    let all = text.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: u64 = all.split_whitespace().take(7).filter_map(|word| word.parse::<u64>().ok()).sum();
    let cpus = text.lines().filter(|line| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    (ticks.saturating_mul(TICK), u32::try_from(cpus.count()).unwrap_or(u32::MAX))
}

/// `/proc/<pid>/net/dev`: traffic by interface, but for loopback.
fn interfaces(text: &str) -> BTreeMap<String, NetworkStats> {
    let interface = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let number = |column: usize| numbers.get(column).copied();
        // Eight columns of what was received, then eight of what was sent.
        let traffic = NetworkStats {
            rx_bytes: number(0)?,
            rx_packets: number(1)?,
            rx_errors: number(2)?,
            rx_dropped: number(3)?,
            tx_bytes: number(8)?,
            tx_packets: number(9)?,
            tx_errors: number(10)?,
            tx_dropped: number(11)?,
        };
        Some((name.trim().to_owned(), traffic))
    };
    text.lines().filter_map(interface).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_time_is_the_sum_of_its_parts() {
        let text = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\ncpufreq 1\n";
        assert_eq!(machine(text), (28 * 10_000_000, 2));
        assert_eq!(machine(""), (0, 0));
    }

    #[test]
    fn loopback_is_not_counted() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets\n\
                    lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n";
        let found = interfaces(text);
        let eth0 = NetworkStats {
            rx_bytes: 1,
            rx_packets: 2,
            rx_errors: 3,
            rx_dropped: 4,
            tx_bytes: 5,
            tx_packets: 6,
            tx_errors: 7,
            tx_dropped: 8,
        };
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("eth0".to_owned(), eth0)]);
    }

    fn sample(cgroup_v2: bool) -> Sample {
        let io = cgroup::IoEntry { major: 8, minor: 0, operation: "read".into(), value: 4096 };
        let used = cgroup::Stats {
            io_bytes: vec![io.clone()],
            io_operations: vec![io],
            memory: cgroup::MemoryStats {
                usage: 5,
                peak: Some(7),
                limit: None,
                failures: 1,
                details: vec![
                    ("cache".into(), 3),
                    ("hierarchical_memory_limit".into(), 800),
                    ("workingset_refault_anon".into(), 1),
                    ("workingset_refault_file".into(), 2),
                    ("nobody_knows".into(), 2),
                ],
            },
            ..cgroup::Stats::default()
        };
        Sample { at: 1, used, cgroup_v2, machine_memory: 1000, machine: (50, 2), networks: None }
    }

    #[test]
    fn both_versions_are_shown_as_docker_shows_them() {
        let v1 = sample(false).stats(None);
        assert_eq!(v1.memory_stats.limit, 800);
        assert_eq!((v1.memory_stats.max_usage, v1.memory_stats.failcnt), (7, 1));
        assert_eq!(v1.memory_stats.stats.len(), 32);
        assert_eq!(v1.blkio_stats.io_serviced_recursive.unwrap()[0].op, "Read");
        assert_eq!(v1.blkio_stats.sectors_recursive, Some(vec![]));
        assert_eq!(v1.pids_stats.limit, 0);
        let v2 = sample(true).stats(None);
        assert_eq!((v2.memory_stats.max_usage, v2.memory_stats.failcnt), (0, 0));
        assert_eq!(v2.memory_stats.stats["workingset_refault"], 3);
        assert_eq!(v2.memory_stats.stats.len(), MEMORY_V2.len());
        assert_eq!(v2.blkio_stats.io_service_bytes_recursive.unwrap()[0].op, "read");
        assert_eq!(v2.blkio_stats.io_serviced_recursive, None);
        assert_eq!(v2.pids_stats.limit, u64::MAX);
    }

    #[test]
    fn a_message_tells_the_one_before() {
        let first = sample(false);
        let mut second = sample(false);
        second.machine.0 = 90;
        let stats = second.stats(Some(&first));
        assert_eq!((stats.cpu_stats.system_cpu_usage, stats.precpu_stats.system_cpu_usage), (90, 50));
        assert_ne!(stats.preread, api_types::NEVER);
    }
}
