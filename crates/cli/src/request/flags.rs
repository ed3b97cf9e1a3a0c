//! The flags of `run` and `create` that describe the container.

use crate::flags::value::{Bytes, Duration, NanoCpus, Pairs, SwapBytes};
use crate::flags::{Flag, flag};
use crate::request::device::{self, Gpus, IopsLimits, RateLimits, Ulimits, Weights};
use crate::request::env;
use crate::request::mount::Mounts;
use crate::request::network::{self, Networks};

/// Values of the flags that describe a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContainerArgs {
    // Process
    pub(crate) attach: Vec<String>,
    pub(crate) interactive: bool,
    pub(crate) tty: bool,
    pub(crate) env: Vec<String>,
    pub(crate) env_file: Vec<String>,
    pub(crate) entrypoint: Option<String>,
    pub(crate) user: String,
    pub(crate) workdir: String,
    pub(crate) group_add: Vec<String>,
    pub(crate) init: Option<bool>,
    pub(crate) stop_signal: String,
    pub(crate) stop_timeout: Option<i64>,
    // Identity
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) domainname: String,
    pub(crate) label: Vec<String>,
    pub(crate) label_file: Vec<String>,
    pub(crate) annotation: Pairs,
    pub(crate) cidfile: String,
    pub(crate) rm: bool,
    pub(crate) restart: Option<String>,
    pub(crate) runtime: String,
    pub(crate) isolation: String,
    // Image
    pub(crate) platform: String,
    pub(crate) pull: Option<String>,
    pub(crate) quiet: bool,
    pub(crate) content_trust: Option<bool>,
    // Health
    pub(crate) health_cmd: String,
    pub(crate) health_interval: Duration,
    pub(crate) health_timeout: Duration,
    pub(crate) health_start_period: Duration,
    pub(crate) health_start_interval: Duration,
    pub(crate) health_retries: i64,
    pub(crate) no_healthcheck: bool,
    // Files
    pub(crate) volume: Vec<String>,
    pub(crate) mount: Mounts,
    pub(crate) tmpfs: Vec<String>,
    pub(crate) volumes_from: Vec<String>,
    pub(crate) volume_driver: String,
    pub(crate) storage_opt: Vec<String>,
    pub(crate) read_only: bool,
    pub(crate) shm_size: Bytes,
    // Network
    pub(crate) network: Networks,
    pub(crate) network_alias: Vec<String>,
    pub(crate) link: Vec<String>,
    pub(crate) link_local_ip: Vec<String>,
    pub(crate) ip: String,
    pub(crate) ip6: String,
    pub(crate) mac_address: String,
    pub(crate) publish: Vec<String>,
    pub(crate) publish_all: bool,
    pub(crate) expose: Vec<String>,
    pub(crate) dns: Vec<String>,
    pub(crate) dns_option: Vec<String>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) add_host: Vec<String>,
    // Limits
    pub(crate) memory: Bytes,
    pub(crate) memory_reservation: Bytes,
    pub(crate) memory_swap: SwapBytes,
    pub(crate) memory_swappiness: Option<i64>,
    pub(crate) kernel_memory: Option<Bytes>,
    pub(crate) oom_kill_disable: bool,
    pub(crate) oom_score_adj: i64,
    pub(crate) pids_limit: i64,
    pub(crate) cpus: NanoCpus,
    pub(crate) cpu_shares: i64,
    pub(crate) cpu_period: i64,
    pub(crate) cpu_quota: i64,
    pub(crate) cpu_rt_period: i64,
    pub(crate) cpu_rt_runtime: i64,
    pub(crate) cpuset_cpus: String,
    pub(crate) cpuset_mems: String,
    pub(crate) cpu_count: Option<i64>,
    pub(crate) cpu_percent: Option<i64>,
    pub(crate) io_maxbandwidth: Option<Bytes>,
    pub(crate) io_maxiops: Option<u64>,
    pub(crate) blkio_weight: u16,
    pub(crate) blkio_weight_device: Weights,
    pub(crate) device_read_bps: RateLimits,
    pub(crate) device_write_bps: RateLimits,
    pub(crate) device_read_iops: IopsLimits,
    pub(crate) device_write_iops: IopsLimits,
    pub(crate) ulimit: Ulimits,
    pub(crate) cgroup_parent: String,
    // Security and namespaces
    pub(crate) privileged: bool,
    pub(crate) cap_add: Vec<String>,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) security_opt: Vec<String>,
    pub(crate) device: Vec<String>,
    pub(crate) device_cgroup_rule: Vec<String>,
    pub(crate) gpus: Gpus,
    pub(crate) sysctl: Pairs,
    pub(crate) pid: String,
    pub(crate) ipc: String,
    pub(crate) uts: String,
    pub(crate) userns: String,
    pub(crate) cgroupns: String,
    // How `run` stays with it
    pub(crate) detach: bool,
    pub(crate) detach_keys: String,
    pub(crate) sig_proxy: Option<bool>,
    // Log
    pub(crate) log_driver: String,
    pub(crate) log_opt: Vec<String>,
}

