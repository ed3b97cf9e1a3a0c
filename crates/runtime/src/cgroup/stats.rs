//! What a cgroup has used.

use super::files::{Directory, keyed};
use super::host::{Controller, Host, Layout};

/// Use of everything at one moment; parts whose controller is missing are zero or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// CPU time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidStats,
    /// Block I/O in bytes.
    pub io_bytes: Vec<IoEntry>,
    /// Block I/O in operations.
    pub io_operations: Vec<IoEntry>,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuStats {
    /// All.
    pub total: u64,
    /// Of it in user mode.
    pub user: u64,
    /// Of it in the kernel.
    pub system: u64,
    /// By CPU (v1).
    pub per_cpu: Vec<u64>,
    /// Periods in which it wanted to run under a quota.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// How long it was held back.
    pub throttled_time: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryStats {
    /// In use, page cache included.
    pub usage: u64,
    /// The most that ever was, when the kernel says it.
    pub peak: Option<u64>,
    /// The limit; none: unlimited.
    pub limit: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
    /// `memory.stat`, in the kernel's order.
    pub details: Vec<(String, u64)>,
}

/// Tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PidStats {
    /// Now.
    pub current: u64,
    /// The limit; none: unlimited.
    pub limit: Option<u64>,
}

/// Use of one device in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoEntry {
    /// Device major.
    pub major: u64,
    /// Device minor.
    pub minor: u64,
    /// `read`, `write`, `sync`, `async`, `discard` or `total`.
    pub operation: String,
    /// Bytes or operations.
    pub value: u64,
}

/// The cgroup's directory of a controller.
pub(super) fn of(host: &Host, path: &str, controller: Controller) -> Option<Directory> {
    let mount = match &host.layout {
        Layout::V1(_) => &host.hierarchy(controller)?.mount,
        Layout::V2(mount) => mount,
        Layout::Nothing => return None,
    };
    Directory::open(format!("{mount}{path}")).ok().flatten()
}

pub(super) fn read(host: &Host, path: &str) -> Stats {
    let v2 = host.version() == 2;
    let mut stats = Stats::default();
    if v2 {
        if let Some(directory) = of(host, path, Controller::Cpu) {
            all_v2(&directory, &mut stats);
        }
    } else {
        cpu_v1(host, path, &mut stats.cpu);
        if let Some(directory) = of(host, path, Controller::Memory) {
            memory_v1(&directory, &mut stats.memory);
        }
        if let Some(directory) = of(host, path, Controller::Blkio) {
            let read = |file| directory.read(file).unwrap_or_default();
            stats.io_bytes = io_v1(&read("blkio.throttle.io_service_bytes_recursive"));
            stats.io_operations = io_v1(&read("blkio.throttle.io_serviced_recursive"));
        }
    }
    if let Some(directory) = of(host, path, Controller::Pids) {
        stats.pids.current = directory.number("pids.current").unwrap_or(0);
        stats.pids.limit = directory.number("pids.max");
    }
    stats
}

fn cpu_v1(host: &Host, path: &str, cpu: &mut CpuStats) {
    if let Some(directory) = of(host, path, Controller::Cpuacct) {
        let number = |file| directory.number(file).unwrap_or(0);
        (cpu.total, cpu.user, cpu.system) =
            (number("cpuacct.usage"), number("cpuacct.usage_user"), number("cpuacct.usage_sys"));
        let per_cpu = directory.read("cpuacct.usage_percpu").unwrap_or_default();
        cpu.per_cpu = per_cpu.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    }
    if let Some(text) = of(host, path, Controller::Cpu).and_then(|directory| directory.read("cpu.stat").ok())
    {
        throttling(&text, cpu);
    }
}

fn throttling(text: &str, cpu: &mut CpuStats) {
    for (key, value) in keyed(text) {
        match key {
            "nr_periods" => cpu.periods = value,
            "nr_throttled" => cpu.throttled_periods = value,
            "throttled_time" => cpu.throttled_time = value,
            "throttled_usec" => cpu.throttled_time = value.saturating_mul(1000),
            "usage_usec" => cpu.total = value.saturating_mul(1000),
            "user_usec" => cpu.user = value.saturating_mul(1000),
            "system_usec" => cpu.system = value.saturating_mul(1000),
            _ => {}
        }
    }
}

