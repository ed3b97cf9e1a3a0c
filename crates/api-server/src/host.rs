//! Facts about the machine, read afresh each time: they are asked for rarely and some of them change.

use std::fs;
use std::path::Path;

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) kernel: String,
    pub(crate) machine: String,
    pub(crate) name: String,
    /// `PRETTY_NAME` of os-release.
    pub(crate) system: String,
    /// `VERSION_ID` of os-release.
    pub(crate) system_version: String,
    /// Bytes.
    pub(crate) memory: u64,
    /// CPUs that are online.
    pub(crate) cpus: usize,
}

/// What the cgroup hierarchies can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cgroups {
    pub(crate) unified: bool,
    pub(crate) memory: bool,
    pub(crate) swap: bool,
    pub(crate) oom_kill_disable: bool,
    pub(crate) kernel_memory_tcp: bool,
    pub(crate) cpu_quota: bool,
    pub(crate) cpu_shares: bool,
    pub(crate) cpuset: bool,
    pub(crate) pids: bool,
}

impl Host {
    /// Reads everything.
    pub(crate) fn read() -> Self {
        let uname = rustix::system::uname();
        let os_release = read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).unwrap_or_default();
        Self {
            kernel: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            name: uname.nodename().to_string_lossy().into_owned(),
            system: os_release_value(&os_release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
            system_version: os_release_value(&os_release, "VERSION_ID").unwrap_or_default(),
            memory: read("/proc/meminfo").and_then(|text| memory_total(&text)).unwrap_or(0),
            cpus: read("/sys/devices/system/cpu/online").map_or(1, |text| count_list(&text)),
        }
    }
}

impl Cgroups {
    /// Reads which controllers are mounted, and looks for the files that stand for their features.
    pub(crate) fn read() -> Self {
        let mounts = read("/proc/self/mountinfo").unwrap_or_default();
        let v1 = |controller: &str| v1_mount_point(&mounts, controller);
        if !mounts.lines().any(|line| filesystem(line).is_some_and(|(kind, _)| kind == "cgroup")) {
            return Self::read_unified();
        }
        let has = |controller: &str, file: &str| {
            v1(controller).is_some_and(|at| Path::new(&at).join(file).exists())
        };
        Self {
            unified: false,
            memory: has("memory", "memory.limit_in_bytes"),
            swap: has("memory", "memory.memsw.limit_in_bytes"),
            oom_kill_disable: has("memory", "memory.oom_control"),
            kernel_memory_tcp: has("memory", "memory.kmem.tcp.limit_in_bytes"),
            // The root of the hierarchy has no quota file when its kernel has no bandwidth control.
            cpu_quota: has("cpu", "cpu.cfs_quota_us"),
            cpu_shares: has("cpu", "cpu.shares"),
            cpuset: v1("cpuset").is_some(),
            pids: v1("pids").is_some(),
        }
    }

    fn read_unified() -> Self {
        let controllers = read("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        let has = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
        Self {
            unified: true,
            memory: has("memory"),
            swap: has("memory") && Path::new("/proc/swaps").exists(),
            oom_kill_disable: false,
            kernel_memory_tcp: false,
            cpu_quota: has("cpu"),
            cpu_shares: has("cpu"),
            cpuset: has("cpuset"),
            pids: has("pids"),
        }
    }
}

/// The name `info` has for the file system below a path.
pub(crate) fn backing_filesystem(path: &Path) -> String {
    let magic = rustix::fs::statfs(path).map_or(0, |stat| stat.f_type);
    match magic {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlayfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        _ => return format!("0x{magic:x}"),
    }
    .to_owned()
}

/// Whether a sysctl is on.
pub(crate) fn sysctl_is_on(path: &str) -> bool {
    read(path).is_some_and(|text| text.trim() == "1")
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn os_release_value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

fn memory_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// Members of a list such as `0-3,8`.
fn count_list(text: &str) -> usize {
    let count = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        Some(last.saturating_sub(first) + 1)
    };
    text.trim().split(',').filter_map(count).sum::<usize>().max(1)
}

/// File system type and super-block options of a line of mountinfo.
fn filesystem(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_once(" - ")?.1.split(' ');
    let kind = words.next()?;
    Some((kind, words.nth(1).unwrap_or_default()))
}

fn v1_mount_point(mounts: &str, controller: &str) -> Option<String> {
    let line = mounts.lines().find(|line| {
        filesystem(line).is_some_and(|(kind, options)| {
            kind == "cgroup" && options.split(',').any(|option| option == controller)
        })
    })?;
    line.split(' ').nth(4).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        for (text, count) in [("0\n", 1), ("0-1\n", 2), ("0-3,8,10-11", 7), ("", 1)] {
            assert_eq!(count_list(text), count, "{text}");
        }
    }

    #[test]
    fn os_release_values_lose_their_quotes() {
        let text = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID='12'\n";
        assert_eq!(os_release_value(text, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(os_release_value(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_release_value(text, "VERSION"), None);
    }

    #[test]
    fn a_v1_controller_is_found_by_its_options() {
        let mounts = "35 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
                      36 25 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(v1_mount_point(mounts, "cpu").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(v1_mount_point(mounts, "cpuset"), None);
    }

    #[test]
    fn this_machine_has_memory_and_a_kernel() {
        let host = Host::read();
        assert!(host.memory > 0 && host.cpus > 0 && !host.kernel.is_empty() && !host.machine.is_empty());
    }
}
