//! What a message of the engine says, in figures for people.

use api_types::stats::{CpuStats, Stats};

use crate::format::{Column, Listing, short_id};
use crate::template::Value;
use crate::units::{binary_size, decimal_size};

/// Stands for what is not known.
const UNKNOWN: &str = "--";

/// A container as it is shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// As it was asked for.
    container: String,
    /// None: nothing is known of it.
    stats: Option<Stats>,
    /// Ids are cut.
    trunc: bool,
}

pub(super) static LISTING: Listing<Shown> = Listing {
    type_name: "*container.statsContext",
    columns: &[
        Column {
            name: "Container",
            header: "CONTAINER",
            value: |shown| Value::text(shown.container.as_str()),
        },
        Column { name: "Name", header: "NAME", value: |shown| Value::text(shown.name()) },
        Column { name: "ID", header: "CONTAINER ID", value: |shown| Value::text(shown.id()) },
        Column { name: "CPUPerc", header: "CPU %", value: |shown| shown.figure(cpu) },
        Column { name: "MemUsage", header: "MEM USAGE / LIMIT", value: |shown| Value::text(shown.memory()) },
        Column { name: "MemPerc", header: "MEM %", value: |shown| shown.figure(memory_percent) },
        Column { name: "NetIO", header: "NET I/O", value: |shown| shown.figure(network) },
        Column { name: "BlockIO", header: "BLOCK I/O", value: |shown| shown.figure(block_io) },
        Column {
            name: "PIDs",
            header: "PIDS",
            value: |shown| shown.figure(|stats| stats.pids_stats.current.to_string()),
        },
    ],
    label: None,
};

impl Shown {
    pub(super) fn new(container: &str, stats: Stats, trunc: bool) -> Self {
        Self { container: container.to_owned(), stats: Some(stats), trunc }
    }

    /// One of which there is no news.
    pub(super) fn unknown(container: &str, trunc: bool) -> Self {
        Self { container: container.to_owned(), stats: None, trunc }
    }

    fn id(&self) -> &str {
        let id = self.stats.as_ref().map_or(self.container.as_str(), |stats| &stats.id);
        if self.trunc { short_id(id) } else { id }
    }

    fn name(&self) -> &str {
        match self.stats.as_ref().map(|stats| stats.name.trim_start_matches('/')) {
            None | Some("") => UNKNOWN,
            Some(name) => name,
        }
    }

    fn figure(&self, of: fn(&Stats) -> String) -> Value {
        Value::text(self.stats.as_ref().map_or_else(|| UNKNOWN.to_owned(), of))
    }

    fn memory(&self) -> String {
        let Some(stats) = &self.stats else { return format!("{UNKNOWN} / {UNKNOWN}") };
        format!(
            "{} / {}",
            binary_size(signed(memory_used(stats))),
            binary_size(signed(stats.memory_stats.limit))
        )
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "two digits after the point are shown")]
fn percent(part: u64, whole: u64, times: u32) -> String {
    let ratio = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    format!("{:.2}%", ratio * f64::from(times) * 100.0)
}

/// Time that it had since the message before, of what one CPU had.
fn cpu(stats: &Stats) -> String {
    let (now, before) = (&stats.cpu_stats, &stats.precpu_stats);
    let used = |of: &CpuStats| of.cpu_usage.total_usage;
    let part = used(now).saturating_sub(used(before));
    let whole = now.system_cpu_usage.saturating_sub(before.system_cpu_usage);
    let listed = u32::try_from(now.cpu_usage.percpu_usage.len()).unwrap_or(u32::MAX);
    percent(part, whole, if now.online_cpus == 0 { listed } else { now.online_cpus })
}

/// Without page cache that the kernel can take back at once.
fn memory_used(stats: &Stats) -> u64 {
    let memory = &stats.memory_stats;
    let cache = ["total_inactive_file", "inactive_file"].iter().find_map(|name| memory.stats.get(*name));
    match cache {
        Some(cache) if *cache < memory.usage => memory.usage - cache,
        _ => memory.usage,
    }
}

fn memory_percent(stats: &Stats) -> String {
    percent(memory_used(stats), stats.memory_stats.limit, 1)
}

fn in_and_out((received, sent): (u64, u64)) -> String {
    format!("{} / {}", decimal_size(signed(received), 3), decimal_size(signed(sent), 3))
}

fn network(stats: &Stats) -> String {
    let interfaces = stats.networks.iter().flatten();
    in_and_out(interfaces.fold((0, 0), |(rx, tx), (_, one)| (rx + one.rx_bytes, tx + one.tx_bytes)))
}

fn block_io(stats: &Stats) -> String {
    let entries = stats.blkio_stats.io_service_bytes_recursive.iter().flatten();
    in_and_out(entries.fold((0, 0), |(read, written), entry| match entry.op.chars().next() {
        Some('r' | 'R') => (read + entry.value, written),
        Some('w' | 'W') => (read, written + entry.value),
        _ => (read, written),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_that_docker_shows() {
        let text = r#"{
            "name": "/web", "id": "0123456789abcdef", "pids_stats": {"current": 3},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"major": 8, "minor": 0, "op": "Read", "value": 2084864},
                {"major": 8, "minor": 0, "op": "write", "value": 5},
                {"major": 8, "minor": 0, "op": "Total", "value": 2084869}
            ]},
            "cpu_stats": {"cpu_usage": {"total_usage": 600}, "system_cpu_usage": 3000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000, "online_cpus": 2},
            "memory_stats": {"usage": 2437120, "limit": 67108864, "stats": {"total_inactive_file": 2060288, "inactive_file": 1}},
            "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 20}, "eth1": {"rx_bytes": 500}}
        }"#;
        let shown = Shown::new("web", serde_json::from_str(text).unwrap(), true);
        let format =
            "{{.ID}} {{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}";
        assert_eq!(
            crate::format::render(&LISTING, format, vec![shown]).unwrap(),
            "0123456789ab web 50.00% 368KiB / 64MiB 0.56% 1.5kB / 20B 2.08MB / 5B 3\n"
        );
    }

    #[test]
    fn what_is_not_known_is_shown_as_that() {
        let shown = Shown::unknown("web", true);
        let format = "{{.ID}} {{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}";
        assert_eq!(crate::format::render(&LISTING, format, vec![shown]).unwrap(), "web -- -- -- / -- --\n");
    }
}
