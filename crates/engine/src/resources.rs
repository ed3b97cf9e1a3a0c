//! Limits: what Docker's numbers mean, which of them make sense, and the cgroup resources they become.

use api_types::host_config::{HostConfig, ThrottleDevice, Ulimit};
use oci::runtime::{self as oci_runtime, BlockIo, Cpu, DeviceRule, Memory, Pids, Resources};

use crate::error::{EngineError, Result};
use crate::host::{Host, parse_list};

const MIB: i64 = 1024 * 1024;

/// Checks the limits of a new container and fills in what follows from them. A wish the kernel cannot grant is
/// dropped with a warning where Docker does so, refused where it refuses.
pub fn check(config: &mut HostConfig, host: &Host, warnings: &mut Vec<String>) -> Result<()> {
    if config.memory == 0 && config.memory_swap > 0 {
        return Err(EngineError::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    check_change(config, host, warnings)
}

/// Checks limits that are to change; those that are not given stay as they are.
pub fn check_change(config: &mut HostConfig, host: &Host, warnings: &mut Vec<String>) -> Result<()> {
    check_memory(config, host, warnings)?;
    check_cpu(config, host)?;
    check_io(config, host, warnings)?;
    if !(-1000..=1000).contains(&config.oom_score_adj) {
        return Err(EngineError::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            config.oom_score_adj
        )));
    }
    if config.shm_size < 0 {
        return Err(EngineError::invalid("SHM size can not be less than 0"));
    }
    for ulimit in &config.ulimits {
        check_ulimit(ulimit)?;
        let hard = u64::try_from(ulimit.hard).unwrap_or(u64::MAX);
        if ulimit.name == "nofile" && hard > host.max_files && !can_raise_limits(host) {
            return Err(EngineError::invalid(format!(
                "ulimit nofile={}:{}: the hard limit is above {}, this daemon's own, and raising it needs CAP_SYS_RESOURCE, which the daemon does not have",
                ulimit.soft, ulimit.hard, host.max_files
            )));
        }
    }
    Ok(())
}

/// Refuses a limit that there is not, and a soft one above the hard one.
pub fn check_ulimit(ulimit: &Ulimit) -> Result<()> {
    rlimit_name(&ulimit.name)?;
    if ulimit.hard != -1 && (ulimit.soft > ulimit.hard || ulimit.soft == -1) {
        return Err(EngineError::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {} > {}",
            ulimit.soft, ulimit.hard
        )));
    }
    Ok(())
}

fn can_raise_limits(host: &Host) -> bool {
    host.capabilities.names().iter().any(|name| name == "CAP_SYS_RESOURCE")
}

fn check_memory(config: &mut HostConfig, host: &Host, warnings: &mut Vec<String>) -> Result<()> {
    let refuse = |text: &str| Err(EngineError::invalid(text));
    if config.memory != 0 && config.memory < 6 * MIB {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if config.memory > 0 && config.memory_swap != 0 && !host.swap_limit {
        warnings.push("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.".into());
        config.memory_swap = -1;
    }
    if config.memory > 0 && config.memory_swap > 0 && config.memory_swap < config.memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if let Some(swappiness) = config.memory_swappiness {
        if host.cgroup_v2 && swappiness != -1 {
            warnings.push("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.".into());
            config.memory_swappiness = None;
        } else if !(-1..=100).contains(&swappiness) {
            return refuse(&format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100"));
        }
    }
    if config.memory_reservation != 0 && config.memory_reservation < 6 * MIB {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if config.memory > 0 && config.memory_reservation > 0 && config.memory < config.memory_reservation {
        return refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    if config.oom_kill_disable == Some(true) {
        if host.cgroup_v2 {
            warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
            config.oom_kill_disable = None;
        } else if config.memory == 0 {
            warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".into());
        }
    }
    Ok(())
}

fn check_cpu(config: &HostConfig, host: &Host) -> Result<()> {
    let refuse = |text: String| Err(EngineError::invalid(text));
    if config.nano_cpus > 0 && config.cpu_period > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set".into());
    }
    if config.nano_cpus > 0 && config.cpu_quota > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set".into());
    }
    if config.nano_cpus < 0 || config.nano_cpus > i64::from(host.cpus) * 1_000_000_000 {
        return refuse(format!(
            "range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available",
            host.cpus, host.cpus
        ));
    }
    if config.cpu_shares < 0 {
        return refuse(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            config.cpu_shares
        ));
    }
    if config.cpu_period != 0 && !(1000..=1_000_000).contains(&config.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".into(),
        );
    }
    if config.cpu_quota > 0 && config.cpu_quota < 1000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
    }
    check_list("CPUs", &config.cpuset_cpus, &host.online_cpus, "cpuset cpus")?;
    check_list("memory nodes", &config.cpuset_mems, &host.online_mems, "cpuset mems")
}

