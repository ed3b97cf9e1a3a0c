//! `update`: other limits, at once and for later starts, and another restart policy.

use api_types::container::UpdateRequest;
use api_types::host_config::HostConfig;
use oci::runtime::Resources;

use crate::error::{EngineError, Result};
use crate::host::Host;
use crate::resources;
use crate::restart;

/// A change that makes sense by itself.
#[derive(Debug, Clone)]
pub(crate) struct Change(UpdateRequest);

impl Change {
    /// Checks a request without looking at the container; a wish that the kernel cannot grant is dropped with a
    /// warning.
    pub(crate) fn check(mut request: UpdateRequest, host: &Host) -> Result<(Self, Vec<String>)> {
        let mut warnings = Vec::new();
        let mut limits = HostConfig {
            cpu_shares: request.cpu_shares,
            memory: request.memory,
            nano_cpus: request.nano_cpus,
            blkio_weight: request.blkio_weight,
            cpu_period: request.cpu_period,
            cpu_quota: request.cpu_quota,
            cpuset_cpus: request.cpuset_cpus.clone(),
            cpuset_mems: request.cpuset_mems.clone(),
            memory_reservation: request.memory_reservation,
            memory_swap: request.memory_swap,
            memory_swappiness: request.memory_swappiness,
            oom_kill_disable: request.oom_kill_disable,
            ..HostConfig::default()
        };
        resources::check_change(&mut limits, host, &mut warnings)?;
        restart::check(&request.restart_policy, false)?;
        request.blkio_weight = limits.blkio_weight;
        request.memory_swap = limits.memory_swap;
        Ok((Self(request), warnings))
    }

    /// The configuration with the change; refuses what contradicts the rest of it.
    pub(crate) fn apply(&self, to: &HostConfig) -> Result<HostConfig> {
        let change = &self.0;
        self.check_against(to)?;
        let mut config = to.clone();
        let set = |field: &mut i64, value: i64| {
            if value != 0 {
                *field = value;
            }
        };
        set(&mut config.cpu_shares, change.cpu_shares);
        set(&mut config.memory, change.memory);
        set(&mut config.nano_cpus, change.nano_cpus);
        set(&mut config.cpu_period, change.cpu_period);
        set(&mut config.cpu_quota, change.cpu_quota);
        set(&mut config.cpu_realtime_period, change.cpu_realtime_period);
        set(&mut config.cpu_realtime_runtime, change.cpu_realtime_runtime);
        set(&mut config.memory_reservation, change.memory_reservation);
        set(&mut config.memory_swap, change.memory_swap);
        if change.blkio_weight != 0 {
            config.blkio_weight = change.blkio_weight;
        }
        for (field, value) in
            [(&mut config.cpuset_cpus, &change.cpuset_cpus), (&mut config.cpuset_mems, &change.cpuset_mems)]
        {
            if !value.is_empty() {
                field.clone_from(value);
            }
        }
        if let Some(limit) = change.pids_limit {
            // 0 would be this engine's own limit at the next start.
            config.pids_limit = Some(if limit > 0 { limit } else { -1 });
        }
        if !change.restart_policy.name.is_empty() {
            config.restart_policy.clone_from(&change.restart_policy);
        }
        Ok(config)
    }

    fn check_against(&self, present: &HostConfig) -> Result<()> {
        let change = &self.0;
        let shorter_memory = change.memory > present.memory_swap && change.memory_swap == 0;
        let restarts = !matches!(change.restart_policy.name.as_str(), "" | "no");
        let conflicts = [
            (
                change.nano_cpus > 0 && present.cpu_period > 0,
                "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
            ),
            (
                change.nano_cpus > 0 && present.cpu_quota > 0,
                "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
            ),
            (
                change.cpu_period > 0 && present.nano_cpus > 0,
                "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
            ),
            (
                change.cpu_quota > 0 && present.nano_cpus > 0,
                "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
            ),
            (
                change.memory > 0 && shorter_memory,
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same \
                 time",
            ),
            (
                restarts && present.auto_remove,
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ),
        ];
        match conflicts.iter().find(|(conflicts, _)| *conflicts) {
            Some((_, text)) => Err(EngineError::conflict(*text)),
            None => Ok(()),
        }
    }

