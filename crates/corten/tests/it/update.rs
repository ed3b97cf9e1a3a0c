//! `update`: limits of a running container, read back from the kernel, and what is kept of them.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::Host;

/// A limit as the container's own cgroup has it: name of the v1 controller and file, name of the v2 file.
fn limit(host: &Host, v1: &str, v2: &str) -> String {
    let script = format!("cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}");
    host.run(&format!("corten exec job sh -c '{script}'")).line()
}

const MEMORY: (&str, &str) = ("memory/memory.limit_in_bytes", "memory.max");
const PIDS: (&str, &str) = ("pids/pids.max", "pids.max");

#[test]
fn limits_change_at_once_and_are_kept() {
    let mut host = Host::with_busybox();
    host.run("corten run -d --name job --memory 64m busybox sleep 1000").exits(0);
    let update =
        "corten update --memory 128m --memory-swap 256m --cpus 0.5 --pids-limit 77 --restart on-failure:3";
    host.run(&format!("{update} job")).prints("job");
    assert_eq!(limit(&host, MEMORY.0, MEMORY.1), "134217728");
    assert_eq!(limit(&host, PIDS.0, PIDS.1), "77");

    host.restart_daemon();
    let kept = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} \
                {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(host.inspect("job", kept), "134217728 268435456 500000000 77 on-failure:3");
    host.run("corten stop -t 0 job").exits(0);
    host.run("corten update --memory 32m job").prints("job");
    host.run("corten start job").exits(0);
    assert_eq!(limit(&host, MEMORY.0, MEMORY.1), "33554432");
    host.run("corten update --pids-limit -1 job").prints("job");
    assert_eq!(limit(&host, PIDS.0, PIDS.1), "max");
}

/// The directory of the container's process on the host, in the hierarchy of a v1 controller or the only one.
fn directory_on_host(host: &Host, controller: &str) -> PathBuf {
    let lines =
        fs::read_to_string(format!("/proc/{}/cgroup", host.inspect("job", "{{.State.Pid}}"))).unwrap();
    let fields: Vec<Vec<_>> = lines.lines().map(|line| line.splitn(3, ':').collect()).collect();
    let of = |wanted: &str| fields.iter().find(|line| line[1].split(',').any(|name| name == wanted));
    let (mount, line) = match of(controller) {
        Some(line) => (controller, line),
        None => ("", of("").expect("the v2 hierarchy")),
    };
    Path::new("/sys/fs/cgroup").join(mount).join(line[2].trim_start_matches('/'))
}

#[test]
fn a_first_limit_of_a_controller_holds_for_the_running_container() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    let id = host.inspect("job", "{{.Id}}");
    host.run("corten update -m 64m --memory-swap -1 --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 77 job")
        .prints("job");
    for (controller, v1, wanted, v2, wanted_v2) in [
        ("memory", "memory.limit_in_bytes", "67108864", "memory.max", "67108864"),
        ("cpu", "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000"),
        ("cpu", "cpu.shares", "512", "cpu.weight", ""),
        ("cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0"),
        ("pids", "pids.max", "77", "pids.max", "77"),
    ] {
        let directory = directory_on_host(&host, controller);
        assert!(directory.to_string_lossy().contains(&id), "{controller}: still in {directory:?}");
        let (file, wanted) = if directory.join(v1).exists() { (v1, wanted) } else { (v2, wanted_v2) };
        let text = fs::read_to_string(directory.join(file)).unwrap();
        if wanted.is_empty() {
            assert_ne!(text.trim(), "100", "the default weight");
        } else {
            assert_eq!(text.trim(), wanted, "{:?}", directory.join(file));
        }
    }
}

#[test]
fn what_cannot_be_is_refused_and_leaves_everything_as_it_was() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job --cpus 1 --memory 64m --memory-swap 64m busybox sleep 1000").exits(0);
    for (flags, why) in [
        ("", "you must provide one or more flags when using this command"),
        ("--memory 1m", "Minimum memory limit allowed is 6MB"),
        (
            "--memory 128m",
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ),
        (
            "--cpu-period 50000",
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        ),
        ("--restart foo", "invalid restart policy: unknown policy 'foo'"),
        ("--restart on-failure:x", "invalid restart policy format: maximum retry count must be an integer"),
        ("--cpuset-cpus 999", "Requested CPUs are not available - requested 999"),
    ] {
        host.run(&format!("corten update {flags} job")).exits(1).stderr_has(why);
    }
    assert_eq!(host.inspect("job", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}"), "67108864 1000000000");
    host.run("corten update --cpu-shares 100 job nope job")
        .exits(1)
        .stdout_has("job\njob")
        .stderr_has("No such container: nope");
}

#[test]
fn a_limit_below_what_is_in_use_is_refused_by_the_kernel_and_not_kept() {
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        // cgroup v2 grants every limit, and kills until it is kept.
        return;
    }
    let host = Host::with_busybox();
    // Swap is limited too, so that what is in use cannot be moved away.
    host.run("corten run -d --name job --memory 256m --memory-swap 256m --tmpfs /t busybox sh -c 'head -c 60000000 /dev/zero > /t/x; echo full; exec sleep 1000'").exits(0);
    host.until("memory is in use", || host.run("corten logs job").stdout() == "full\n");
    host.run("corten update --memory 16m --memory-swap 256m job")
        .exits(1)
        .stderr_has("Cannot update container ");
    assert_eq!(host.inspect("job", "{{.HostConfig.Memory}}"), "268435456");
    assert_eq!(limit(&host, MEMORY.0, MEMORY.1), "268435456");
}