fn check_list(what: &str, wanted: &str, available: &str, field: &str) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let Some(members) = parse_list(wanted) else {
        return Err(EngineError::invalid(format!(
            "Invalid value {wanted} for {field}: invalid format: {wanted}"
        )));
    };
    let present = parse_list(available).unwrap_or_default();
    if members.iter().all(|member| present.contains(member)) {
        Ok(())
    } else {
        Err(EngineError::invalid(format!(
            "Requested {what} are not available - requested {wanted}, available: {available}"
        )))
    }
}

fn check_io(config: &mut HostConfig, host: &Host, warnings: &mut Vec<String>) -> Result<()> {
    if config.blkio_weight > 0 && !host.io_weight {
        warnings.push(
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
                .into(),
        );
        config.blkio_weight = 0;
    }
    if config.blkio_weight > 0 && !(10..=1000).contains(&config.blkio_weight) {
        return Err(EngineError::invalid("Range of blkio weight is from 10 to 1000"));
    }
    if !config.blkio_weight_device.is_empty() && !host.io_weight {
        warnings.push("Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.".into());
        config.blkio_weight_device = Vec::new().into();
    }
    Ok(())
}

/// `RLIMIT_…` of Docker's short name.
pub fn rlimit_name(name: &str) -> Result<String> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    if NAMES.contains(&name) {
        Ok(format!("RLIMIT_{}", name.to_ascii_uppercase()))
    } else {
        Err(EngineError::invalid(format!("invalid ulimit type: {name}")))
    }
}

/// The cgroup resources of a container. Looks device numbers up, so it blocks on the host's `/dev`.
pub fn plan(config: &HostConfig, default_pids: Option<i64>, devices: Vec<DeviceRule>) -> Result<Resources> {
    let some = |value: i64| (value != 0).then_some(value);
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let (quota, period) = match config.nano_cpus {
        0 => (some(config.cpu_quota), positive(config.cpu_period)),
        nano => (Some(nano / 10_000), Some(100_000)),
    };
    let cpu = Cpu {
        shares: positive(config.cpu_shares),
        quota,
        period,
        realtime_runtime: some(config.cpu_realtime_runtime),
        realtime_period: positive(config.cpu_realtime_period),
        cpus: Some(config.cpuset_cpus.clone()).filter(|list| !list.is_empty()),
        mems: Some(config.cpuset_mems.clone()).filter(|list| !list.is_empty()),
        ..Cpu::default()
    };
    let swap = match (config.memory, config.memory_swap) {
        (memory, 0) if memory > 0 => Some(memory.saturating_mul(2)),
        (_, swap) => some(swap),
    };
    let memory = Memory {
        limit: some(config.memory),
        reservation: some(config.memory_reservation),
        swap,
        swappiness: config.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: config.oom_kill_disable.filter(|disable| *disable),
        ..Memory::default()
    };
    let pids = match config.pids_limit {
        None | Some(0) => default_pids,
        Some(limit) => Some(limit),
    };
    let block_io = plan_io(config)?;
    Ok(Resources {
        devices,
        memory: (memory != Memory::default()).then_some(memory),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        pids: pids.map(|limit| Pids { limit: limit.max(-1) }),
        block_io: (block_io != BlockIo::default()).then_some(block_io),
        ..Resources::default()
    })
}

