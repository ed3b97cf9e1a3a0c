//! What people are told when something goes wrong.

use testkit::Host;

/// Uses memory until it is killed.
const EATER: &str = "busybox sh -c 'tail /dev/zero'";

#[test]
fn an_oom_kill_is_named_with_the_containers_limit_everywhere() {
    let host = Host::with_busybox();
    let reason = "killed by the kernel: the container's memory limit of 16 MiB was reached (raise it with --memory); \
                  the most that it used was [N] [..]";
    host.run(&format!("corten run --name job -m 16m --memory-swap 16m {EATER}"))
        .exits(137)
        .stderr_has(reason);
    host.run("corten ps -a --format '{{.Status}}'")
        .prints("Exited (137) [AGO] (out of memory: limit 16 MiB)");
    host.run("corten inspect -f '{{.State.OOMKilled}} {{.State.Error}}' job")
        .prints(&format!("true {reason}"));
    let format = "{{.Actor.Attributes.memoryLimitOf}} {{.Actor.Attributes.memoryLimit}} {{.Actor.Attributes.memoryPeak}}";
    host.run(&format!(
        "corten events --since 0 --until $(date +%s.%N) --filter event=oom --format '{format}'"
    ))
    .prints("container 16777216 [N]");
    // The next run begins without it.
    host.run("corten update -m 64m --memory-swap 64m job").exits(0);
    host.run("corten create --name other busybox true").exits(0);
    host.run("corten start -a other").exits(0);
    host.run("corten ps -a --filter name=other --format '{{.Status}}'").prints("Exited (0) [AGO]");
}

#[test]
fn a_limit_above_the_container_is_told_from_its_own() {
    let host = Host::with_busybox();
    // A cgroup of the test's own, on v1 or v2, with a limit and without swap.
    let make = "p=${CORTEN_TEST_ROOT##*/}/team; if test -d /sys/fs/cgroup/memory; \
                then d=/sys/fs/cgroup/memory/$p; mkdir -p $d; echo 24M >$d/memory.limit_in_bytes; \
                echo 24M 2>/dev/null >$d/memory.memsw.limit_in_bytes; \
                else d=/sys/fs/cgroup/$p; mkdir -p $d; echo +memory >/sys/fs/cgroup/cgroup.subtree_control; \
                echo +memory >${d%/*}/cgroup.subtree_control; echo 24M >$d/memory.max; echo 0 >$d/memory.swap.max; fi; echo /$p";
    let parent = host.run(make).line();
    let told = format!(
        "killed by the kernel: the memory limit of 24 MiB of the cgroup {parent} above the container \
         (--cgroup-parent) was reached, which all in that cgroup share; the most that it used was [N] [..]"
    );
    host.run(&format!("corten run --name job --cgroup-parent {parent} -m 64m {EATER}"))
        .exits(137)
        .stderr_has(&told);
    host.run("corten ps -a --format '{{.Status}}'")
        .prints(&format!("Exited (137) [AGO] (out of memory: limit 24 MiB of {parent})"));
    host.run("corten rm job").exits(0);
    let top = parent.split('/').nth(1).unwrap();
    host.run(&format!("find /sys/fs/cgroup -depth -type d -path '*/{top}*' -exec rmdir {{}} +")).exits(0);
}

#[test]
fn an_oom_kill_while_no_daemon_runs_is_told_by_the_next() {
    let mut host = Host::with_busybox();
    host.run("corten run -d --name job -m 16m --memory-swap 16m busybox sh -c 'sleep 1; tail /dev/zero'")
        .exits(0);
    let pid = host.pid_of("job");
    host.kill_daemon();
    host.until("it is over", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    host.start_daemon();
    host.run("corten ps -a --format '{{.Status}}'")
        .prints("Exited (137) [AGO] (out of memory: limit 16 MiB)");
}

#[test]
fn a_name_that_nearly_matches_is_suggested() {
    let host = Host::with_busybox();
    host.run("corten create --name webserver busybox").exits(0);
    for (line, told) in [
        ("corten start webservr", "No such container: webservr (did you mean \"webserver\"?)"),
        ("corten inspect wbeserver", "No such object: wbeserver (did you mean \"webserver\"?)"),
        ("corten tag busybx x", "No such image: busybx:latest (did you mean \"busybox:latest\"?)"),
        (
            "corten run --rm busybx true",
            "Unable to find image 'busybx:latest' locally (did you mean \"busybox:latest\"?)",
        ),
        ("corten strat webserver", "corten: unknown command: corten strat (did you mean \"start\"?)"),
        ("corten image sl", "corten: unknown command: corten image sl\n"),
        (
            "corten container insepct x",
            "unknown command: corten container insepct (did you mean \"inspect\"?)",
        ),
        ("corten ps --fliter x", "unknown flag: --fliter (did you mean \"--filter\"?)"),
        ("corten start nothing-like-it", "No such container: nothing-like-it\n"),
    ] {
        host.run(line).fails_with(told);
    }
}

#[test]
fn the_clock_cannot_be_set_from_a_container() {
    let host = Host::with_busybox();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let before = now();
    host.run("corten run --rm busybox date -s '2001-02-03 04:05:06'").stderr_has("Operation not permitted");
    host.run("corten run --rm busybox hwclock -w").fails_with("hwclock: ");
    // One that runs backwards, or has leapt by years, was set.
    let passed = now().checked_sub(before).expect("the clock has not gone back");
    assert!(passed.as_secs() < 3600, "{passed:?}");
}
