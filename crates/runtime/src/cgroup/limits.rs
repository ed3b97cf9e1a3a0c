//! From the specification's resources to files and values, for v1 and v2. Pure.
//!
//! The specification speaks v1; [`v2`] converts as runc does. Device rules are not files on v2 and have their own
//! module.

use std::io;

use oci::runtime::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};

use super::host::Controller;

/// One value for one file of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: Controller,
    pub(super) file: String,
    pub(super) value: String,
    /// For kernels that do not have the file: another one that means the same.
    pub(super) or: Option<(&'static str, String)>,
    /// Lifts a limit that such a kernel could not set anyway, so the file may be missing.
    pub(super) optional: bool,
}

/// Collects settings.
struct Plan(Vec<Setting>);

impl Plan {
    fn set(&mut self, controller: Controller, file: impl Into<String>, value: impl ToString) {
        self.0.push(Setting {
            controller,
            file: file.into(),
            value: value.to_string(),
            or: None,
            optional: false,
        });
    }

    fn maybe<T: ToString>(&mut self, controller: Controller, file: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(controller, file, value);
        }
    }

    /// The last setting may do without its file.
    fn optional_if(&mut self, condition: bool) {
        if let Some(last) = self.0.last_mut() {
            last.optional = condition;
        }
    }

    fn or(&mut self, file: &'static str, value: impl ToString) {
        if let Some(last) = self.0.last_mut() {
            last.or = Some((file, value.to_string()));
        }
    }
}

/// The settings on v1, without devices.
pub(super) fn v1(resources: &Resources) -> io::Result<Vec<Setting>> {
    let mut plan = Plan(Vec::new());
    if !resources.unified.is_empty() {
        return Err(unsupported("cgroup v2 settings (unified) cannot be set on a cgroup v1 host"));
    }
    if let Some(memory) = &resources.memory {
        memory_v1(&mut plan, memory);
    }
    if let Some(cpu) = &resources.cpu {
        cpu_v1(&mut plan, cpu);
    }
    if let Some(pids) = &resources.pids {
        plan.set(Controller::Pids, "pids.max", unlimited(pids.limit.max(0), 0));
    }
    if let Some(io) = &resources.block_io {
        io_v1(&mut plan, io);
    }
    for limit in &resources.hugepage_limits {
        let file = format!("hugetlb.{}.limit_in_bytes", huge_page_size(&limit.page_size)?);
        plan.set(Controller::Hugetlb, file, limit.limit);
    }
    rdma(&mut plan, resources);
    if let Some(network) = &resources.network {
        plan.maybe(Controller::NetCls, "net_cls.classid", network.class_id);
        for priority in &network.priorities {
            let value = format!("{} {}", priority.name, priority.priority);
            plan.set(Controller::NetPrio, "net_prio.ifpriomap", value);
        }
    }
    Ok(plan.0)
}

/// One line a device, the same on both versions.
fn rdma(plan: &mut Plan, resources: &Resources) {
    for (device, limits) in &resources.rdma {
        let words = [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)];
        let words: Vec<_> =
            words.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))).collect();
        if !words.is_empty() {
            plan.set(Controller::Rdma, "rdma.max", format!("{device} {}", words.join(" ")));
        }
    }
}

