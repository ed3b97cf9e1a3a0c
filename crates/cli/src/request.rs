//! The flags of `run` and `create` become the body of `POST /containers/create`.
//!
//! Pure but for the files that flags name (environment, labels, seccomp profiles). The body is the one that Docker's
//! own client posts for the same flags, null for null: the table in `tests/it/bodies.json` was recorded from it.
//!
//! - [`flags`]: the flags themselves
//! - [`env`], [`mount`], [`volume`], [`port`], [`network`], [`device`]: values with a syntax of their own
//! - [`csv`]: the syntax that some of them share

pub(crate) mod csv;
pub(crate) mod device;
pub(crate) mod env;
pub(crate) mod flags;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod volume;

use std::collections::BTreeMap;

use api_types::config::{Config, Healthcheck};
use api_types::container::CreateRequest;
use api_types::host_config::{DeviceRequest, HostConfig, LogConfig, RestartPolicy};
use api_types::network::NetworkingConfig;

use self::flags::ContainerArgs;
use crate::flags::value::quoted;

/// What a user of `--kernel-memory` is told; Docker discards the value too.
pub(crate) const KERNEL_MEMORY: &str =
    "WARNING: --kernel-memory has no effect: the kernel counts this memory in --memory";

/// The container that the flags describe. `operands` are the image and the command.
pub(crate) fn build(args: &ContainerArgs, operands: &[String]) -> Result<CreateRequest, String> {
    if !args.mac_address.is_empty() {
        network::check_mac(&args.mac_address)?;
    }
    let volumes = volume::parse(&args.volume)?;
    let host_config = host_config(args, volumes.binds)?;
    let config = config(args, operands, volumes.anonymous, &host_config)?;
    if args.rm && !matches!(host_config.restart_policy.name.as_str(), "" | "no") {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    let networking_config = NetworkingConfig { endpoints_config: network::endpoints(args)? };
    Ok(CreateRequest { config, host_config, networking_config })
}

fn config(
    args: &ContainerArgs,
    operands: &[String],
    volumes: BTreeMap<String, api_types::Empty>,
    host_config: &HostConfig,
) -> Result<Config, String> {
    let (image, command) =
        operands.split_first().map_or((String::new(), &[][..]), |(image, rest)| (image.clone(), rest));
    let attach = |stream: &str| args.attach.iter().any(|name| name == stream);
    let attach_stdin = args.interactive || attach("stdin");
    let all_output = args.attach.is_empty();
    let labels = env::labels(&args.label_file, &args.label)?;
    let exposed = port::exposed(host_config.port_bindings.as_ref(), &args.expose)?;
    Ok(Config {
        hostname: args.hostname.clone(),
        domainname: args.domainname.clone(),
        user: args.user.clone(),
        attach_stdin,
        attach_stdout: all_output || attach("stdout"),
        attach_stderr: all_output || attach("stderr"),
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        tty: args.tty,
        open_stdin: args.interactive,
        // Whoever started it interactively is the one who types.
        stdin_once: args.interactive && attach_stdin,
        env: some(env::variables(&args.env_file, &args.env)?),
        cmd: some(command.to_vec()),
        healthcheck: healthcheck(args)?,
        image,
        volumes: Some(volumes),
        working_dir: args.workdir.clone(),
        // An empty entrypoint takes away the image's.
        entrypoint: args.entrypoint.clone().map(|entrypoint| vec![entrypoint]),
        labels: Some(pairs(&labels)),
        stop_signal: args.stop_signal.clone(),
        stop_timeout: args.stop_timeout,
        ..Config::default()
    })
}

fn host_config(args: &ContainerArgs, binds: Vec<String>) -> Result<HostConfig, String> {
    let security = Security::parse(&args.security_opt)?;
    let config = HostConfig {
        binds: some(binds),
        container_id_file: args.cidfile.clone(),
        log_config: log_config(args)?,
        network_mode: network::mode(args),
        port_bindings: Some(port::publish(&args.publish)?),
        restart_policy: restart_policy(args.restart.as_deref().unwrap_or("no"))?,
        auto_remove: args.rm,
        volume_driver: args.volume_driver.clone(),
        volumes_from: some(args.volumes_from.clone()),
        annotations: (!args.annotation.0.is_empty()).then(|| args.annotation.0.clone()),
        cap_add: some(args.cap_add.clone()),
        cap_drop: some(args.cap_drop.clone()),
        cgroupns_mode: mode("--cgroupns: invalid CGROUP mode", &args.cgroupns, &["private", "host"], false)?,
        dns: args.dns.clone().into(),
        dns_options: args.dns_option.clone().into(),
        dns_search: args.dns_search.clone().into(),
        extra_hosts: some(args.add_host.clone()),
        group_add: some(args.group_add.clone()),
        ipc_mode: args.ipc.clone(),
        links: some(args.link.clone()),
        oom_score_adj: i32::try_from(args.oom_score_adj).map_err(|_| range_error(args.oom_score_adj))?,
        pid_mode: mode("--pid: invalid PID mode", &args.pid, &["host"], true)?,
        privileged: args.privileged,
        publish_all_ports: args.publish_all,
        readonly_rootfs: args.read_only,
        security_opt: some(security.options),
        storage_opt: storage_options(&args.storage_opt)?,
        tmpfs: tmpfs(&args.tmpfs),
        uts_mode: mode("--uts: invalid UTS mode", &args.uts, &["host"], false)?,
        userns_mode: mode("--userns: invalid USER mode", &args.userns, &["host"], false)?,
        shm_size: args.shm_size.0,
        sysctls: (!args.sysctl.0.is_empty()).then(|| args.sysctl.0.clone()),
        runtime: args.runtime.clone(),
        isolation: args.isolation.clone(),
        mounts: some(args.mount.0.clone()),
        masked_paths: security.system_paths.clone(),
        readonly_paths: security.system_paths,
        init: args.init,
        ..HostConfig::default()
    };
    with_limits(config, args)
}

fn with_limits(config: HostConfig, args: &ContainerArgs) -> Result<HostConfig, String> {
    let swappiness = args.memory_swappiness.unwrap_or(-1);
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
    }
    let (cdi, files): (Vec<&String>, Vec<&String>) =
        args.device.iter().partition(|name| device::is_cdi_name(name));
    let mut requests = args.gpus.0.clone();
    if !cdi.is_empty() {
        let device_ids = Some(cdi.into_iter().cloned().collect());
        requests.push(DeviceRequest { driver: "cdi".to_owned(), device_ids, ..DeviceRequest::default() });
    }
    Ok(HostConfig {
        cpu_shares: args.cpu_shares,
        memory: args.memory.0,
        nano_cpus: args.cpus.0,
        cgroup_parent: args.cgroup_parent.clone(),
        blkio_weight: args.blkio_weight,
        blkio_weight_device: args.blkio_weight_device.0.clone().into(),
        blkio_device_read_bps: args.device_read_bps.0.clone().into(),
        blkio_device_write_bps: args.device_write_bps.0.clone().into(),
        blkio_device_read_iops: args.device_read_iops.0.clone().into(),
        blkio_device_write_iops: args.device_write_iops.0.clone().into(),
        cpu_period: args.cpu_period,
        cpu_quota: args.cpu_quota,
        cpu_realtime_period: args.cpu_rt_period,
        cpu_realtime_runtime: args.cpu_rt_runtime,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        devices: files.into_iter().map(|file| device::parse_device(file)).collect::<Result<_, _>>()?,
        device_cgroup_rules: some(args.device_cgroup_rule.clone()),
        device_requests: some(requests),
        memory_reservation: args.memory_reservation.0,
        memory_swap: args.memory_swap.0,
        memory_swappiness: Some(swappiness),
        oom_kill_disable: Some(args.oom_kill_disable),
        pids_limit: Some(args.pids_limit),
        ulimits: args.ulimit.0.values().cloned().collect(),
        ..config
    })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn range_error(value: i64) -> String {
    format!("strconv.ParseInt: parsing \"{value}\": value out of range")
}

fn pairs(list: &[String]) -> BTreeMap<String, String> {
    let split = |text: &String| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    };
    list.iter().map(split).collect()
}

