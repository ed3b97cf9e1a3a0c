//! What a container uses: `GET /containers/{id}/stats`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Empty, is_default};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// With a leading slash; left out of a single sample.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// 64 hexadecimal digits; left out of a single sample.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// When it was read, RFC 3339.
    pub read: String,
    /// When `precpu_stats` was read.
    pub preread: String,
    /// Tasks.
    pub pids_stats: PidsStats,
    /// Block I/O.
    pub blkio_stats: BlkioStats,
    /// Windows only.
    pub num_procs: u32,
    /// Windows only.
    pub storage_stats: Empty,
    /// CPU time.
    pub cpu_stats: CpuStats,
    /// CPU time at the message before; zero in the first.
    pub precpu_stats: CpuStats,
    /// Memory.
    pub memory_stats: MemoryStats,
    /// By interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<BTreeMap<String, NetworkStats>>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            name: String::new(),
            id: String::new(),
            read: crate::NEVER.to_owned(),
            preread: crate::NEVER.to_owned(),
            pids_stats: PidsStats::default(),
            blkio_stats: BlkioStats::default(),
            num_procs: 0,
            storage_stats: Empty {},
            cpu_stats: CpuStats::default(),
            precpu_stats: CpuStats::default(),
            memory_stats: MemoryStats::default(),
            networks: None,
        }
    }
}

/// Tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// Now.
    #[serde(skip_serializing_if = "is_default")]
    pub current: u64,
    /// At most.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u64,
}

/// Block I/O. A list that cgroup v2 does not have is null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes.
    pub io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
    /// Operations.
    pub io_serviced_recursive: Option<Vec<BlkioEntry>>,
    /// Not kept by current kernels.
    pub io_queue_recursive: Option<Vec<BlkioEntry>>,
    /// Not kept by current kernels.
    pub io_service_time_recursive: Option<Vec<BlkioEntry>>,
    /// Not kept by current kernels.
    pub io_wait_time_recursive: Option<Vec<BlkioEntry>>,
    /// Not kept by current kernels.
    pub io_merged_recursive: Option<Vec<BlkioEntry>>,
    /// Not kept by current kernels.
    pub io_time_recursive: Option<Vec<BlkioEntry>>,
    /// Not kept by current kernels.
    pub sectors_recursive: Option<Vec<BlkioEntry>>,
}

/// Use of one device in one way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// Device major.
    pub major: u64,
    /// Device minor.
    pub minor: u64,
    /// `Read`, `Write`, … on cgroup v1; `read`, `write` on v2.
    pub op: String,
    /// How much.
    pub value: u64,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Of the container.
    pub cpu_usage: CpuUsage,
    /// Of the whole machine, idle time included.
    #[serde(skip_serializing_if = "is_default")]
    pub system_cpu_usage: u64,
    /// CPUs.
    #[serde(skip_serializing_if = "is_default")]
    pub online_cpus: u32,
    /// How often a quota held it back.
    pub throttling_data: ThrottlingData,
}

/// CPU time of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All.
    pub total_usage: u64,
    /// By CPU; cgroup v1.
    #[serde(skip_serializing_if = "is_default")]
    pub percpu_usage: Vec<u64>,
    /// In the kernel.
    pub usage_in_kernelmode: u64,
    /// In user mode.
    pub usage_in_usermode: u64,
}

/// How often a quota held it back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottlingData {
    /// Periods in which it wanted to run.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// Nanoseconds.
    pub throttled_time: u64,
}

/// Memory in bytes; `{}` of a container that does not run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Page cache included.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// The most that ever was; cgroup v1.
    #[serde(skip_serializing_if = "is_default")]
    pub max_usage: u64,
    /// `memory.stat`.
    #[serde(skip_serializing_if = "is_default")]
    pub stats: BTreeMap<String, u64>,
    /// How often the limit was hit.
    #[serde(skip_serializing_if = "is_default")]
    pub failcnt: u64,
    /// The limit, or what the machine has.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u64,
}

/// Traffic of one interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStats {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Broken ones received.
    pub rx_errors: u64,
    /// Received and dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Failures to send.
    pub tx_errors: u64,
    /// Dropped before they were sent.
    pub tx_dropped: u64,
}
