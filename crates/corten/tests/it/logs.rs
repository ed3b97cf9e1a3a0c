//! Logs: what a container said, whole, in order, and whoever does not listen.

use std::fmt::Write as _;
use std::fs;

use rustix::process::Signal;
use testkit::Host;

fn numbers(last: u32) -> String {
    (1..=last).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{number}");
        text
    })
}

#[test]
fn a_follower_misses_nothing_over_many_rotations() {
    let host = Host::with_busybox();
    // No file is given up, so that a follower on a slow machine can have them all.
    host.run(
        "corten run -d --name job --log-opt max-size=2k --log-opt max-file=200 busybox \
         sh -c 'for i in $(seq 3000); do echo $i; case $i in *00) sleep 0.05;; esac; done'",
    )
    .exits(0);
    assert_eq!(host.run("corten logs -f job").exits(0).stdout(), numbers(3000));
    assert_eq!(host.run("corten logs job").exits(0).stdout(), numbers(3000));
    host.run("corten logs --tail 300 job | head -n 1").prints("2701");
    host.run("ls $(corten inspect -f '{{.LogPath}}' job).* | wc -l").prints("[N]");
}

#[test]
fn many_lines_long_lines_and_bytes_that_are_no_text_are_kept() {
    let host = Host::with_busybox();
    host.run("corten run --name many busybox seq 100000 >/dev/null").exits(0);
    assert_eq!(host.run("corten logs many").exits(0).stdout(), numbers(100_000));
    host.run("corten run --name long busybox sh -c 'head -c 1000000 /dev/zero | tr \"\\0\" x; echo' | wc -c")
        .prints("1000001");
    let long = host.run("corten logs long").exits(0);
    assert_eq!(long.stdout_bytes().len(), 1_000_001);
    assert!(long.stdout().trim_end().bytes().all(|byte| byte == b'x'));
    // Attached as it is; in the log what JSON can say of it.
    let attached = host.run("corten run --name bytes busybox printf 'a\\377\\0\\001z\\n'").exits(0);
    assert_eq!(attached.stdout_bytes(), b"a\xff\0\x01z\n");
    assert_eq!(host.run("corten logs bytes").exits(0).stdout(), "a\u{fffd}\0\u{1}z\n");
}

#[test]
fn details_are_the_options_labels_variables_and_tag() {
    let host = Host::with_busybox();
    host.run(
        "corten run --name job --label a=1 --label app.x=2 --label c=3 -e E=y=z -e F=1 --log-opt labels=a \
         --log-opt labels-regex=^app --log-opt env=E --log-opt tag='{{.Name}}/{{.ImageName}}' busybox echo hi",
    )
    .exits(0);
    host.run("corten logs --details job").prints("E=y%3Dz,a=1,app.x=2,tag=job%2Fbusybox hi");
    host.run("corten logs -t --details job").prints("[TIME] E=y%3Dz,a=1,app.x=2,tag=job%2Fbusybox hi");
}

#[test]
fn driver_local_is_read_like_any_other() {
    let host = Host::with_busybox();
    host.run(
        "corten run --name job --log-driver local --log-opt max-size=1m busybox sh -c 'echo o; echo e >&2'",
    )
    .exits(0);
    host.run("corten logs job").stdout_has("o").stderr_has("e").exits(0);
    host.run("corten inspect -f '{{.HostConfig.LogConfig.Type}} [{{.LogPath}}]' job").prints("local []");
    host.run("corten create --log-driver local --log-opt labels=a busybox")
        .fails_with("unknown log opt 'labels' for log driver local");
    host.run("corten create --log-opt mode=non-blocking busybox")
        .exits(0)
        .stderr_has("WARNING: log option mode=");
    host.run("corten create --log-opt mode=x busybox").fails_with("logger: logging mode not supported: x");
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn clients_that_do_not_read_hold_nobody_up() {
    let host = Host::with_busybox();
    host.run(
        "corten run -d --name job busybox sh -c 'echo ready; until test -f /go; do sleep 0.1; done; seq 3000000'",
    )
    .exits(0);
    let mut clients: Vec<_> = ["corten attach --no-stdin job", "corten logs -f job"]
        .iter()
        .flat_map(|line| [host.spawn(line), host.spawn(line)])
        .collect();
    clients[2].expect("ready");
    clients[3].expect("ready");
    host.until("both are attached", || {
        let attached = host.run("corten events --since 0 --until $(date +%s.%N) --filter event=attach");
        attached.exits(0).stdout().lines().count() == 2
    });
    let before = resident(host.daemon_pid());
    clients.iter_mut().for_each(|client| client.signal(Signal::STOP));
    host.run("corten exec job touch /go").exits(0);
    host.until("the container has said all and ended", || {
        host.inspect("job", "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"
    });
    let grown = resident(host.daemon_pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "the daemon has grown by {grown} bytes for clients that do not read");
    host.run("corten logs --tail 1 job").prints("3000000");
    clients.iter_mut().for_each(|client| client.signal(Signal::CONT));
    drop(clients);
    host.run("corten rm job").exits(0);
}