/// A namespace mode: empty, one of `words`, or `container:NAME` where that exists.
fn mode(error: &str, text: &str, words: &[&str], container: bool) -> Result<String, String> {
    let of_container = || container && text.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    if text.is_empty() || words.contains(&text) || of_container() {
        return Ok(text.to_owned());
    }
    Err(error.to_owned())
}

fn healthcheck(args: &ContainerArgs) -> Result<Option<Healthcheck>, String> {
    let times = [
        ("interval", args.health_interval.0),
        ("timeout", args.health_timeout.0),
        ("retries", args.health_retries),
        ("start-period", args.health_start_period.0),
        ("start-interval", args.health_start_interval.0),
    ];
    let given = !args.health_cmd.is_empty() || times.iter().any(|(_, value)| *value != 0);
    if args.no_healthcheck {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        return Ok(Some(Healthcheck { test: Some(vec!["NONE".to_owned()]), ..Healthcheck::default() }));
    }
    if !given {
        return Ok(None);
    }
    if let Some((name, _)) = times.iter().find(|(_, value)| *value < 0) {
        return Err(format!("--health-{name} cannot be negative"));
    }
    let test = (!args.health_cmd.is_empty()).then(|| vec!["CMD-SHELL".to_owned(), args.health_cmd.clone()]);
    Ok(Some(Healthcheck {
        test,
        interval: args.health_interval.0,
        timeout: args.health_timeout.0,
        start_period: args.health_start_period.0,
        start_interval: args.health_start_interval.0,
        retries: args.health_retries,
    }))
}

