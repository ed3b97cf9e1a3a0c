//! The bodies that requests have. Names of types are Go's, because its decoder names them in errors.

use super::schema::{Schema, Struct};

use Schema::{Bool, List, Map, Named, Pair, String as Text, Struct as Object, Words};

const fn plain(name: &'static str, fields: &'static [(&'static str, Schema)]) -> Struct {
    Struct { name, root: "", fields, embeds: &[] }
}

/// `POST /containers/create`.
pub(crate) static CREATE: Struct = Struct {
    name: "container.CreateRequest",
    root: "",
    embeds: &[&CONFIG],
    fields: &[("HostConfig", Object(&HOST_CONFIG)), ("NetworkingConfig", Object(&NETWORKING_CONFIG))],
};

/// `POST /commit`.
pub(crate) static COMMIT: Struct =
    Struct { name: "container.Config", root: "Config", embeds: &[&CONFIG], fields: &[] };

/// `POST /containers/{id}/update`.
pub(crate) static UPDATE: Struct = Struct {
    name: "container.UpdateConfig",
    root: "UpdateConfig",
    embeds: &[&RESOURCES],
    fields: &[("RestartPolicy", Object(&RESTART_POLICY))],
};

/// `POST /containers/{id}/exec`.
pub(crate) static EXEC_CREATE: Struct = Struct {
    name: "container.ExecOptions",
    root: "ExecOptions",
    embeds: &[],
    fields: &[
        ("User", Text),
        ("Privileged", Bool),
        ("Tty", Bool),
        ("ConsoleSize", CONSOLE_SIZE),
        ("AttachStdin", Bool),
        ("AttachStderr", Bool),
        ("AttachStdout", Bool),
        ("Detach", Bool),
        ("DetachKeys", Text),
        ("Env", Schema::STRINGS),
        ("WorkingDir", Text),
        ("Cmd", Schema::STRINGS),
    ],
};

/// `POST /exec/{id}/start`.
pub(crate) static EXEC_START: Struct = Struct {
    name: "container.ExecStartOptions",
    root: "ExecStartOptions",
    embeds: &[],
    fields: &[("Detach", Bool), ("Tty", Bool), ("ConsoleSize", CONSOLE_SIZE)],
};

const CONSOLE_SIZE: Schema = Pair("[2]uint", &Schema::UINT);
const EMPTY_SET: Schema = Map("map[string]struct {}", &Object(&EMPTY));
static EMPTY: Struct = plain("struct {}", &[]);

static CONFIG: Struct = plain(
    "container.Config",
    &[
        ("Hostname", Text),
        ("Domainname", Text),
        ("User", Text),
        ("AttachStdin", Bool),
        ("AttachStdout", Bool),
        ("AttachStderr", Bool),
        ("ExposedPorts", Map("nat.PortSet", &Object(&EMPTY))),
        ("Tty", Bool),
        ("OpenStdin", Bool),
        ("StdinOnce", Bool),
        ("Env", Schema::STRINGS),
        ("Cmd", Words),
        ("Healthcheck", Object(&HEALTHCHECK)),
        ("ArgsEscaped", Bool),
        ("Image", Text),
        ("Volumes", EMPTY_SET),
        ("WorkingDir", Text),
        ("Entrypoint", Words),
        ("NetworkDisabled", Bool),
        ("MacAddress", Text),
        ("OnBuild", Schema::STRINGS),
        ("Labels", Schema::STRING_MAP),
        ("StopSignal", Text),
        ("StopTimeout", Schema::INT),
        ("Shell", Words),
    ],
);

static HEALTHCHECK: Struct = plain(
    "v1.HealthcheckConfig",
    &[
        ("Test", Schema::STRINGS),
        ("Interval", Schema::DURATION),
        ("Timeout", Schema::DURATION),
        ("StartPeriod", Schema::DURATION),
        ("StartInterval", Schema::DURATION),
        ("Retries", Schema::INT),
    ],
);

static HOST_CONFIG: Struct = Struct {
    name: "container.HostConfig",
    root: "",
    embeds: &[&RESOURCES],
    fields: &[
        ("Binds", Schema::STRINGS),
        ("ContainerIDFile", Text),
        ("LogConfig", Object(&LOG_CONFIG)),
        ("NetworkMode", Named("container.NetworkMode")),
        ("PortBindings", Map("nat.PortMap", &List("[]nat.PortBinding", &Object(&PORT_BINDING)))),
        ("RestartPolicy", Object(&RESTART_POLICY)),
        ("AutoRemove", Bool),
        ("VolumeDriver", Text),
        ("VolumesFrom", Schema::STRINGS),
        ("ConsoleSize", CONSOLE_SIZE),
        ("Annotations", Schema::STRING_MAP),
        ("CapAdd", Words),
        ("CapDrop", Words),
        ("CgroupnsMode", Named("container.CgroupnsMode")),
        ("Dns", Schema::STRINGS),
        ("DnsOptions", Schema::STRINGS),
        ("DnsSearch", Schema::STRINGS),
        ("ExtraHosts", Schema::STRINGS),
        ("GroupAdd", Schema::STRINGS),
        ("IpcMode", Named("container.IpcMode")),
        ("Cgroup", Named("container.CgroupSpec")),
        ("Links", Schema::STRINGS),
        ("OomScoreAdj", Schema::Integer("int", i32::MIN as i128, i32::MAX as i128)),
        ("PidMode", Named("container.PidMode")),
        ("Privileged", Bool),
        ("PublishAllPorts", Bool),
        ("ReadonlyRootfs", Bool),
        ("SecurityOpt", Schema::STRINGS),
        ("StorageOpt", Schema::STRING_MAP),
        ("Tmpfs", Schema::STRING_MAP),
        ("UTSMode", Named("container.UTSMode")),
        ("UsernsMode", Named("container.UsernsMode")),
        ("ShmSize", Schema::INT64),
        ("Sysctls", Schema::STRING_MAP),
        ("Runtime", Text),
        ("Isolation", Named("container.Isolation")),
        ("Mounts", List("[]mount.Mount", &Object(&MOUNT))),
        ("MaskedPaths", Schema::STRINGS),
        ("ReadonlyPaths", Schema::STRINGS),
        ("Init", Bool),
    ],
};

const WEIGHT_DEVICES: Schema = List("[]*blkiodev.WeightDevice", &Object(&WEIGHT_DEVICE));
const THROTTLE_DEVICES: Schema = List("[]*blkiodev.ThrottleDevice", &Object(&THROTTLE_DEVICE));

static RESOURCES: Struct = plain(
    "container.Resources",
    &[
        ("CpuShares", Schema::INT64),
        ("Memory", Schema::INT64),
        ("NanoCpus", Schema::INT64),
        ("CgroupParent", Text),
        ("BlkioWeight", Schema::UINT16),
        ("BlkioWeightDevice", WEIGHT_DEVICES),
        ("BlkioDeviceReadBps", THROTTLE_DEVICES),
        ("BlkioDeviceWriteBps", THROTTLE_DEVICES),
        ("BlkioDeviceReadIOps", THROTTLE_DEVICES),
        ("BlkioDeviceWriteIOps", THROTTLE_DEVICES),
        ("CpuPeriod", Schema::INT64),
        ("CpuQuota", Schema::INT64),
        ("CpuRealtimePeriod", Schema::INT64),
        ("CpuRealtimeRuntime", Schema::INT64),
        ("CpusetCpus", Text),
        ("CpusetMems", Text),
        ("Devices", List("[]container.DeviceMapping", &Object(&DEVICE_MAPPING))),
        ("DeviceCgroupRules", Schema::STRINGS),
        ("DeviceRequests", List("[]container.DeviceRequest", &Object(&DEVICE_REQUEST))),
        ("MemoryReservation", Schema::INT64),
        ("MemorySwap", Schema::INT64),
        ("MemorySwappiness", Schema::INT64),
        ("OomKillDisable", Bool),
        ("PidsLimit", Schema::INT64),
        ("Ulimits", List("[]*units.Ulimit", &Object(&ULIMIT))),
        ("CpuCount", Schema::INT64),
        ("CpuPercent", Schema::INT64),
        ("IOMaximumIOps", Schema::UINT64),
        ("IOMaximumBandwidth", Schema::UINT64),
    ],
);

static LOG_CONFIG: Struct = plain("container.LogConfig", &[("Type", Text), ("Config", Schema::STRING_MAP)]);
static PORT_BINDING: Struct = plain("nat.PortBinding", &[("HostIp", Text), ("HostPort", Text)]);
static RESTART_POLICY: Struct = plain(
    "container.RestartPolicy",
    &[("Name", Named("container.RestartPolicyMode")), ("MaximumRetryCount", Schema::INT)],
);
static WEIGHT_DEVICE: Struct = plain("blkiodev.WeightDevice", &[("Path", Text), ("Weight", Schema::UINT16)]);
static THROTTLE_DEVICE: Struct =
    plain("blkiodev.ThrottleDevice", &[("Path", Text), ("Rate", Schema::UINT64)]);
static DEVICE_MAPPING: Struct = plain(
    "container.DeviceMapping",
    &[("PathOnHost", Text), ("PathInContainer", Text), ("CgroupPermissions", Text)],
);
static DEVICE_REQUEST: Struct = plain(
    "container.DeviceRequest",
    &[
        ("Driver", Text),
        ("Count", Schema::INT),
        ("DeviceIDs", Schema::STRINGS),
        ("Capabilities", List("[][]string", &Schema::STRINGS)),
        ("Options", Schema::STRING_MAP),
    ],
);
static ULIMIT: Struct =
    plain("units.Ulimit", &[("Name", Text), ("Hard", Schema::INT64), ("Soft", Schema::INT64)]);

static MOUNT: Struct = plain(
    "mount.Mount",
    &[
        ("Type", Named("mount.Type")),
        ("Source", Text),
        ("Target", Text),
        ("ReadOnly", Bool),
        ("Consistency", Named("mount.Consistency")),
        ("BindOptions", Object(&BIND_OPTIONS)),
        ("VolumeOptions", Object(&VOLUME_OPTIONS)),
        ("ImageOptions", Object(&IMAGE_OPTIONS)),
        ("TmpfsOptions", Object(&TMPFS_OPTIONS)),
    ],
);
static BIND_OPTIONS: Struct = plain(
    "mount.BindOptions",
    &[
        ("Propagation", Named("mount.Propagation")),
        ("NonRecursive", Bool),
        ("CreateMountpoint", Bool),
        ("ReadOnlyNonRecursive", Bool),
        ("ReadOnlyForceRecursive", Bool),
    ],
);
static VOLUME_OPTIONS: Struct = plain(
    "mount.VolumeOptions",
    &[
        ("NoCopy", Bool),
        ("Labels", Schema::STRING_MAP),
        ("Subpath", Text),
        ("DriverConfig", Object(&MOUNT_DRIVER)),
    ],
);
static MOUNT_DRIVER: Struct = plain("mount.Driver", &[("Name", Text), ("Options", Schema::STRING_MAP)]);
static IMAGE_OPTIONS: Struct = plain("mount.ImageOptions", &[("Subpath", Text)]);
static TMPFS_OPTIONS: Struct = plain(
    "mount.TmpfsOptions",
    &[
        ("SizeBytes", Schema::INT64),
        ("Mode", Schema::FILE_MODE),
        ("Options", List("[][]string", &Schema::STRINGS)),
    ],
);

static NETWORKING_CONFIG: Struct = plain(
    "network.NetworkingConfig",
    &[("EndpointsConfig", Map("map[string]*network.EndpointSettings", &Object(&ENDPOINT)))],
);
const PREFIX_LENGTH: Schema = Schema::Integer("int", 0, 128);
static ENDPOINT: Struct = plain(
    "network.EndpointSettings",
    &[
        ("IPAMConfig", Object(&ENDPOINT_IPAM)),
        ("Links", Schema::STRINGS),
        ("Aliases", Schema::STRINGS),
        ("MacAddress", Text),
        ("DriverOpts", Schema::STRING_MAP),
        ("GwPriority", Schema::INT),
        ("NetworkID", Text),
        ("EndpointID", Text),
        ("Gateway", Text),
        ("IPAddress", Text),
        ("IPPrefixLen", PREFIX_LENGTH),
        ("IPv6Gateway", Text),
        ("GlobalIPv6Address", Text),
        ("GlobalIPv6PrefixLen", PREFIX_LENGTH),
        ("DNSNames", Schema::STRINGS),
    ],
);
static ENDPOINT_IPAM: Struct = plain(
    "network.EndpointIPAMConfig",
    &[("IPv4Address", Text), ("IPv6Address", Text), ("LinkLocalIPs", Schema::STRINGS)],
);