fn plan_io(config: &HostConfig) -> Result<BlockIo> {
    let throttles = |devices: &[ThrottleDevice]| -> Result<Vec<oci_runtime::ThrottleDevice>> {
        devices
            .iter()
            .map(|device| {
                let (major, minor) = device_number(&device.path)?;
                Ok(oci_runtime::ThrottleDevice { major, minor, rate: device.rate })
            })
            .collect()
    };
    let weight_device = config
        .blkio_weight_device
        .iter()
        .map(|device| {
            let (major, minor) = device_number(&device.path)?;
            Ok(oci_runtime::WeightDevice { major, minor, weight: Some(device.weight), leaf_weight: None })
        })
        .collect::<Result<_>>()?;
    Ok(BlockIo {
        weight: Some(config.blkio_weight).filter(|weight| *weight > 0),
        leaf_weight: None,
        weight_device,
        throttle_read_bps_device: throttles(&config.blkio_device_read_bps)?,
        throttle_write_bps_device: throttles(&config.blkio_device_write_bps)?,
        throttle_read_iops_device: throttles(&config.blkio_device_read_iops)?,
        throttle_write_iops_device: throttles(&config.blkio_device_write_iops)?,
    })
}

fn device_number(path: &str) -> Result<(i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let status = std::fs::metadata(path)
        .map_err(|error| EngineError::invalid(format!("stat {path}: {}", crate::error::plain(&error))))?;
    let (major, minor) = (rustix::fs::major(status.rdev()), rustix::fs::minor(status.rdev()));
    Ok((i64::from(major), i64::from(minor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            cpus: 2,
            online_cpus: "0-1".into(),
            online_mems: "0".into(),
            max_files: 1024,
            capabilities: crate::capabilities::Available::of_this_process().unwrap(),
            cgroup_v2: false,
            io_weight: false,
            swap_limit: true,
            kernel: "6.18.0".into(),
            boot_id: String::new(),
            memory: 1 << 30,
        }
    }

    #[test]
    fn limits_are_refused_in_dockers_words() {
        type Case = (fn(&mut HostConfig), &'static str);
        let cases: [Case; 12] = [
            (|c| c.memory = 5 * MIB, "Minimum memory limit allowed is 6MB"),
            (|c| c.memory = -5, "Minimum memory limit allowed is 6MB"),
            (
                |c| (c.memory, c.memory_swap) = (20 * MIB, 5 * MIB),
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                |c| c.memory_swap = 30 * MIB,
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                |c| (c.memory, c.memory_reservation) = (20 * MIB, 30 * MIB),
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ),
            (
                |c| c.nano_cpus = 9_000_000_000,
                "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                |c| (c.nano_cpus, c.cpu_quota) = (500_000_000, 1000),
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            ),
            (
                |c| c.cpuset_cpus = "7".into(),
                "Requested CPUs are not available - requested 7, available: 0-1",
            ),
            (|c| c.cpuset_cpus = "x".into(), "Invalid value x for cpuset cpus: invalid format: x"),
            (|c| c.cpu_quota = 5, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
            (
                |c| c.cpu_period = 5,
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ),
            (|c| c.oom_score_adj = 2000, "Invalid value 2000, range for oom score adj is [-1000, 1000]"),
        ];
        for (change, expected) in cases {
            let mut config = HostConfig::default();
            change(&mut config);
            let error = check(&mut config, &host(), &mut Vec::new()).unwrap_err();
            assert_eq!(error.message(), expected);
        }
    }

    #[test]
    fn a_weight_the_kernel_cannot_keep_is_dropped_with_a_warning() {
        let (mut config, mut warnings) =
            (HostConfig { blkio_weight: 300, ..HostConfig::default() }, Vec::new());
        check(&mut config, &host(), &mut warnings).unwrap();
        assert_eq!(config.blkio_weight, 0);
        assert!(warnings[0].contains("Block I/O weight"), "{warnings:?}");
    }

    #[test]
    fn numbers_become_cgroup_resources() {
        let config = HostConfig {
            nano_cpus: 1_500_000_000,
            memory: 256 * MIB,
            cpuset_cpus: "0".into(),
            cpu_shares: 512,
            ..HostConfig::default()
        };
        let resources = plan(&config, Some(4096), Vec::new()).unwrap();
        let cpu = resources.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period, cpu.shares), (Some(150_000), Some(100_000), Some(512)));
        let memory = resources.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(256 * MIB), Some(512 * MIB)));
        assert_eq!(resources.pids, Some(Pids { limit: 4096 }));
    }
}
