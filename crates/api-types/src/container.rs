//! Containers: create, list, inspect, wait.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::host_config::{HostConfig, MountRequest, RestartPolicy};
use crate::is_default;
use crate::network::{EndpointSettings, NetworkSettings, NetworkingConfig};

/// Body of `POST /containers/create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    /// The portable part, its members at the top level.
    #[serde(flatten)]
    pub config: Config,
    /// The host's part.
    #[serde(rename = "HostConfig")]
    pub host_config: HostConfig,
    /// Networks.
    #[serde(rename = "NetworkingConfig")]
    pub networking_config: NetworkingConfig,
}

/// Processes of a container, `GET /containers/{id}/top`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TopResponse {
    /// A row per process.
    pub processes: Vec<Vec<String>>,
    /// Heads of the columns.
    pub titles: Vec<String>,
}

/// Answer of `POST /containers/create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateResponse {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What was changed or ignored.
    pub warnings: Vec<String>,
}

/// One container of `GET /containers/json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Summary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// With a leading slash.
    pub names: Vec<String>,
    /// As the user named it.
    pub image: String,
    /// Image id.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// Path and arguments, joined.
    pub command: String,
    /// Unix seconds.
    pub created: i64,
    /// Ports.
    pub ports: Vec<Port>,
    /// Bytes of the writable layer, with `size=1`; Docker leaves out a zero.
    #[serde(skip_serializing_if = "none_or_zero")]
    pub size_rw: Option<i64>,
    /// Bytes in all, with `size=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, ….
    pub state: String,
    /// For people: `Up 3 minutes`.
    pub status: String,
    /// An excerpt.
    pub host_config: SummaryHostConfig,
    /// An excerpt.
    pub network_settings: SummaryNetworks,
    /// Mounts.
    pub mounts: Vec<MountPoint>,
}

fn none_or_zero(value: &Option<i64>) -> bool {
    matches!(value, None | Some(0))
}

/// Excerpt of the host configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryHostConfig {
    /// Network mode.
    pub network_mode: String,
    /// Annotations.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Excerpt of the network settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryNetworks {
    /// By network name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// One port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// Address on the host.
    #[serde(rename = "IP", skip_serializing_if = "is_default")]
    pub ip: String,
    /// Port in the container.
    pub private_port: u16,
    /// Port on the host.
    #[serde(skip_serializing_if = "is_default")]
    pub public_port: u16,
    /// `tcp`, `udp`, `sctp`.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// One mount of a container, as inspected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`.
    #[serde(rename = "Type", skip_serializing_if = "is_default")]
    pub kind: String,
    /// Volume name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// Volume driver.
    #[serde(skip_serializing_if = "is_default")]
    pub driver: String,
    /// Options as given.
    pub mode: String,
    /// Writable.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// Propagation.
    pub propagation: String,
}

/// Answer of `GET /containers/{id}/json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Inspect {
    /// 64 hexadecimal digits.
    pub id: String,
    /// RFC 3339 with nanoseconds.
    pub created: String,
    /// Program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// State.
    pub state: State,
    /// Image id.
    pub image: String,
    /// File on the host.
    pub resolv_conf_path: String,
    /// File on the host.
    pub hostname_path: String,
    /// File on the host.
    pub hosts_path: String,
    /// File on the host.
    pub log_path: String,
    /// With a leading slash.
    pub name: String,
    /// Restarts by policy.
    pub restart_count: i64,
    /// Storage driver.
    pub driver: String,
    /// `linux`.
    pub platform: String,
    /// Descriptor of the image manifest, from API 1.48.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_descriptor: Option<serde_json::Value>,
    /// SELinux.
    pub mount_label: String,
    /// SELinux.
    pub process_label: String,
    /// AppArmor.
    pub app_armor_profile: String,
    /// Exec ids of processes that run.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// Host configuration.
    pub host_config: HostConfig,
    /// Where the file system is.
    pub graph_driver: GraphDriver,
    /// Bytes of the writable layer, with `size=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes in all, with `size=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Mounts.
    pub mounts: Vec<MountPoint>,
    /// Configuration.
    pub config: Config,
    /// Networks.
    pub network_settings: NetworkSettings,
}

/// State of an inspected container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub status: String,
    /// Running or paused.
    pub running: bool,
    /// Paused.
    pub paused: bool,
    /// Waiting to be started again.
    pub restarting: bool,
    /// Killed by the kernel, out of memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Could not be removed.
    pub dead: bool,
    /// Host pid of init; 0 when not running.
    pub pid: i32,
    /// Exit code of the last run.
    pub exit_code: i32,
    /// Why the last start failed.
    pub error: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// Health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// Health of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last five checks.
    pub log: Option<Vec<HealthResult>>,
}

/// One health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthResult {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// 0 is healthy.
    pub exit_code: i32,
    /// At most 4 KiB.
    pub output: String,
}

/// Storage driver's data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GraphDriver {
    /// `LowerDir`, `UpperDir`, `WorkDir`, `MergedDir`, ….
    pub data: Option<BTreeMap<String, String>>,
    /// `overlay2`.
    pub name: String,
}

/// Answer of `POST /containers/{id}/wait`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitResponse {
    /// Exit code.
    pub status_code: i64,
    /// Set when the wait itself failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WaitError>,
    /// Ours, and only when there is something: why the container ended as it did, for people to read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub explanation: String,
}

/// Why a wait failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitError {
    /// Text.
    pub message: String,
}

/// Body of `POST /containers/{id}/update`: what is zero, empty or absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateRequest {
    /// CPU weight.
    pub cpu_shares: i64,
    /// Memory limit.
    pub memory: i64,
    /// CPUs in units of 10⁻⁹.
    pub nano_cpus: i64,
    /// 10 … 1000.
    pub blkio_weight: u16,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds per period.
    pub cpu_quota: i64,
    /// Microseconds.
    pub cpu_realtime_period: i64,
    /// Microseconds.
    pub cpu_realtime_runtime: i64,
    /// CPU list.
    pub cpuset_cpus: String,
    /// Memory node list.
    pub cpuset_mems: String,
    /// Soft memory limit.
    pub memory_reservation: i64,
    /// Memory plus swap; −1: unlimited.
    pub memory_swap: i64,
    /// Checked, but not changed.
    pub memory_swappiness: Option<i64>,
    /// Checked, but not changed.
    pub oom_kill_disable: Option<bool>,
    /// Number of tasks; 0 or less: unlimited.
    pub pids_limit: Option<i64>,
    /// Restart policy; without a name it stays.
    pub restart_policy: RestartPolicy,
}

/// Answer of `POST /containers/{id}/update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateResponse {
    /// What was changed or ignored; null when nothing was.
    pub warnings: Option<Vec<String>>,
}

/// One changed path of `GET /containers/{id}/changes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Change {
    /// Absolute path.
    pub path: String,
    /// 0 modified, 1 added, 2 deleted.
    pub kind: u8,
}

/// What a mount request of the long form becomes; kept so that clients can name the type.
pub type Mount = MountRequest;