/// v1 says "unlimited" with the largest number of whole pages.
const UNLIMITED_V1: u64 = 0x7fff_ffff_ffff_0000;

/// The memory limit; none: unlimited.
pub(super) fn limit_v1(directory: &Directory) -> Option<u64> {
    directory.number("memory.limit_in_bytes").filter(|&limit| limit < UNLIMITED_V1)
}

fn memory_v1(directory: &Directory, memory: &mut MemoryStats) {
    memory.usage = directory.number("memory.usage_in_bytes").unwrap_or(0);
    memory.peak = directory.number("memory.max_usage_in_bytes");
    memory.limit = limit_v1(directory);
    memory.failures = directory.number("memory.failcnt").unwrap_or(0);
    memory.details = details(directory);
}

fn details(directory: &Directory) -> Vec<(String, u64)> {
    let text = directory.read("memory.stat").unwrap_or_default();
    keyed(&text).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Lines `8:0 Read 4096`; the last one, `Total 4096`, is of no device.
fn io_v1(text: &str) -> Vec<IoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        Some(IoEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            operation: words.next()?.to_lowercase(),
            value: words.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}

fn all_v2(directory: &Directory, stats: &mut Stats) {
    throttling(&directory.read("cpu.stat").unwrap_or_default(), &mut stats.cpu);
    stats.memory = MemoryStats {
        usage: directory.number("memory.current").unwrap_or(0),
        peak: directory.number("memory.peak"),
        limit: directory.number("memory.max"),
        failures: directory.keyed("memory.events", "max").unwrap_or(0),
        details: details(directory),
    };
    let io = directory.read("io.stat").unwrap_or_default();
    stats.io_bytes = io_v2(&io, [("rbytes", "read"), ("wbytes", "write")]);
    stats.io_operations = io_v2(&io, [("rios", "read"), ("wios", "write")]);
}

/// Lines `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
fn io_v2(text: &str, keys: [(&str, &str); 2]) -> Vec<IoEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        let values: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
        for (key, operation) in keys {
            let value =
                values.iter().find(|(name, _)| *name == key).and_then(|(_, value)| value.parse().ok());
            let value = value.unwrap_or(0);
            entries.push(IoEntry { major, minor, operation: operation.to_owned(), value });
        }
    }
    entries
}

/// The most memory that ever was in use; none when the kernel does not say.
pub(super) fn memory_peak(host: &Host, path: &str) -> Option<u64> {
    let file = if host.version() == 2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
    of(host, path, Controller::Memory)?.number(file)
}

/// How often the OOM killer struck, here or below.
pub(super) fn oom_kills(host: &Host, path: &str) -> u64 {
    let file = if host.version() == 2 { "memory.events" } else { "memory.oom_control" };
    let count = of(host, path, Controller::Memory).and_then(|directory| directory.keyed(file, "oom_kill"));
    count.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(minor: u64, operation: &str, value: u64) -> IoEntry {
        IoEntry { major: 8, minor, operation: operation.into(), value }
    }

    #[test]
    fn io_statistics_of_both_versions_are_read() {
        let v1 = "8:0 Read 4096\n8:0 Write 10\n8:16 Total 1\nTotal 4107\n";
        assert_eq!(io_v1(v1), [entry(0, "read", 4096), entry(0, "write", 10), entry(16, "total", 1)]);
        let v2 = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 \nnonsense\n";
        let keys = [("rbytes", "read"), ("wbytes", "write")];
        let expected =
            [entry(0, "read", 1), entry(0, "write", 2), entry(16, "read", 0), entry(16, "write", 0)];
        assert_eq!(io_v2(v2, keys), expected);
    }

    #[test]
    fn cpu_time_is_in_nanoseconds_on_both_versions() {
        let mut cpu = CpuStats::default();
        throttling(
            "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 9\n",
            &mut cpu,
        );
        let expected = CpuStats {
            total: 5000,
            user: 3000,
            system: 2000,
            periods: 7,
            throttled_periods: 1,
            throttled_time: 9000,
            per_cpu: Vec::new(),
        };
        assert_eq!(cpu, expected);
        throttling("throttled_time 8\n", &mut cpu);
        assert_eq!(cpu.throttled_time, 8);
    }
}