    /// What a running container's cgroup is told: the groups of limits that the change touches, whole, since the
    /// kernel's numbers depend on each other (swap on memory, quota on period). `changed` is the new configuration.
    pub(crate) fn resources(&self, changed: &HostConfig) -> Result<Resources> {
        let change = &self.0;
        let planned = resources::plan(changed, None, Vec::new())?;
        let memory = change.memory != 0 || change.memory_swap != 0 || change.memory_reservation != 0;
        let quota = change.nano_cpus != 0 || change.cpu_quota != 0 || change.cpu_period != 0;
        let realtime = change.cpu_realtime_period != 0 || change.cpu_realtime_runtime != 0;
        let cpu = planned.cpu.map(|mut cpu| {
            if !quota {
                (cpu.quota, cpu.period) = (None, None);
            }
            if !realtime {
                (cpu.realtime_runtime, cpu.realtime_period) = (None, None);
            }
            cpu.shares = cpu.shares.filter(|_| change.cpu_shares != 0);
            cpu.cpus = cpu.cpus.filter(|_| !change.cpuset_cpus.is_empty());
            cpu.mems = cpu.mems.filter(|_| !change.cpuset_mems.is_empty());
            cpu
        });
        Ok(Resources {
            memory: planned.memory.filter(|_| memory),
            cpu,
            pids: planned.pids.filter(|_| change.pids_limit.is_some()),
            block_io: planned.block_io.filter(|_| change.blkio_weight != 0),
            ..Resources::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(edit: impl FnOnce(&mut UpdateRequest)) -> Change {
        let mut request = UpdateRequest::default();
        edit(&mut request);
        Change(request)
    }

    #[test]
    fn changes_that_contradict_what_is_set_are_refused() {
        type Edit = fn(&mut UpdateRequest);
        let nano = HostConfig { nano_cpus: 1, ..HostConfig::default() };
        let period = HostConfig { cpu_period: 5000, ..HostConfig::default() };
        let quota = HostConfig { cpu_quota: 5000, ..HostConfig::default() };
        let swap = HostConfig { memory: 50, memory_swap: 100, ..HostConfig::default() };
        let removed = HostConfig { auto_remove: true, ..HostConfig::default() };
        let cases: [(&HostConfig, Edit, &str); 6] = [
            (&period, |c| c.nano_cpus = 1, "Nano CPUs cannot be updated as CPU Period has already been set"),
            (&quota, |c| c.nano_cpus = 1, "Nano CPUs cannot be updated as CPU Quota has already been set"),
            (&nano, |c| c.cpu_period = 1, "CPU Period cannot be updated as NanoCPUs has already been set"),
            (&nano, |c| c.cpu_quota = 1, "CPU Quota cannot be updated as NanoCPUs has already been set"),
            (&swap, |c| c.memory = 200, "Memory limit should be smaller than already set memoryswap limit"),
            (
                &removed,
                |c| c.restart_policy.name = "always".into(),
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ),
        ];
        for (present, edit, expected) in cases {
            let error = change(edit).apply(present).unwrap_err();
            assert!(error.message().contains(expected), "{error}");
        }
        assert_eq!(change(|c| c.memory = 80).apply(&swap).unwrap().memory, 80);
        let policy = change(|c| c.restart_policy.name = "no".into()).apply(&removed).unwrap();
        assert_eq!(policy.restart_policy.name, "no");
    }

    #[test]
    fn only_what_changes_is_written() {
        let present = HostConfig {
            cpu_shares: 512,
            memory: 100,
            memory_swap: 200,
            cpuset_cpus: "0".into(),
            pids_limit: Some(5),
            ..HostConfig::default()
        };
        let more_memory = change(|c| (c.memory, c.memory_swap) = (300, 300));
        let resources = more_memory.resources(&more_memory.apply(&present).unwrap()).unwrap();
        let memory = resources.memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(300), Some(300)));
        assert_eq!(resources.pids, None);
        assert_eq!(resources.cpu.unwrap(), oci::runtime::Cpu::default());

        let unlimited = change(|c| c.pids_limit = Some(0));
        let changed = unlimited.apply(&present).unwrap();
        assert_eq!(changed.pids_limit, Some(-1));
        let resources = unlimited.resources(&changed).unwrap();
        assert_eq!(resources.pids.unwrap().limit, -1);
        assert_eq!(resources.memory, None);
    }
}
