//! From a container's record to a runtime specification: pure.

use std::path::PathBuf;

use api_types::config::Config;
use api_types::host_config::{HostConfig, Ulimit};
use oci::runtime::{
    Capabilities, ConsoleSize, Linux, Mount, Namespace, OCI_VERSION, Process, Resources, Rlimit, Root, Spec,
    User,
};

use crate::error::Result;
use crate::layout::ContainerDir;
use crate::merge::{DEFAULT_PATH, environment};
use crate::modes::{self, Mode, NetworkMode};
use crate::mounts::{MountPlan, MountSource};
use crate::record::Record;
use crate::resources::rlimit_name;

/// Paths that read as empty in a container: the union of Docker's and Podman's.
pub const MASKED_PATHS: [&str; 13] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/fs/selinux",
];

/// Paths that cannot be written in a container.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the record does not say: found out or decided by the engine.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The container's directory, with hosts, hostname and resolv.conf in it.
    pub dir: &'a ContainerDir,
    /// Cgroup of the container.
    pub cgroup: String,
    /// Limits and device rules.
    pub resources: Resources,
    /// Device nodes.
    pub devices: Vec<oci::runtime::Device>,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// The container may make cgroups of its own below its cgroup.
    pub writable_cgroups: bool,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Host pid of the container whose pid namespace is joined.
    pub pid_of: Option<i32>,
    /// Host pid of the container whose IPC namespace is joined.
    pub ipc_of: Option<i32>,
    /// Host pid of the container whose network namespace is joined.
    pub network_of: Option<i32>,
    /// One cgroup hierarchy.
    pub cgroup_v2: bool,
    /// Ceiling of the number of open files.
    pub max_files: u64,
    /// Resource limits that hold unless the container sets them itself.
    pub default_ulimits: &'a [Ulimit],
    /// The host's own name, for containers that share it.
    pub host_name: String,
}

/// Plans the specification.
pub fn plan(record: &Record, around: &Surroundings<'_>) -> Result<Spec> {
    let host = &record.host_config;
    let uts = modes::uts(&host.uts_mode)?;
    Ok(Spec {
        oci_version: OCI_VERSION.into(),
        root: Some(Root { path: PathBuf::new(), readonly: host.readonly_rootfs }),
        hostname: (uts == Mode::Private).then(|| full_hostname(record, around)),
        domainname: Some(record.config.domainname.clone())
            .filter(|name| uts == Mode::Private && !name.is_empty()),
        mounts: mounts(record, around),
        process: Some(process(record, around)?),
        hooks: None,
        annotations: host.annotations.clone().unwrap_or_default(),
        linux: Some(linux(record, around)?),
    })
}

/// Host name with the domain, as Docker sets it; the short id by default, the host's name on the host's network.
fn full_hostname(record: &Record, around: &Surroundings<'_>) -> String {
    let name = hostname(record, &around.host_name);
    match record.config.domainname.as_str() {
        "" => name.to_owned(),
        domain => format!("{name}.{domain}"),
    }
}

/// Host name without the domain.
pub fn hostname<'a>(record: &'a Record, host_name: &'a str) -> &'a str {
    let host_network = matches!(modes::network(&record.host_config.network_mode), Ok(NetworkMode::Host));
    match record.config.hostname.as_str() {
        "" if host_network || record.host_config.uts_mode == "host" => host_name,
        "" => record.short_id(),
        name => name,
    }
}

fn process(record: &Record, around: &Surroundings<'_>) -> Result<Process> {
    let (config, host) = (&record.config, &record.host_config);
    let (path, mut args) = record.command();
    args.insert(0, path);
    let [height, width] = host.console_size;
    let size = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    Ok(Process {
        terminal: config.tty,
        console_size: (config.tty && height > 0 && width > 0)
            .then(|| ConsoleSize { height: size(height), width: size(width) }),
        user: User::default(),
        args,
        env: process_env(config, hostname(record, &around.host_name)),
        cwd: if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone() },
        capabilities: Some(around.capabilities.clone()),
        rlimits: rlimits(host, around.default_ulimits, around.max_files)?,
        no_new_privileges: around.no_new_privileges,
        oom_score_adj: Some(host.oom_score_adj),
        ..Process::default()
    })
}

/// Environment of the container's processes; exec'd ones start from it too.
pub fn process_env(config: &Config, hostname: &str) -> Vec<String> {
    let mut defaults = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={hostname}")];
    if config.tty {
        defaults.push("TERM=xterm".into());
    }
    environment(defaults, config.env.as_deref().unwrap_or_default())
}

/// The user's limits, then the daemon's; the number of open files otherwise 1,024, to be raised to 524,288 by whoever
/// wants to (systemd's default: programs that close every possible descriptor stay fast), never the daemon's own.
pub(crate) fn rlimits(host: &HostConfig, defaults: &[Ulimit], max_files: u64) -> Result<Vec<Rlimit>> {
    let mut limits = Vec::new();
    let others = defaults.iter().filter(|other| !host.ulimits.iter().any(|own| own.name == other.name));
    for ulimit in host.ulimits.iter().chain(others) {
        let value = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        limits.push(Rlimit {
            kind: rlimit_name(&ulimit.name)?,
            hard: value(ulimit.hard),
            soft: value(ulimit.soft),
        });
    }
    if !limits.iter().any(|limit| limit.kind == "RLIMIT_NOFILE") {
        let hard = max_files.min(524_288);
        limits.push(Rlimit { kind: "RLIMIT_NOFILE".into(), hard, soft: hard.min(1024) });
    }
    Ok(limits)
}

