//! What Go takes the descriptions of containers and images for: members in the order in which Go prints them.

use crate::template::value::{Field, Struct, Type};

use Type::{Any, Bool, Int, List, Map, Pointer, Text};

const TEXTS: Type = List(&Text);
const TEXT_MAP: Type = Map(&Text);
const EMPTY_MAP: Type = Map(&Type::Struct(&EMPTY));

static EMPTY: Struct = Struct { name: "struct {}", fields: &[] };

const fn f(name: &'static str, kind: Type) -> Field {
    Field::new(name, kind)
}

const fn embedded(name: &'static str, described: &'static Struct) -> Field {
    Field::renamed(name, "", Type::Struct(described))
}

/// A container.
pub(super) static CONTAINER: Struct = Struct {
    name: "container.InspectResponse",
    fields: &[
        embedded("ContainerJSONBase", &CONTAINER_BASE),
        f("Mounts", List(&Type::Struct(&MOUNT_POINT))),
        f("Config", Pointer(&Type::Struct(&CONFIG))),
        f("NetworkSettings", Pointer(&Type::Struct(&NETWORK_SETTINGS))),
        f("ImageManifestDescriptor", Pointer(&Any)),
    ],
};

static CONTAINER_BASE: Struct = Struct {
    name: "container.ContainerJSONBase",
    fields: &[
        Field::renamed("ID", "Id", Text),
        f("Created", Text),
        f("Path", Text),
        f("Args", TEXTS),
        f("State", Pointer(&Type::Struct(&STATE))),
        f("Image", Text),
        f("ResolvConfPath", Text),
        f("HostnamePath", Text),
        f("HostsPath", Text),
        f("LogPath", Text),
        f("Name", Text),
        f("RestartCount", Int),
        f("Driver", Text),
        f("Platform", Text),
        f("MountLabel", Text),
        f("ProcessLabel", Text),
        f("AppArmorProfile", Text),
        f("ExecIDs", TEXTS),
        f("HostConfig", Pointer(&Type::Struct(&HOST_CONFIG))),
        f("GraphDriver", Type::Struct(&GRAPH_DRIVER)),
        f("SizeRw", Pointer(&Int)),
        f("SizeRootFs", Pointer(&Int)),
    ],
};

static STATE: Struct = Struct {
    name: "container.State",
    fields: &[
        f("Status", Text),
        f("Running", Bool),
        f("Paused", Bool),
        f("Restarting", Bool),
        f("OOMKilled", Bool),
        f("Dead", Bool),
        f("Pid", Int),
        f("ExitCode", Int),
        f("Error", Text),
        f("StartedAt", Text),
        f("FinishedAt", Text),
        f("Health", Pointer(&Type::Struct(&HEALTH))),
    ],
};

static HEALTH: Struct = Struct {
    name: "container.Health",
    fields: &[
        f("Status", Text),
        f("FailingStreak", Int),
        f("Log", List(&Pointer(&Type::Struct(&HEALTH_RESULT)))),
    ],
};

static HEALTH_RESULT: Struct = Struct {
    name: "container.HealthcheckResult",
    fields: &[f("Start", Text), f("End", Text), f("ExitCode", Int), f("Output", Text)],
};

static GRAPH_DRIVER: Struct =
    Struct { name: "storage.DriverData", fields: &[f("Data", TEXT_MAP), f("Name", Text)] };

static MOUNT_POINT: Struct = Struct {
    name: "container.MountPoint",
    fields: &[
        f("Type", Text),
        f("Name", Text),
        f("Source", Text),
        f("Destination", Text),
        f("Driver", Text),
        f("Mode", Text),
        f("RW", Bool),
        f("Propagation", Text),
    ],
};

static CONFIG: Struct = Struct {
    name: "container.Config",
    fields: &[
        f("Hostname", Text),
        f("Domainname", Text),
        f("User", Text),
        f("AttachStdin", Bool),
        f("AttachStdout", Bool),
        f("AttachStderr", Bool),
        f("ExposedPorts", EMPTY_MAP),
        f("Tty", Bool),
        f("OpenStdin", Bool),
        f("StdinOnce", Bool),
        f("Env", TEXTS),
        f("Cmd", TEXTS),
        f("Healthcheck", Pointer(&Type::Struct(&HEALTHCHECK))),
        f("ArgsEscaped", Bool),
        f("Image", Text),
        f("Volumes", EMPTY_MAP),
        f("WorkingDir", Text),
        f("Entrypoint", TEXTS),
        f("NetworkDisabled", Bool),
        f("MacAddress", Text),
        f("OnBuild", TEXTS),
        f("Labels", TEXT_MAP),
        f("StopSignal", Text),
        f("StopTimeout", Pointer(&Int)),
        f("Shell", TEXTS),
    ],
};

static HEALTHCHECK: Struct = Struct {
    name: "v1.HealthcheckConfig",
    fields: &[
        f("Test", TEXTS),
        f("Interval", Int),
        f("Timeout", Int),
        f("StartPeriod", Int),
        f("StartInterval", Int),
        f("Retries", Int),
    ],
};

