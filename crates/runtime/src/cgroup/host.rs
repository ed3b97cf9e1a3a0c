//! Which cgroup hierarchies this machine has, and what they can do.

use std::io;
use std::sync::{Arc, OnceLock};

use super::files::Directory;

/// A kernel controller, by its v1 name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Pids,
    Devices,
    Freezer,
    Blkio,
    Hugetlb,
    NetCls,
    NetPrio,
    Rdma,
}

impl Controller {
    const ALL: [Self; 12] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Pids,
        Self::Devices,
        Self::Freezer,
        Self::Blkio,
        Self::Hugetlb,
        Self::NetCls,
        Self::NetPrio,
        Self::Rdma,
    ];

    /// Name on v1, and to users.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::Blkio => "blkio",
            Self::Hugetlb => "hugetlb",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
            Self::Rdma => "rdma",
        }
    }

    /// Name in `cgroup.controllers`; none for those that v2 does not have.
    pub(super) fn v2_name(self) -> Option<&'static str> {
        match self {
            Self::Blkio => Some("io"),
            Self::Cpu | Self::Cpuset | Self::Memory | Self::Pids | Self::Hugetlb | Self::Rdma => {
                Some(self.name())
            }
            Self::Cpuacct | Self::Devices | Self::Freezer | Self::NetCls | Self::NetPrio => None,
        }
    }

    /// A limit was asked for that only this controller could hold.
    pub(super) fn missing(self) -> io::Error {
        let text = format!("cgroup controller {:?} is not available on this host", self.name());
        io::Error::new(io::ErrorKind::Unsupported, text)
    }
}

/// One mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) mount: String,
    pub(super) controllers: Vec<Controller>,
}

/// How cgroups are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// v1 or hybrid: what counts are the v1 hierarchies.
    V1(Vec<Hierarchy>),
    /// v2 alone, at this mount point.
    V2(String),
    /// None at all.
    Nothing,
}

/// This machine's cgroup hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub(super) layout: Layout,
}

impl Host {
    /// Those of this machine; looked at once per process.
    pub fn current() -> Arc<Self> {
        static HOST: OnceLock<Arc<Host>> = OnceLock::new();
        Arc::clone(HOST.get_or_init(|| Arc::new(Self::detect())))
    }

    /// A pure v2 host says so at once; any other has its hierarchies in the mount table.
    fn detect() -> Self {
        const ROOT: &str = "/sys/fs/cgroup";
        const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
        let magic = rustix::fs::statfs(ROOT).map(|stat| u64::try_from(stat.f_type).unwrap_or(0));
        if magic == Ok(CGROUP2_SUPER_MAGIC) {
            return Self::v2(ROOT);
        }
        Self::from_mountinfo(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    /// A v2 host whose hierarchy is at `mount`.
    pub fn v2(mount: &str) -> Self {
        Self { layout: Layout::V2(mount.to_owned()) }
    }

    /// From the text of `/proc/PID/mountinfo`, see proc_pid_mountinfo(5).
    pub fn from_mountinfo(text: &str) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut unified = None;
        for line in text.lines().filter(|line| line.contains(" - cgroup")) {
            let Some((mount, rest)) = line.split_once(" - ") else { continue };
            let Some(point) = mount.split(' ').nth(4) else { continue };
            let mut rest = rest.split(' ');
            match (rest.next(), rest.nth(1)) {
                (Some("cgroup2"), _) => {
                    unified.get_or_insert_with(|| unescape(point));
                }
                (Some("cgroup"), Some(options)) => {
                    let named =
                        |controller: &Controller| options.split(',').any(|word| word == controller.name());
                    let controllers: Vec<_> = Controller::ALL.into_iter().filter(named).collect();
                    // A hierarchy may be mounted twice; the first mount will do.
                    if !controllers.is_empty()
                        && hierarchies.iter().all(|known| known.controllers != controllers)
                    {
                        hierarchies.push(Hierarchy { mount: unescape(point), controllers });
                    }
                }
                _ => {}
            }
        }
        let layout = match (hierarchies.is_empty(), unified) {
            (false, _) => Layout::V1(hierarchies),
            (true, Some(mount)) => Layout::V2(mount),
            (true, None) => Layout::Nothing,
        };
        Self { layout }
    }

    /// 1 (also for hybrid hosts) or 2; 0 without any.
    pub fn version(&self) -> u8 {
        match self.layout {
            Layout::V1(_) => 1,
            Layout::V2(_) => 2,
            Layout::Nothing => 0,
        }
    }

    /// The v1 hierarchy of a controller.
    pub(super) fn hierarchy(&self, controller: Controller) -> Option<&Hierarchy> {
        match &self.layout {
            Layout::V1(hierarchies) => {
                hierarchies.iter().find(|known| known.controllers.contains(&controller))
            }
            Layout::V2(_) | Layout::Nothing => None,
        }
    }

    /// Which limits can be set here.
    pub fn support(&self) -> Support {
        match &self.layout {
            Layout::V1(_) => self.support_v1(),
            Layout::V2(mount) => support_v2(mount),
            Layout::Nothing => Support::default(),
        }
    }

    fn support_v1(&self) -> Support {
        let open = |controller| {
            let mount = self.hierarchy(controller)?.mount.clone();
            Directory::open(mount).ok().flatten()
        };
        let (memory, cpu, cpuset, blkio) = (
            open(Controller::Memory),
            open(Controller::Cpu),
            open(Controller::Cpuset),
            open(Controller::Blkio),
        );
        let has =
            |directory: &Option<Directory>, file| directory.as_ref().is_some_and(|found| found.has(file));
        // Files of the bfq scheduler are not in the root cgroup, but its statistics are.
        let weight = has(&blkio, "blkio.weight") || has(&blkio, "blkio.bfq.io_service_bytes");
        let read = |file| cpuset.as_ref().and_then(|found| found.read(file).ok()).unwrap_or_default();
        Support {
            memory: has(&memory, "memory.limit_in_bytes"),
            memory_reservation: has(&memory, "memory.soft_limit_in_bytes"),
            swap: has(&memory, "memory.memsw.limit_in_bytes"),
            swappiness: has(&memory, "memory.swappiness"),
            oom_kill_disable: has(&memory, "memory.oom_control"),
            cpu_shares: has(&cpu, "cpu.shares"),
            cpu_quota: has(&cpu, "cpu.cfs_quota_us"),
            cpu_realtime: has(&cpu, "cpu.rt_runtime_us"),
            cpuset: cpuset.is_some(),
            cpus: read("cpuset.effective_cpus").trim().to_owned(),
            memory_nodes: read("cpuset.effective_mems").trim().to_owned(),
            pids: self.hierarchy(Controller::Pids).is_some(),
            io_weight: weight,
            io_throttle: has(&blkio, "blkio.throttle.read_bps_device"),
            devices: self.hierarchy(Controller::Devices).is_some(),
            freezer: self.hierarchy(Controller::Freezer).is_some(),
            huge_pages: self.hierarchy(Controller::Hugetlb).is_some(),
        }
    }
}

fn support_v2(mount: &str) -> Support {
    let Ok(Some(root)) = Directory::open(mount.to_owned()) else { return Support::default() };
    let controllers = root.read("cgroup.controllers").unwrap_or_default();
    let has = |name: &str| controllers.split_whitespace().any(|known| known == name);
    let read = |file| root.read(file).unwrap_or_default().trim().to_owned();
    Support {
        memory: has("memory"),
        memory_reservation: has("memory"),
        swap: has("memory") && swap_accounting(mount),
        swappiness: false,
        oom_kill_disable: false,
        cpu_shares: has("cpu"),
        cpu_quota: has("cpu"),
        cpu_realtime: false,
        cpuset: has("cpuset"),
        cpus: read("cpuset.cpus.effective"),
        memory_nodes: read("cpuset.mems.effective"),
        pids: has("pids"),
        io_weight: has("io"),
        io_throttle: has("io"),
        devices: true,
        freezer: true,
        huge_pages: has("hugetlb"),
    }
}

/// The root cgroup has no limits, so our own is asked; in the root itself we trust the kernel's default.
fn swap_accounting(mount: &str) -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match own.lines().find_map(|line| line.strip_prefix("0::")) {
        None | Some("/") => true,
        Some(path) => std::path::Path::new(&format!("{mount}{path}/memory.swap.max")).exists(),
    }
}