fn linux(record: &Record, around: &Surroundings<'_>) -> Result<Linux> {
    let host = &record.host_config;
    let list = |paths: Option<&Vec<String>>, default: &[&str]| -> Vec<String> {
        match paths {
            Some(paths) => paths.clone(),
            None if host.privileged => Vec::new(),
            None => default.iter().map(|&path| path.to_owned()).collect(),
        }
    };
    let shares_mounts = |what: &str| {
        record.mounts.iter().any(|mount| {
            matches!(&mount.what, MountSource::Bind { propagation, .. } if propagation.ends_with(what))
        })
    };
    Ok(Linux {
        sysctl: sysctls(host),
        resources: Some(around.resources.clone()),
        cgroups_path: Some(around.cgroup.clone()),
        namespaces: namespaces(record, around)?,
        devices: around.devices.clone(),
        masked_paths: list(host.masked_paths.as_ref(), &MASKED_PATHS),
        readonly_paths: list(host.readonly_paths.as_ref(), &READONLY_PATHS),
        rootfs_propagation: if shares_mounts("shared") {
            Some("shared".into())
        } else if shares_mounts("slave") {
            Some("slave".into())
        } else {
            None
        },
        ..Linux::default()
    })
}

/// The user's kernel parameters, and the two that let an ordinary user ping and listen on low ports in a network
/// namespace of the container's own, as Docker sets them.
fn sysctls(host: &HostConfig) -> std::collections::BTreeMap<String, String> {
    let mut sysctls = host.sysctls.clone().unwrap_or_default();
    let own_network =
        matches!(modes::network(&host.network_mode), Ok(NetworkMode::None | NetworkMode::Default));
    if own_network {
        let mut default = |name: &str, value: &str| {
            sysctls.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        default("net.ipv4.ip_unprivileged_port_start", "0");
        default("net.ipv4.ping_group_range", "0 2147483647");
    }
    sysctls
}

fn namespaces(record: &Record, around: &Surroundings<'_>) -> Result<Vec<Namespace>> {
    let host = &record.host_config;
    let own = |kind: &str| Namespace { kind: kind.into(), path: None };
    let of = |kind: &str, pid: Option<i32>, file: &str| Namespace {
        kind: kind.into(),
        path: pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/{file}"))),
    };
    let mut namespaces = vec![own("mount")];
    match modes::pid(&host.pid_mode)? {
        Mode::Private => namespaces.push(own("pid")),
        Mode::Host => {}
        Mode::Container(_) => namespaces.push(of("pid", around.pid_of, "pid")),
    }
    match modes::ipc(&host.ipc_mode)? {
        Mode::Private => namespaces.push(own("ipc")),
        Mode::Host => {}
        Mode::Container(_) => namespaces.push(of("ipc", around.ipc_of, "ipc")),
    }
    if modes::uts(&host.uts_mode)? == Mode::Private {
        namespaces.push(own("uts"));
    }
    match modes::network(&host.network_mode)? {
        NetworkMode::None | NetworkMode::Default => namespaces.push(own("network")),
        NetworkMode::Host => {}
        NetworkMode::Container(_) => namespaces.push(of("network", around.network_of, "net")),
    }
    if modes::cgroup(&host.cgroupns_mode, around.cgroup_v2)? == Mode::Private {
        namespaces.push(own("cgroup"));
    }
    Ok(namespaces)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..Mount::default()
    }
}

fn mounts(record: &Record, around: &Surroundings<'_>) -> Vec<Mount> {
    let host = &record.host_config;
    let access = |writable| if writable { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access(host.privileged)]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[access(around.writable_cgroups), "nosuid", "noexec", "nodev"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    mounts.extend(shm(host));
    for (destination, file) in [
        ("/etc/resolv.conf", around.dir.resolv_conf()),
        ("/etc/hostname", around.dir.hostname()),
        ("/etc/hosts", around.dir.hosts()),
    ] {
        mounts.push(bind(destination, file, &["rbind", "rprivate"]));
    }
    for wanted in &record.mounts {
        mounts.retain(|present| present.destination.as_os_str() != wanted.destination.as_str());
        mounts.push(user_mount(wanted));
    }
    mounts
}

fn bind(destination: &str, source: PathBuf, options: &[&str]) -> Mount {
    Mount { source: Some(source), ..mount(destination, "bind", "", options) }
}

fn shm(host: &HostConfig) -> Option<Mount> {
    if !modes::has_shm(&host.ipc_mode) {
        return None;
    }
    match modes::ipc(&host.ipc_mode) {
        Ok(Mode::Host) => Some(bind("/dev/shm", "/dev/shm".into(), &["rbind", "rprivate"])),
        // The shim puts the other container's in place of the source.
        Ok(Mode::Container(_)) => Some(bind("/dev/shm", "/dev/shm".into(), &["rbind", "rprivate"])),
        _ => {
            let size = format!("size={}", host.shm_size);
            Some(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]))
        }
    }
}

fn user_mount(wanted: &MountPlan) -> Mount {
    match &wanted.what {
        MountSource::Bind { source, propagation, non_recursive, read_only_non_recursive, .. } => {
            let mut options = vec![if *non_recursive { "bind" } else { "rbind" }, propagation.as_str()];
            if wanted.read_only {
                options.push(if *read_only_non_recursive || *non_recursive { "ro" } else { "rro" });
            }
            bind(&wanted.destination, source.clone(), &options)
        }
        MountSource::Tmpfs { options } => {
            let mut all: Vec<&str> = options.iter().map(String::as_str).collect();
            if wanted.read_only && !all.contains(&"ro") {
                all.push("ro");
            }
            mount(&wanted.destination, "tmpfs", "tmpfs", &all)
        }
    }
}