static HOST_CONFIG: Struct = Struct {
    name: "container.HostConfig",
    fields: &[
        f("Binds", TEXTS),
        f("ContainerIDFile", Text),
        f("LogConfig", Type::Struct(&LOG_CONFIG)),
        f("NetworkMode", Text),
        f("PortBindings", Map(&List(&Type::Struct(&PORT_BINDING)))),
        f("RestartPolicy", Type::Struct(&RESTART_POLICY)),
        f("AutoRemove", Bool),
        f("VolumeDriver", Text),
        f("VolumesFrom", TEXTS),
        f("ConsoleSize", List(&Int)),
        f("Annotations", TEXT_MAP),
        f("CapAdd", TEXTS),
        f("CapDrop", TEXTS),
        f("CgroupnsMode", Text),
        Field::renamed("DNS", "Dns", TEXTS),
        Field::renamed("DNSOptions", "DnsOptions", TEXTS),
        Field::renamed("DNSSearch", "DnsSearch", TEXTS),
        f("ExtraHosts", TEXTS),
        f("GroupAdd", TEXTS),
        f("IpcMode", Text),
        f("Cgroup", Text),
        f("Links", TEXTS),
        f("OomScoreAdj", Int),
        f("PidMode", Text),
        f("Privileged", Bool),
        f("PublishAllPorts", Bool),
        f("ReadonlyRootfs", Bool),
        f("SecurityOpt", TEXTS),
        f("StorageOpt", TEXT_MAP),
        f("Tmpfs", TEXT_MAP),
        f("UTSMode", Text),
        f("UsernsMode", Text),
        f("ShmSize", Int),
        f("Sysctls", TEXT_MAP),
        f("Runtime", Text),
        f("Isolation", Text),
        embedded("Resources", &RESOURCES),
        f("Mounts", List(&Any)),
        f("MaskedPaths", TEXTS),
        f("ReadonlyPaths", TEXTS),
        f("Init", Pointer(&Bool)),
    ],
};

static LOG_CONFIG: Struct =
    Struct { name: "container.LogConfig", fields: &[f("Type", Text), f("Config", TEXT_MAP)] };

static PORT_BINDING: Struct = Struct {
    name: "nat.PortBinding",
    fields: &[Field::renamed("HostIP", "HostIp", Text), f("HostPort", Text)],
};

static RESTART_POLICY: Struct =
    Struct { name: "container.RestartPolicy", fields: &[f("Name", Text), f("MaximumRetryCount", Int)] };

static RESOURCES: Struct = Struct {
    name: "container.Resources",
    fields: &[
        Field::renamed("CPUShares", "CpuShares", Int),
        f("Memory", Int),
        Field::renamed("NanoCPUs", "NanoCpus", Int),
        f("CgroupParent", Text),
        f("BlkioWeight", Int),
        f("BlkioWeightDevice", List(&Pointer(&Type::Struct(&WEIGHT_DEVICE)))),
        f("BlkioDeviceReadBps", List(&Pointer(&Type::Struct(&THROTTLE_DEVICE)))),
        f("BlkioDeviceWriteBps", List(&Pointer(&Type::Struct(&THROTTLE_DEVICE)))),
        f("BlkioDeviceReadIOps", List(&Pointer(&Type::Struct(&THROTTLE_DEVICE)))),
        f("BlkioDeviceWriteIOps", List(&Pointer(&Type::Struct(&THROTTLE_DEVICE)))),
        Field::renamed("CPUPeriod", "CpuPeriod", Int),
        Field::renamed("CPUQuota", "CpuQuota", Int),
        Field::renamed("CPURealtimePeriod", "CpuRealtimePeriod", Int),
        Field::renamed("CPURealtimeRuntime", "CpuRealtimeRuntime", Int),
        f("CpusetCpus", Text),
        f("CpusetMems", Text),
        f("Devices", List(&Type::Struct(&DEVICE_MAPPING))),
        f("DeviceCgroupRules", TEXTS),
        f("DeviceRequests", List(&Any)),
        f("MemoryReservation", Int),
        f("MemorySwap", Int),
        f("MemorySwappiness", Pointer(&Int)),
        f("OomKillDisable", Pointer(&Bool)),
        f("PidsLimit", Pointer(&Int)),
        f("Ulimits", List(&Pointer(&Type::Struct(&ULIMIT)))),
        Field::renamed("CPUCount", "CpuCount", Int),
        Field::renamed("CPUPercent", "CpuPercent", Int),
        f("IOMaximumIOps", Int),
        f("IOMaximumBandwidth", Int),
    ],
};

static WEIGHT_DEVICE: Struct =
    Struct { name: "blkiodev.WeightDevice", fields: &[f("Path", Text), f("Weight", Int)] };

static THROTTLE_DEVICE: Struct =
    Struct { name: "blkiodev.ThrottleDevice", fields: &[f("Path", Text), f("Rate", Int)] };