fn memory_v1(plan: &mut Plan, memory: &Memory) {
    const C: Controller = Controller::Memory;
    plan.maybe(C, "memory.limit_in_bytes", memory.limit);
    if let Some(swap) = memory.swap {
        plan.set(C, "memory.memsw.limit_in_bytes", swap);
        plan.optional_if(swap == -1);
    }
    plan.maybe(C, "memory.soft_limit_in_bytes", memory.reservation);
    plan.maybe(C, "memory.kmem.limit_in_bytes", memory.kernel);
    plan.maybe(C, "memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp);
    plan.maybe(C, "memory.swappiness", memory.swappiness);
    if let Some(disable) = memory.disable_oom_killer {
        plan.set(C, "memory.oom_control", u8::from(disable));
        plan.optional_if(!disable);
    }
    if let Some(hierarchy) = memory.use_hierarchy {
        plan.set(C, "memory.use_hierarchy", u8::from(hierarchy));
    }
}

fn cpu_v1(plan: &mut Plan, cpu: &Cpu) {
    const C: Controller = Controller::Cpu;
    plan.maybe(C, "cpu.shares", cpu.shares.filter(|&shares| shares != 0));
    plan.maybe(C, "cpu.cfs_period_us", cpu.period.filter(|&period| period != 0));
    plan.maybe(C, "cpu.cfs_quota_us", cpu.quota.filter(|&quota| quota != 0));
    plan.maybe(C, "cpu.cfs_burst_us", cpu.burst);
    plan.maybe(C, "cpu.rt_period_us", cpu.realtime_period.filter(|&period| period != 0));
    plan.maybe(C, "cpu.rt_runtime_us", cpu.realtime_runtime.filter(|&runtime| runtime != 0));
    plan.maybe(C, "cpu.idle", cpu.idle);
    cpuset(plan, cpu);
}

fn cpuset(plan: &mut Plan, cpu: &Cpu) {
    let given = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    plan.maybe(Controller::Cpuset, "cpuset.cpus", given(&cpu.cpus));
    plan.maybe(Controller::Cpuset, "cpuset.mems", given(&cpu.mems));
}

fn io_v1(plan: &mut Plan, io: &BlockIo) {
    const C: Controller = Controller::Blkio;
    // The weight belonged to the cfq scheduler until Linux 5.0 and to bfq since.
    if let Some(weight) = io.weight.filter(|&weight| weight != 0) {
        plan.set(C, "blkio.bfq.weight", weight);
        plan.or("blkio.weight", weight);
    }
    plan.maybe(C, "blkio.leaf_weight", io.leaf_weight.filter(|&weight| weight != 0));
    for device in &io.weight_device {
        if let Some(weight) = device.weight {
            let value = format!("{}:{} {weight}", device.major, device.minor);
            plan.set(C, "blkio.bfq.weight_device", &value);
            plan.or("blkio.weight_device", value);
        }
        if let Some(weight) = device.leaf_weight {
            let value = format!("{}:{} {weight}", device.major, device.minor);
            plan.set(C, "blkio.leaf_weight_device", value);
        }
    }
    let throttles = [
        ("blkio.throttle.read_bps_device", &io.throttle_read_bps_device),
        ("blkio.throttle.write_bps_device", &io.throttle_write_bps_device),
        ("blkio.throttle.read_iops_device", &io.throttle_read_iops_device),
        ("blkio.throttle.write_iops_device", &io.throttle_write_iops_device),
    ];
    for (file, devices) in throttles {
        for ThrottleDevice { major, minor, rate } in devices {
            plan.set(C, file, format!("{major}:{minor} {rate}"));
        }
    }
}

/// The settings on v2, without devices.
pub(super) fn v2(resources: &Resources) -> io::Result<Vec<Setting>> {
    let mut plan = Plan(Vec::new());
    if let Some(memory) = &resources.memory {
        memory_v2(&mut plan, memory)?;
    }
    if let Some(cpu) = &resources.cpu {
        cpu_v2(&mut plan, cpu)?;
    }
    if let Some(pids) = &resources.pids {
        plan.set(Controller::Pids, "pids.max", unlimited(pids.limit.max(0), 0));
    }
    if let Some(io) = &resources.block_io {
        io_v2(&mut plan, io);
    }
    for limit in &resources.hugepage_limits {
        let file = format!("hugetlb.{}.max", huge_page_size(&limit.page_size)?);
        plan.set(Controller::Hugetlb, file, limit.limit);
    }
    rdma(&mut plan, resources);
    if let Some(network) = &resources.network {
        if network.class_id.is_some_and(|class| class != 0) {
            return Err(Controller::NetCls.missing());
        }
        if !network.priorities.is_empty() {
            return Err(Controller::NetPrio.missing());
        }
    }
    for (file, value) in &resources.unified {
        let controller = unified_controller(file)?;
        plan.set(controller, file.clone(), value);
    }
    Ok(plan.0)
}

fn memory_v2(plan: &mut Plan, memory: &Memory) -> io::Result<()> {
    const C: Controller = Controller::Memory;
    if memory.disable_oom_killer == Some(true) {
        return Err(unsupported("the OOM killer cannot be switched off on cgroup v2"));
    }
    if memory.swappiness.is_some() {
        return Err(unsupported("memory swappiness cannot be set on cgroup v2"));
    }
    if let Some(swap) = swap_v2(memory)? {
        plan.set(C, "memory.swap.max", unlimited(swap, -1));
        // Without swap accounting there is no file; nothing to lift, and no swap to give.
        plan.optional_if(swap <= 0);
    }
    if let Some(limit) = memory.limit.filter(|&limit| limit != 0) {
        plan.set(C, "memory.max", unlimited(limit, -1));
    }
    if let Some(reservation) = memory.reservation.filter(|&reservation| reservation != 0) {
        plan.set(C, "memory.low", unlimited(reservation, -1));
    }
    Ok(())
}

/// v1 limits memory plus swap, v2 swap alone.
fn swap_v2(memory: &Memory) -> io::Result<Option<i64>> {
    let invalid = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text.to_owned()));
    match (memory.swap.unwrap_or(0), memory.limit.unwrap_or(0)) {
        // All memory, and nothing said about swap: all swap too, as on v1.
        (0, -1) => Ok(Some(-1)),
        (0, _) => Ok(None),
        (-1, _) => Ok(Some(-1)),
        (swap, -1) => Ok(Some(swap)),
        (_, 0) => invalid("unable to set swap limit without memory limit"),
        (_, limit) if limit < 0 => invalid("invalid memory limit"),
        (swap, limit) if swap < limit => invalid("memory+swap limit should be >= memory limit"),
        (swap, limit) => Ok(Some(swap - limit)),
    }
}

