//! What this host can do, found out once when the engine opens.

use crate::capabilities::Available;
use crate::error::{EngineError, Result};

/// Facts that decisions depend on.
#[derive(Debug, Clone)]
pub struct Host {
    /// Number of processors that containers can use.
    pub cpus: u32,
    /// List of processors that are online, `0-3`.
    pub online_cpus: String,
    /// List of memory nodes that are online.
    pub online_mems: String,
    /// Ceiling of the number of open files that a container can be given.
    pub max_files: u64,
    /// Capabilities that can be given away.
    pub capabilities: Available,
    /// One cgroup hierarchy.
    pub cgroup_v2: bool,
    /// I/O weights work.
    pub io_weight: bool,
    /// Memory plus swap can be limited.
    pub swap_limit: bool,
    /// Kernel release, `6.18.0`.
    pub kernel: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Bytes of memory.
    pub memory: u64,
}

impl Host {
    /// Asks the kernel.
    pub fn probe() -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let capabilities = Available::of_this_process()
            .map_err(|error| EngineError::system("cannot read this process's capabilities", error))?;
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let online_cpus = read("/sys/devices/system/cpu/online");
        let cgroup_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let (io_weight, swap_limit) = if cgroup_v2 {
            let controllers = read("/sys/fs/cgroup/cgroup.controllers");
            (controllers.split(' ').any(|name| name == "io"), true)
        } else {
            (
                std::path::Path::new("/sys/fs/cgroup/blkio/blkio.weight").exists(),
                std::path::Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists(),
            )
        };
        let memory = read("/proc/meminfo")
            .lines()
            .find_map(|line| {
                line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
            })
            .map_or(0, |kibibytes| kibibytes * 1024);
        Ok(Self {
            cpus: count_list(&online_cpus).max(1),
            online_cpus,
            online_mems: read("/sys/devices/system/node/online"),
            max_files: limits.maximum.unwrap_or(u64::MAX),
            capabilities,
            cgroup_v2,
            io_weight,
            swap_limit,
            kernel: read("/proc/sys/kernel/osrelease"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            memory,
        })
    }
}

/// Members of a kernel list such as `0-2,7`; none when it is no list.
pub fn parse_list(list: &str) -> Option<Vec<u32>> {
    let mut members = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last - first > 8192 {
            return None;
        }
        members.extend(first..=last);
    }
    Some(members)
}

fn count_list(list: &str) -> u32 {
    parse_list(list).map_or(0, |members| u32::try_from(members.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::parse_list;

    #[test]
    fn kernel_lists_are_read() {
        assert_eq!(parse_list("0-2,7"), Some(vec![0, 1, 2, 7]));
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("2-0"), None);
        assert_eq!(parse_list("x"), None);
    }
}