static DEVICE_MAPPING: Struct = Struct {
    name: "container.DeviceMapping",
    fields: &[f("PathOnHost", Text), f("PathInContainer", Text), f("CgroupPermissions", Text)],
};

static ULIMIT: Struct =
    Struct { name: "units.Ulimit", fields: &[f("Name", Text), f("Hard", Int), f("Soft", Int)] };

static NETWORK_SETTINGS: Struct = Struct {
    name: "container.NetworkSettings",
    fields: &[
        embedded("NetworkSettingsBase", &NETWORK_SETTINGS_BASE),
        embedded("DefaultNetworkSettings", &DEFAULT_NETWORK_SETTINGS),
        f("Networks", Map(&Pointer(&Type::Struct(&ENDPOINT)))),
    ],
};

static NETWORK_SETTINGS_BASE: Struct = Struct {
    name: "container.NetworkSettingsBase",
    fields: &[
        f("Bridge", Text),
        f("SandboxID", Text),
        f("SandboxKey", Text),
        f("Ports", Map(&List(&Type::Struct(&PORT_BINDING)))),
        f("HairpinMode", Bool),
        f("LinkLocalIPv6Address", Text),
        f("LinkLocalIPv6PrefixLen", Int),
        f("SecondaryIPAddresses", List(&Any)),
        f("SecondaryIPv6Addresses", List(&Any)),
    ],
};

static DEFAULT_NETWORK_SETTINGS: Struct = Struct {
    name: "container.DefaultNetworkSettings",
    fields: &[
        f("EndpointID", Text),
        f("Gateway", Text),
        f("GlobalIPv6Address", Text),
        f("GlobalIPv6PrefixLen", Int),
        f("IPAddress", Text),
        f("IPPrefixLen", Int),
        f("IPv6Gateway", Text),
        f("MacAddress", Text),
    ],
};

static ENDPOINT: Struct = Struct {
    name: "network.EndpointSettings",
    fields: &[
        f("IPAMConfig", Pointer(&Type::Struct(&IPAM_CONFIG))),
        f("Links", TEXTS),
        f("Aliases", TEXTS),
        f("MacAddress", Text),
        f("DriverOpts", TEXT_MAP),
        f("GwPriority", Int),
        f("NetworkID", Text),
        f("EndpointID", Text),
        f("Gateway", Text),
        f("IPAddress", Text),
        f("IPPrefixLen", Int),
        f("IPv6Gateway", Text),
        f("GlobalIPv6Address", Text),
        f("GlobalIPv6PrefixLen", Int),
        f("DNSNames", TEXTS),
    ],
};

static IPAM_CONFIG: Struct = Struct {
    name: "network.EndpointIPAMConfig",
    fields: &[f("IPv4Address", Text), f("IPv6Address", Text), f("LinkLocalIPs", TEXTS)],
};

/// An image.
pub(super) static IMAGE: Struct = Struct {
    name: "image.InspectResponse",
    fields: &[
        Field::renamed("ID", "Id", Text),
        f("RepoTags", TEXTS),
        f("RepoDigests", TEXTS),
        f("Parent", Text),
        f("Comment", Text),
        f("Created", Text),
        f("DockerVersion", Text),
        f("Author", Text),
        f("Config", Pointer(&Type::Struct(&IMAGE_CONFIG))),
        f("Architecture", Text),
        f("Variant", Text),
        f("Os", Text),
        f("OsVersion", Text),
        f("Size", Int),
        f("VirtualSize", Int),
        f("GraphDriver", Type::Struct(&GRAPH_DRIVER)),
        f("RootFS", Type::Struct(&ROOT_FS)),
        f("Metadata", Type::Struct(&METADATA)),
        f("Descriptor", Pointer(&Any)),
        f("Manifests", List(&Any)),
    ],
};

static IMAGE_CONFIG: Struct = Struct {
    name: "v1.DockerOCIImageConfig",
    fields: &[embedded("ImageConfig", &OCI_CONFIG), embedded("DockerOCIImageConfigExt", &OCI_CONFIG_EXT)],
};

static OCI_CONFIG: Struct = Struct {
    name: "v1.ImageConfig",
    fields: &[
        f("User", Text),
        f("ExposedPorts", EMPTY_MAP),
        f("Env", TEXTS),
        f("Entrypoint", TEXTS),
        f("Cmd", TEXTS),
        f("Volumes", EMPTY_MAP),
        f("WorkingDir", Text),
        f("Labels", TEXT_MAP),
        f("StopSignal", Text),
        f("ArgsEscaped", Bool),
    ],
};

static OCI_CONFIG_EXT: Struct = Struct {
    name: "v1.DockerOCIImageConfigExt",
    fields: &[f("Healthcheck", Pointer(&Type::Struct(&HEALTHCHECK))), f("OnBuild", TEXTS), f("Shell", TEXTS)],
};

static ROOT_FS: Struct = Struct { name: "image.RootFS", fields: &[f("Type", Text), f("Layers", TEXTS)] };

static METADATA: Struct = Struct { name: "image.Metadata", fields: &[f("LastTagTime", Text)] };