/// The flags that `run` and `create` share.
pub(crate) const CONTAINER_FLAGS: &[Flag<ContainerArgs>] = &[
    flag!(ContainerArgs, add_host via network::check_extra_host, "add-host", "Add a line to /etc/hosts, HOST:IP"),
    flag!(
        ContainerArgs,
        annotation,
        "annotation",
        "Attach free-form metadata that is handed to the runtime, key=value"
    ),
    flag!(ContainerArgs, attach via check_stream, 'a', "attach", "Attach to STDIN, STDOUT or STDERR"),
    flag!(
        ContainerArgs,
        blkio_weight,
        "blkio-weight",
        "Relative weight of block I/O, 10 to 1000; 0 switches it off (default 0)"
    ),
    flag!(
        ContainerArgs,
        blkio_weight_device,
        "blkio-weight-device",
        "Relative weight of block I/O on one device, PATH:WEIGHT"
    ),
    flag!(ContainerArgs, cap_add via device::normal_capability, "cap-add", "Add a Linux capability"),
    flag!(ContainerArgs, cap_drop via device::normal_capability, "cap-drop", "Drop a Linux capability"),
    flag!(ContainerArgs, cgroup_parent, "cgroup-parent", "Put the container's cgroup below this one"),
    flag!(
        ContainerArgs,
        cgroupns,
        "cgroupns",
        "Cgroup namespace: \"host\" shares the host's, \"private\" makes a new one; the engine's default when empty"
    ),
    flag!(ContainerArgs, cidfile, "cidfile", "Write the container's ID to this file"),
    flag!(ContainerArgs, cpu_count, "cpu-count", "Number of CPUs (Windows only)"),
    flag!(ContainerArgs, cpu_percent, "cpu-percent", "Share of the CPUs in percent (Windows only)"),
    flag!(ContainerArgs, cpu_period, "cpu-period", "Length of a CPU scheduling period in microseconds"),
    flag!(ContainerArgs, cpu_quota, "cpu-quota", "Microseconds of CPU time in each period"),
    flag!(
        ContainerArgs,
        cpu_rt_period,
        "cpu-rt-period",
        "Length of a real-time scheduling period in microseconds"
    ),
    flag!(
        ContainerArgs,
        cpu_rt_runtime,
        "cpu-rt-runtime",
        "Microseconds of real-time CPU time in each period"
    ),
    flag!(ContainerArgs, cpu_shares, 'c', "cpu-shares", "Relative weight of CPU time"),
    flag!(ContainerArgs, cpus, "cpus", "Number of CPUs, with a fraction"),
    flag!(ContainerArgs, cpuset_cpus, "cpuset-cpus", "CPUs to run on (0-3, 0,1)"),
    flag!(ContainerArgs, cpuset_mems, "cpuset-mems", "Memory nodes to use (0-3, 0,1)"),
    flag!(ContainerArgs, device, "device", "Give access to a device of the host, PATH[:PATH-INSIDE][:rwm]"),
    flag!(ContainerArgs, device_cgroup_rule via device::check_cgroup_rule, "device-cgroup-rule", "Add a rule to the list of permitted devices, \"c 13:* rwm\""),
    flag!(
        ContainerArgs,
        device_read_bps,
        "device-read-bps",
        "Limit reading from a device in bytes per second, PATH:RATE"
    ),
    flag!(
        ContainerArgs,
        device_read_iops,
        "device-read-iops",
        "Limit reading from a device in operations per second, PATH:RATE"
    ),
    flag!(
        ContainerArgs,
        device_write_bps,
        "device-write-bps",
        "Limit writing to a device in bytes per second, PATH:RATE"
    ),
    flag!(
        ContainerArgs,
        device_write_iops,
        "device-write-iops",
        "Limit writing to a device in operations per second, PATH:RATE"
    ),
    flag!(ContainerArgs, content_trust, "disable-content-trust", ""),
    flag!(ContainerArgs, dns via network::check_ip, "dns", "Use this DNS server"),
    flag!(ContainerArgs, dns_option, "dns-option", "Set a DNS resolver option"),
    flag!(ContainerArgs, dns_search via network::check_search_domain, "dns-search", "Search names in this domain"),
    flag!(ContainerArgs, domainname, "domainname", "NIS domain name of the container"),
    flag!(ContainerArgs, entrypoint, "entrypoint", "Replace the image's entrypoint; an empty one removes it"),
    flag!(ContainerArgs, env via env::check_variable, 'e', "env", "Set an environment variable; without a value take ours"),
    flag!(ContainerArgs, env_file, "env-file", "Read environment variables from a file"),
    flag!(ContainerArgs, expose, "expose", "Declare a port or a range of ports"),
    flag!(ContainerArgs, gpus, "gpus", "Give access to GPUs: \"all\", a number, or a request"),
    flag!(ContainerArgs, group_add, "group-add", "Add a supplementary group"),
    flag!(ContainerArgs, health_cmd, "health-cmd", "Check the container's health with this command"),
    flag!(ContainerArgs, health_interval, "health-interval", "Time between two checks (ms|s|m|h)"),
    flag!(
        ContainerArgs,
        health_retries,
        "health-retries",
        "Number of failures in a row that make the container unhealthy"
    ),
    flag!(
        ContainerArgs,
        health_start_interval,
        "health-start-interval",
        "Time between two checks during the start period (ms|s|m|h)"
    ),
    flag!(
        ContainerArgs,
        health_start_period,
        "health-start-period",
        "Time after the start in which failures do not count (ms|s|m|h)"
    ),
    flag!(
        ContainerArgs,
        health_timeout,
        "health-timeout",
        "Time after which a check counts as failed (ms|s|m|h)"
    ),
    flag!(ContainerArgs, hostname, 'h', "hostname", "Host name of the container"),
    flag!(ContainerArgs, init, "init", "Run a small init that forwards signals and reaps processes"),
    flag!(ContainerArgs, interactive, 'i', "interactive", "Keep standard input open"),
    flag!(
        ContainerArgs,
        io_maxbandwidth,
        "io-maxbandwidth",
        "Limit of the system drive in bytes per second (Windows only)"
    ),
    flag!(
        ContainerArgs,
        io_maxiops,
        "io-maxiops",
        "Limit of the system drive in operations per second (Windows only)"
    ),
    flag!(ContainerArgs, ip, "ip", "IPv4 address (e.g., 172.30.100.104)"),
    flag!(ContainerArgs, ip6, "ip6", "IPv6 address (e.g., 2001:db8::33)"),
    flag!(ContainerArgs, ipc, "ipc", "IPC namespace: none, private, shareable, host or container:NAME"),
    flag!(ContainerArgs, isolation, "isolation", "Isolation technology (Windows only)"),
    flag!(ContainerArgs, kernel_memory, "kernel-memory", ""),
    flag!(ContainerArgs, label via env::check_label, 'l', "label", "Set a label, key=value"),
    flag!(ContainerArgs, label_file, "label-file", "Read labels from a file"),
    flag!(ContainerArgs, link via network::check_link, "link", "Link to another container, NAME[:ALIAS]"),
    flag!(ContainerArgs, link_local_ip via network::check_ip, "link-local-ip", "Add a link-local address"),
    flag!(ContainerArgs, log_driver, "log-driver", "Log driver of the container"),
    flag!(ContainerArgs, log_opt, "log-opt", "Set an option of the log driver, key=value"),
    flag!(ContainerArgs, mac_address, "mac-address", "MAC address (e.g., 92:d0:c6:0a:29:33)"),
    flag!(ContainerArgs, memory, 'm', "memory", "Limit of memory"),
    flag!(ContainerArgs, memory_reservation, "memory-reservation", "Soft limit of memory"),
    flag!(
        ContainerArgs,
        memory_swap,
        "memory-swap",
        "Limit of memory and swap together; \"-1\" for unlimited swap"
    ),
    flag!(
        ContainerArgs,
        memory_swappiness,
        "memory-swappiness",
        "Readiness to swap, 0 to 100; -1 leaves it to the kernel (default -1)"
    ),
    flag!(
        ContainerArgs,
        mount,
        "mount",
        "Mount a directory, a volume or a tmpfs, type=TYPE,source=SOURCE,target=PATH[,...]"
    ),
    flag!(ContainerArgs, name, "name", "Name of the container"),
    flag!(ContainerArgs, network, "network", "Connect to a network"),
    flag!(ContainerArgs, network_alias, "network-alias", "Add a name on the network"),
    flag!(ContainerArgs, no_healthcheck, "no-healthcheck", "Switch off the image's health check"),
    flag!(
        ContainerArgs,
        oom_kill_disable,
        "oom-kill-disable",
        "Stop processes instead of killing them when memory runs out"
    ),
    flag!(
        ContainerArgs,
        oom_score_adj,
        "oom-score-adj",
        "Preference of the host when it has to kill a process (-1000 to 1000)"
    ),
    flag!(ContainerArgs, pid, "pid", "PID namespace: host or container:NAME"),
    flag!(ContainerArgs, pids_limit, "pids-limit", "Limit of the number of processes; -1 for unlimited"),
    flag!(ContainerArgs, platform, "platform", "Platform of the image, os[/arch[/variant]]"),
    flag!(ContainerArgs, privileged, "privileged", "Give all capabilities and devices"),
    flag!(ContainerArgs, publish, 'p', "publish", "Publish a port, [[IP:]HOST-PORT:]PORT[/PROTOCOL]"),
    flag!(ContainerArgs, publish_all, 'P', "publish-all", "Publish every exposed port on a free port"),
    flag!(
        ContainerArgs,
        pull,
        "pull",
        "Pull the image first (\"always\", \"missing\", \"never\") (default \"missing\")"
    ),
    flag!(ContainerArgs, quiet, 'q', "quiet", "Do not show the progress of a pull"),
    flag!(ContainerArgs, read_only, "read-only", "Mount the root file system read-only"),
    flag!(
        ContainerArgs,
        restart,
        "restart",
        "Restart policy: no, on-failure[:MAX], always or unless-stopped (default \"no\")"
    ),
    flag!(ContainerArgs, rm, "rm", "Remove the container and its anonymous volumes when it exits"),
    flag!(ContainerArgs, runtime, "runtime", "OCI runtime for this container"),
    flag!(ContainerArgs, security_opt, "security-opt", "Set a security option"),
    flag!(ContainerArgs, shm_size, "shm-size", "Size of /dev/shm"),
    flag!(ContainerArgs, stop_signal, "stop-signal", "Signal that asks the container to stop"),
    flag!(ContainerArgs, stop_timeout, "stop-timeout", "Seconds between that signal and SIGKILL"),
    flag!(ContainerArgs, storage_opt, "storage-opt", "Set an option of the storage driver, key=value"),
    flag!(ContainerArgs, sysctl via device::check_sysctl, "sysctl", "Set a kernel parameter of the container, key=value"),
    flag!(ContainerArgs, tmpfs, "tmpfs", "Mount a tmpfs, PATH[:OPTIONS]"),
    flag!(ContainerArgs, tty, 't', "tty", "Allocate a terminal"),
    flag!(ContainerArgs, ulimit, "ulimit", "Set a resource limit, NAME=SOFT[:HARD]"),
    flag!(ContainerArgs, user, 'u', "user", "User, NAME|UID[:GROUP|GID]"),
    flag!(ContainerArgs, userns, "userns", "User namespace: host"),
    flag!(ContainerArgs, uts, "uts", "UTS namespace: host"),
    flag!(ContainerArgs, volume, 'v', "volume", "Mount a directory or a volume, [SOURCE:]PATH[:OPTIONS]"),
    flag!(ContainerArgs, volume_driver, "volume-driver", "Driver for named volumes"),
    flag!(ContainerArgs, volumes_from, "volumes-from", "Mount the volumes of another container, NAME[:ro]"),
    flag!(ContainerArgs, workdir, 'w', "workdir", "Working directory"),
    // Older spellings, which scripts still use.
    flag!(ContainerArgs, network, "net", ""),
    flag!(ContainerArgs, network_alias, "net-alias", ""),
    flag!(ContainerArgs, dns_option, "dns-opt", ""),
];

fn check_stream(text: &str) -> Result<String, String> {
    let stream = text.to_lowercase();
    match stream.as_str() {
        "stdin" | "stdout" | "stderr" => Ok(stream),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}