fn cpu_v2(plan: &mut Plan, cpu: &Cpu) -> io::Result<()> {
    const C: Controller = Controller::Cpu;
    let realtime = cpu.realtime_runtime.unwrap_or(0) != 0 || cpu.realtime_period.unwrap_or(0) != 0;
    if realtime {
        return Err(unsupported("real-time CPU time cannot be limited on cgroup v2"));
    }
    plan.maybe(C, "cpu.idle", cpu.idle);
    // An idle group has no weight; the kernel refuses one.
    if let Some(shares) = cpu.shares.filter(|&shares| shares != 0 && cpu.idle != Some(1)) {
        plan.set(C, "cpu.weight", weight_of_shares(shares));
    }
    let (quota, period) = (cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0));
    if quota != 0 || period != 0 {
        let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
        let period = if period == 0 { 100_000 } else { period };
        plan.set(C, "cpu.max", format!("{quota} {period}"));
    }
    plan.maybe(C, "cpu.max.burst", cpu.burst);
    cpuset(plan, cpu);
    Ok(())
}

/// `cpu.shares` (2 … 262144, default 1024) as `cpu.weight` (1 … 10000, default 100): the curve through all three
/// points that runc and crun agreed on; the older straight line made 39 of the default 1024.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "between 2 and 262144 going in, between 1 and 10000 coming out"
)]
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

fn io_v2(plan: &mut Plan, io: &BlockIo) {
    const C: Controller = Controller::Blkio;
    if let Some(weight) = io.weight.filter(|&weight| weight != 0) {
        plan.set(C, "io.bfq.weight", weight);
        plan.or("io.weight", 1 + (u32::from(weight.max(10)) - 10) * 9999 / 990);
    }
    for device in &io.weight_device {
        if let Some(weight) = device.weight {
            plan.set(C, "io.bfq.weight", format!("{}:{} {weight}", device.major, device.minor));
        }
    }
    let throttles = [
        ("rbps", &io.throttle_read_bps_device),
        ("wbps", &io.throttle_write_bps_device),
        ("riops", &io.throttle_read_iops_device),
        ("wiops", &io.throttle_write_iops_device),
    ];
    for (key, devices) in throttles {
        for ThrottleDevice { major, minor, rate } in devices {
            let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
            plan.set(C, "io.max", format!("{major}:{minor} {key}={rate}"));
        }
    }
}

