//! `HostConfig`: what a container takes from the host it runs on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;
use crate::list::List;

/// The host's part of a container's configuration. Sizes are bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `source:destination[:options]`.
    pub binds: Option<Vec<String>>,
    /// File the client writes the id to.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Log driver.
    pub log_config: LogConfig,
    /// `none`, `host`, `default`, `bridge`, `container:x`, or a network's name.
    pub network_mode: String,
    /// Published ports, by `port/protocol`.
    pub port_bindings: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
    /// What happens when the process ends.
    pub restart_policy: RestartPolicy,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    /// Driver of volumes named in `binds`.
    pub volume_driver: String,
    /// Containers whose volumes are mounted too.
    pub volumes_from: Option<Vec<String>>,
    /// Initial terminal size: rows, columns.
    pub console_size: [u32; 2],
    /// Free-form metadata, handed to the runtime.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Capabilities beside the default ones.
    #[serde(deserialize_with = "crate::config::words")]
    pub cap_add: Option<Vec<String>>,
    /// Default capabilities to leave out.
    #[serde(deserialize_with = "crate::config::words")]
    pub cap_drop: Option<Vec<String>>,
    /// `host`, `private` or empty.
    pub cgroupns_mode: String,
    /// Name servers.
    pub dns: List<String>,
    /// resolv.conf options.
    pub dns_options: List<String>,
    /// Search domains.
    pub dns_search: List<String>,
    /// `host:address` lines for /etc/hosts.
    pub extra_hosts: Option<Vec<String>>,
    /// Supplementary groups.
    pub group_add: Option<Vec<String>>,
    /// `none`, `private`, `shareable`, `host`, `container:x` or empty.
    pub ipc_mode: String,
    /// Unused.
    pub cgroup: String,
    /// Links.
    pub links: Option<Vec<String>>,
    /// −1000 … 1000.
    pub oom_score_adj: i32,
    /// `host`, `container:x` or empty.
    pub pid_mode: String,
    /// All capabilities, devices, no masks.
    pub privileged: bool,
    /// Publish every exposed port.
    pub publish_all_ports: bool,
    /// Root file system read-only.
    pub readonly_rootfs: bool,
    /// `seccomp=…`, `no-new-privileges`, ….
    pub security_opt: Option<Vec<String>>,
    /// Storage driver options.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub storage_opt: Option<BTreeMap<String, String>>,
    /// tmpfs mounts: path → options.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    /// `host` or empty.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// `host` or empty.
    pub userns_mode: String,
    /// Size of /dev/shm.
    pub shm_size: i64,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub sysctls: Option<BTreeMap<String, String>>,
    /// Runtime's name.
    #[serde(skip_serializing_if = "is_default")]
    pub runtime: String,
    /// Windows only.
    pub isolation: String,
    /// CPU weight.
    pub cpu_shares: i64,
    /// Memory limit.
    pub memory: i64,
    /// CPUs in units of 10⁻⁹.
    pub nano_cpus: i64,
    /// Cgroup above the container's.
    pub cgroup_parent: String,
    /// 10 … 1000; 0: unset.
    pub blkio_weight: u16,
    /// Weight per device.
    pub blkio_weight_device: List<WeightDevice>,
    /// Bytes per second, reading.
    pub blkio_device_read_bps: List<ThrottleDevice>,
    /// Bytes per second, writing.
    pub blkio_device_write_bps: List<ThrottleDevice>,
    /// Operations per second, reading.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: List<ThrottleDevice>,
    /// Operations per second, writing.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: List<ThrottleDevice>,
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
    /// Devices of the host.
    pub devices: List<DeviceMapping>,
    /// Rules like `c 13:* rwm`.
    pub device_cgroup_rules: Option<Vec<String>>,
    /// Requests to device drivers.
    pub device_requests: Option<Vec<DeviceRequest>>,
    /// Soft memory limit.
    pub memory_reservation: i64,
    /// Memory plus swap; −1: unlimited.
    pub memory_swap: i64,
    /// 0 … 100.
    pub memory_swappiness: Option<i64>,
    /// Stop instead of kill when out of memory.
    pub oom_kill_disable: Option<bool>,
    /// Number of tasks; 0 or −1: unlimited.
    pub pids_limit: Option<i64>,
    /// Resource limits.
    pub ulimits: List<Ulimit>,
    /// Windows only.
    pub cpu_count: i64,
    /// Windows only.
    pub cpu_percent: i64,
    /// Windows only.
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u64,
    /// Windows only.
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u64,
    /// Mounts in their long form.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub mounts: Option<Vec<MountRequest>>,
    /// Paths that read as empty; absent: the default ones.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that cannot be written; absent: the default ones.
    pub readonly_paths: Option<Vec<String>>,
    /// Run an init process as pid 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// Log driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file`, `none`, …; empty: the daemon's default.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `max-size`, `max-file`, ….
    pub config: BTreeMap<String, String>,
}

