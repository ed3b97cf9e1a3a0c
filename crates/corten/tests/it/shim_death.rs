//! The shim, the one process that a container depends on: killed, and stopped.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::Host;

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_killed_shim_is_reported_for_what_it_is_and_takes_its_container_with_it() {
    let host = Host::with_busybox();
    let mut attached = host.spawn("corten run --name job busybox sh -c 'echo up; sleep 1000 & sleep 1001'");
    attached.expect("up\n");
    let (shim, pid) = (host.shim_of("job"), host.pid_of("job"));

    signal(shim, Signal::KILL);
    host.until("the container is over", || host.inspect("job", "{{.State.Status}}") == "exited");
    assert_eq!(host.inspect("job", "{{.State.ExitCode}}"), "137");
    assert!(host.inspect("job", "{{.State.Error}}").contains("its supervisor was killed"));
    assert_eq!(attached.exit_code(), 137);
    assert!(!fs::exists(format!("/proc/{pid}/root/bin")).unwrap(), "the container's process is still there");
    host.run("corten start job").exits(0);
    assert_eq!(host.inspect("job", "{{.State.Status}}"), "running");
}

#[test]
fn a_shim_killed_while_no_daemon_runs_is_found_by_the_next_one() {
    let mut host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    let (shim, pid) = (host.shim_of("job"), host.pid_of("job"));
    host.kill_daemon();
    signal(shim, Signal::KILL);
    host.start_daemon();
    host.until("the container is over", || host.inspect("job", "{{.State.Status}}") == "exited");
    assert_eq!(host.inspect("job", "{{.State.ExitCode}}"), "137");
    assert!(!fs::exists(format!("/proc/{pid}/root/bin")).unwrap());
}

#[test]
fn a_stopped_shim_blocks_nobody_for_more_than_two_seconds() {
    let host = Host::with_busybox();
    host.run("corten run -d --name stuck busybox sleep 1000").exits(0);
    host.run("corten run -d --name other busybox sleep 1000").exits(0);
    let shim = host.shim_of("stuck");
    signal(shim, Signal::STOP);
    for line in
        ["ps -a", "inspect stuck", "exec stuck true", "kill other", "kill stuck", "logs stuck", "rm -f stuck"]
    {
        let begun = Instant::now();
        let output = host.run(&format!("corten {line}"));
        let took = begun.elapsed();
        // A process start and a busy machine on top of the two seconds.
        assert!(
            took < Duration::from_millis(2700) * testkit::wait::slowness(),
            "`corten {line}` took {took:?}: {}",
            output.stderr()
        );
        if line.starts_with("ps") || line.starts_with("rm") {
            output.exits(0);
        }
    }
    host.run("corten ps -a --format '{{.Names}}'").prints("other");
}