/// The controller of a v2 file that was named directly. `cgroup.*` files are of no controller and not for limits.
fn unified_controller(file: &str) -> io::Result<Controller> {
    let prefix = file.split('.').next().unwrap_or_default();
    let known = [
        Controller::Cpu,
        Controller::Cpuset,
        Controller::Memory,
        Controller::Pids,
        Controller::Blkio,
        Controller::Hugetlb,
        Controller::Rdma,
    ];
    let found = known.into_iter().find(|controller| controller.v2_name() == Some(prefix));
    match found {
        Some(controller) if !file.contains('/') => Ok(controller),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("unified resource {file:?} must be a file of a cgroup v2 controller"),
        )),
    }
}

/// A size becomes part of a file name.
fn huge_page_size(size: &str) -> io::Result<&str> {
    let plain = !size.is_empty() && size.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then_some(size).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("invalid huge page size {size:?}"))
    })
}

/// `max` for the number that means it.
fn unlimited(value: i64, meaning_unlimited: i64) -> String {
    if value == meaning_unlimited { "max".to_owned() } else { value.to_string() }
}

fn unsupported(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `file=value` words; a `?` marks optional files.
    fn text(settings: io::Result<Vec<Setting>>) -> String {
        let word = |setting: Setting| {
            let or = setting.or.map(|(file, value)| format!("|{file}={value}")).unwrap_or_default();
            let mark = if setting.optional { "?" } else { "" };
            format!("{}{mark}={}{or}", setting.file, setting.value)
        };
        match settings {
            Ok(settings) => settings.into_iter().map(word).collect::<Vec<_>>().join("; "),
            Err(error) => format!("error: {error}"),
        }
    }

    fn resources(json: &str) -> Resources {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn resources_become_files_of_either_version() {
        let cases = [
            (r#"{}"#, "", ""),
            (
                r#"{"memory": {"limit": 268435456, "swap": 536870912, "reservation": 1000}}"#,
                "memory.limit_in_bytes=268435456; memory.memsw.limit_in_bytes=536870912; memory.soft_limit_in_bytes=1000",
                "memory.swap.max=268435456; memory.max=268435456; memory.low=1000",
            ),
            (
                r#"{"memory": {"limit": 1000, "swap": 1000}}"#,
                "memory.limit_in_bytes=1000; memory.memsw.limit_in_bytes=1000",
                "memory.swap.max?=0; memory.max=1000",
            ),
            (
                r#"{"memory": {"limit": 1000, "swap": -1}}"#,
                "memory.limit_in_bytes=1000; memory.memsw.limit_in_bytes?=-1",
                "memory.swap.max?=max; memory.max=1000",
            ),
            (
                r#"{"memory": {"limit": -1}}"#,
                "memory.limit_in_bytes=-1",
                "memory.swap.max?=max; memory.max=max",
            ),
            (
                r#"{"memory": {"limit": 1000, "swap": 999}}"#,
                "memory.limit_in_bytes=1000; memory.memsw.limit_in_bytes=999",
                "error: memory+swap limit should be >= memory limit",
            ),
            (
                r#"{"memory": {"disableOOMKiller": true}}"#,
                "memory.oom_control=1",
                "error: the OOM killer cannot be switched off on cgroup v2",
            ),
            (
                r#"{"memory": {"disableOOMKiller": false, "swappiness": 10}}"#,
                "memory.swappiness=10; memory.oom_control?=0",
                "error: memory swappiness cannot be set on cgroup v2",
            ),
            (
                r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000}}"#,
                "cpu.shares=512; cpu.cfs_period_us=100000; cpu.cfs_quota_us=50000; cpu.cfs_burst_us=1000",
                "cpu.weight=59; cpu.max=50000 100000; cpu.max.burst=1000",
            ),
            (r#"{"cpu": {"quota": -1}}"#, "cpu.cfs_quota_us=-1", "cpu.max=max 100000"),
            (r#"{"cpu": {"period": 20000}}"#, "cpu.cfs_period_us=20000", "cpu.max=max 20000"),
            (r#"{"cpu": {"shares": 2, "idle": 1}}"#, "cpu.shares=2; cpu.idle=1", "cpu.idle=1"),
            (r#"{"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""}}"#, "", ""),
            (
                r#"{"cpu": {"cpus": "0-1", "mems": "0"}}"#,
                "cpuset.cpus=0-1; cpuset.mems=0",
                "cpuset.cpus=0-1; cpuset.mems=0",
            ),
            (
                r#"{"cpu": {"realtimeRuntime": 1, "realtimePeriod": 2}}"#,
                "cpu.rt_period_us=2; cpu.rt_runtime_us=1",
                "error: real-time CPU time cannot be limited on cgroup v2",
            ),
            (r#"{"pids": {"limit": 7}}"#, "pids.max=7", "pids.max=7"),
            (r#"{"pids": {"limit": 0}}"#, "pids.max=max", "pids.max=max"),
            (r#"{"pids": {"limit": -1}}"#, "pids.max=max", "pids.max=max"),
            (
                r#"{"blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}"#,
                "blkio.bfq.weight=500|blkio.weight=500; blkio.bfq.weight_device=8:0 10|blkio.weight_device=8:0 10",
                "io.bfq.weight=500|io.weight=4950; io.bfq.weight=8:0 10",
            ),
            (
                r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]}}"#,
                "blkio.throttle.read_bps_device=8:0 1024; blkio.throttle.write_iops_device=8:16 0",
                "io.max=8:0 rbps=1024; io.max=8:16 wiops=max",
            ),
            (
                r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]}"#,
                "hugetlb.2MB.limit_in_bytes=9",
                "hugetlb.2MB.max=9",
            ),
            (
                r#"{"hugepageLimits": [{"pageSize": "../x", "limit": 9}]}"#,
                "error: invalid huge page size \"../x\"",
                "error: invalid huge page size \"../x\"",
            ),
            (
                r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "none": {}}}"#,
                "rdma.max=mlx5_1 hca_handle=3 hca_object=10000",
                "rdma.max=mlx5_1 hca_handle=3 hca_object=10000",
            ),
            (
                r#"{"network": {"classID": 5, "priorities": [{"name": "eth0", "priority": 3}]}}"#,
                "net_cls.classid=5; net_prio.ifpriomap=eth0 3",
                "error: cgroup controller \"net_cls\" is not available on this host",
            ),
            (
                r#"{"unified": {"memory.high": "5000"}}"#,
                "error: cgroup v2 settings (unified) cannot be set on a cgroup v1 host",
                "memory.high=5000",
            ),
            (
                r#"{"unified": {"cgroup.procs": "1"}}"#,
                "error: cgroup v2 settings (unified) cannot be set on a cgroup v1 host",
                "error: unified resource \"cgroup.procs\" must be a file of a cgroup v2 controller",
            ),
        ];
        for (json, on_v1, on_v2) in cases {
            assert_eq!(text(v1(&resources(json))), on_v1, "v1 {json}");
            assert_eq!(text(v2(&resources(json))), on_v2, "v2 {json}");
        }
    }

    #[test]
    fn shares_keep_their_ends_and_their_default() {
        let cases =
            [(2, 1), (1024, 100), (262_144, 10_000), (1, 1), (1 << 40, 10_000), (512, 59), (2048, 174)];
        for (shares, weight) in cases {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }
}