/// One published port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// Address on the host.
    #[serde(rename = "HostIp")]
    pub host_ip: String,
    /// Port on the host, or a range; empty: any.
    pub host_port: String,
}

/// What happens when the process ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `always`, `unless-stopped`, `on-failure` or empty.
    pub name: String,
    /// For `on-failure`; 0: no limit.
    pub maximum_retry_count: i64,
}

/// I/O weight of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// Device file on the host.
    pub path: String,
    /// 10 … 1000.
    pub weight: u16,
}

/// I/O rate of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// Device file on the host.
    pub path: String,
    /// Per second.
    pub rate: u64,
}

/// A device of the host, made available.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// Path on the host.
    pub path_on_host: String,
    /// Path in the container.
    pub path_in_container: String,
    /// Some of `rwm`.
    pub cgroup_permissions: String,
}

/// Request to a device driver (`--gpus`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// Driver's name.
    pub driver: String,
    /// Number of devices; −1: all.
    pub count: i64,
    /// Devices by id.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Option<Vec<String>>,
    /// Alternatives of sets of capabilities.
    pub capabilities: Option<Vec<Vec<String>>>,
    /// Driver options.
    pub options: Option<BTreeMap<String, String>>,
}

/// One resource limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`, ….
    pub name: String,
    /// Ceiling; −1: unlimited.
    pub hard: i64,
    /// In effect; −1: unlimited.
    pub soft: i64,
}

/// A mount in its long form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountRequest {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Path or volume name.
    #[serde(skip_serializing_if = "is_default")]
    pub source: String,
    /// Absolute path in the container.
    #[serde(skip_serializing_if = "is_default")]
    pub target: String,
    /// Mount read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// macOS only.
    #[serde(skip_serializing_if = "is_default")]
    pub consistency: String,
    /// For `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// For `volume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// For `image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// For `tmpfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`.
    #[serde(skip_serializing_if = "is_default")]
    pub propagation: String,
    /// Leave out what is mounted below the source.
    #[serde(skip_serializing_if = "is_default")]
    pub non_recursive: bool,
    /// Make the source when it is missing.
    #[serde(skip_serializing_if = "is_default")]
    pub create_mountpoint: bool,
    /// Read-only applies to the top mount only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only_non_recursive: bool,
    /// Fail when mounts below cannot be made read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Do not copy the image's files into a new volume.
    #[serde(skip_serializing_if = "is_default")]
    pub no_copy: bool,
    /// Labels of a new volume.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Path inside the volume.
    #[serde(skip_serializing_if = "is_default")]
    pub subpath: String,
    /// Driver of a new volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// A driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverConfig {
    /// Driver's name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// Driver's options.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub options: Option<BTreeMap<String, String>>,
}

/// Options of an image mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOptions {
    /// Path inside the image.
    #[serde(skip_serializing_if = "is_default")]
    pub subpath: String,
}

/// Options of a tmpfs mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Size limit; 0: half of memory.
    #[serde(skip_serializing_if = "is_default")]
    pub size_bytes: i64,
    /// Permission bits.
    #[serde(skip_serializing_if = "is_default")]
    pub mode: u32,
    /// More mount options, each one or two words.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub options: Option<Vec<Vec<String>>>,
}