fn log_config(args: &ContainerArgs) -> Result<LogConfig, String> {
    if args.log_driver == "none" && !args.log_opt.is_empty() {
        return Err("invalid logging opts for driver none".to_owned());
    }
    Ok(LogConfig { kind: args.log_driver.clone(), config: pairs(&args.log_opt) })
}

/// `--restart`.
pub(crate) fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() && !text.is_empty() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let maximum_retry_count = match count {
        "" => 0,
        count => count.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?,
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

fn storage_options(list: &[String]) -> Result<Option<BTreeMap<String, String>>, String> {
    if list.iter().any(|option| !option.contains('=')) {
        return Err("invalid storage option".to_owned());
    }
    Ok((!list.is_empty()).then(|| pairs(list)))
}

fn tmpfs(list: &[String]) -> Option<BTreeMap<String, String>> {
    let split = |text: &String| match text.split_once(':') {
        Some((path, options)) => (path.to_owned(), options.to_owned()),
        None => (text.clone(), String::new()),
    };
    (!list.is_empty()).then(|| list.iter().map(split).collect())
}

/// What `--security-opt` amounts to.
struct Security {
    options: Vec<String>,
    /// Empty lists when no path is to be masked.
    system_paths: Option<Vec<String>>,
}

impl Security {
    /// Checks each option; puts the file's content where one names a seccomp profile.
    fn parse(list: &[String]) -> Result<Self, String> {
        let mut security = Self { options: Vec::new(), system_paths: None };
        for option in list {
            if option == "systempaths=unconfined" {
                security.system_paths = Some(Vec::new());
                continue;
            }
            let split = option.split_once('=').or_else(|| option.split_once(':'));
            match split {
                Some(("seccomp", profile))
                    if !matches!(profile, "" | "unconfined" | "builtin" | "default") =>
                {
                    security.options.push(format!("seccomp={}", read_profile(profile)?));
                }
                Some((_, value)) if !value.is_empty() => security.options.push(option.clone()),
                _ if option.split('=').next() == Some("no-new-privileges") => {
                    security.options.push(option.clone())
                }
                _ => return Err(format!("Invalid --security-opt: {}", quoted(option))),
            }
        }
        Ok(security)
    }
}

/// A seccomp profile, without its white space.
fn read_profile(path: &str) -> Result<String, String> {
    let fail = |what: &str, why: String| format!("{what} seccomp profile ({path}) failed: {why}");
    let bytes = std::fs::read(path)
        .map_err(|error| fail("opening", crate::error::path_error("open", path, &error)))?;
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| fail("compacting json for", error.to_string()))?;
    Ok(value.to_string())
}