/// Which limits the kernel and the mounts of this host can hold. A limit that is missing here and asked for all the
/// same is an error of [`super::Cgroup::create`]; whoever sets defaults looks here first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Support {
    /// Memory limit.
    pub memory: bool,
    /// Soft memory limit.
    pub memory_reservation: bool,
    /// Limit of memory plus swap.
    pub swap: bool,
    /// Swappiness (v1).
    pub swappiness: bool,
    /// Switching the OOM killer off (v1).
    pub oom_kill_disable: bool,
    /// Relative CPU weight.
    pub cpu_shares: bool,
    /// CPU quota and period.
    pub cpu_quota: bool,
    /// Real-time CPU time (v1, and only some kernels).
    pub cpu_realtime: bool,
    /// CPU and memory node sets.
    pub cpuset: bool,
    /// CPUs that can be asked for, `0-3,6`; empty when not known.
    pub cpus: String,
    /// Memory nodes that can be asked for.
    pub memory_nodes: String,
    /// Task limit.
    pub pids: bool,
    /// Block I/O weight.
    pub io_weight: bool,
    /// Block I/O throttling.
    pub io_throttle: bool,
    /// Device rules.
    pub devices: bool,
    /// Pause.
    pub freezer: bool,
    /// Huge page limits.
    pub huge_pages: bool,
}

/// Spaces, tabs, newlines and backslashes are octal in mountinfo.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        match rest.get(at + 1..at + 4).and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                text.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_tables_say_which_hierarchies_there_are() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             33 31 0:30 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
             34 31 0:31 / /sys/fs/cgroup/net\\040cls rw - cgroup cgroup rw,net_cls\n\
             35 31 0:30 / /mnt/blkio rw - cgroup cgroup rw,blkio\n\
             36 31 0:32 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
             37 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let host = Host::from_mountinfo(hybrid);
        let hierarchy = |mount: &str, controllers: &[Controller]| Hierarchy {
            mount: mount.into(),
            controllers: controllers.to_vec(),
        };
        let expected = vec![
            hierarchy("/sys/fs/cgroup/cpu,cpuacct", &[Controller::Cpu, Controller::Cpuacct]),
            hierarchy("/sys/fs/cgroup/blkio", &[Controller::Blkio]),
            hierarchy("/sys/fs/cgroup/net cls", &[Controller::NetCls]),
        ];
        assert_eq!(host.layout, Layout::V1(expected));
        assert_eq!(host.version(), 1);
        let unified = "37 31 0:33 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Host::from_mountinfo(unified), Host::v2("/sys/fs/cgroup"));
        assert_eq!(Host::from_mountinfo("").version(), 0);
    }
}
