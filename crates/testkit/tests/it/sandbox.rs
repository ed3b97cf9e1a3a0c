//! What a sandbox gives, and that the leak oracle sees every kind of thing that can be left behind.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::Sandbox;
use testkit::leaks::{Kind, Leaks, Scope, Snapshot};

fn scope(sandbox: &Sandbox) -> Scope<'_> {
    Scope { root: sandbox.root(), holder: sandbox.holder_pid(), daemon: None }
}

/// What the oracle says after the command line has run.
fn left_by(sandbox: &Sandbox, line: &str) -> Leaks {
    let before = Snapshot::take(&scope(sandbox));
    sandbox.run(line).exits(0);
    before.settle(&scope(sandbox), Duration::from_millis(200)).expect_err("the oracle sees nothing")
}

/// Name of a sandbox's root directory, which no other test has.
fn name_of(sandbox: &Sandbox) -> String {
    sandbox.root().file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_sandbox_has_a_network_with_loopback_and_mounts_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.run("cat /sys/class/net/lo/operstate; ls /run").prints("unknown\n");
    sandbox.run("mount -t tmpfs none /mnt && grep -c ' /mnt ' /proc/mounts").prints("1");
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(" /mnt tmpfs"));
    sandbox
        .run("pwd; echo $HOME; echo $DOCKER_HOST")
        .prints(&format!("{0}/work\n{0}/home\nunix://{0}/corten.sock", sandbox.root().display()));
}

#[test]
fn a_command_that_leaves_nothing_leaves_nothing() {
    let sandbox = Sandbox::new();
    let before = Snapshot::take(&scope(&sandbox));
    sandbox
        .run("mount -t tmpfs none /mnt; umount /mnt; ip link add d0 type veth peer name d1; ip link del d0")
        .exits(0);
    if let Err(leaks) = before.settle(&scope(&sandbox), Duration::from_secs(5)) {
        panic!("{leaks}");
    }
}

#[test]
fn every_kind_of_leak_is_seen_and_named() {
    let sandbox = Sandbox::new();
    let name = name_of(&sandbox);
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let hierarchy =
        fields.find(|fields| fields[2].starts_with("cgroup")).expect("a cgroup hierarchy is mounted")[1];
    let table = [
        (Kind::Mount, "mount -t tmpfs left /mnt".to_owned(), "/mnt (root /, tmpfs left)"),
        (Kind::Link, "ip link add left0 type veth peer name left1".to_owned(), "left0"),
        (Kind::File, "touch ../left".to_owned(), "left"),
        (Kind::File, "touch /run/left".to_owned(), "/run/left"),
        (Kind::Process, "sleep 987 >/dev/null 2>&1 & true".to_owned(), "sleep 987"),
        (Kind::Cgroup, format!("mkdir -p {hierarchy}/{name}/left"), "/left"),
        (Kind::Namespace, "ip netns add left".to_owned(), "/run/netns/left"),
    ];
    for (kind, line, named) in table {
        let leaks = left_by(&sandbox, &line);
        assert!(leaks.of(kind).iter().any(|leak| leak.contains(named)), "{kind:?} after `{line}`:\n{leaks}");
    }
}

#[test]
fn what_one_sandbox_leaves_is_not_blamed_on_another() {
    let (guilty, innocent) = (Sandbox::new(), Sandbox::new());
    let before = Snapshot::take(&scope(&innocent));
    assert!(
        !left_by(&guilty, "sleep 987 >/dev/null 2>&1 & mount -t tmpfs left /mnt; touch /run/left")
            .of(Kind::Process)
            .is_empty()
    );
    if let Err(leaks) = before.settle(&scope(&innocent), Duration::from_secs(5)) {
        panic!("{leaks}");
    }
}

#[test]
fn a_dropped_sandbox_takes_processes_cgroups_and_files_with_it() {
    let sandbox = Sandbox::new();
    let (root, name) = (sandbox.root().to_owned(), name_of(&sandbox));
    // Out of the namespaces, in a session of its own, without the mark: only the cgroup tells.
    let line = format!(
        "for h in /sys/fs/cgroup /sys/fs/cgroup/*; do test -e $h/cgroup.procs && g=$h; done; mkdir $g/{name}; \
         env -i setsid nsenter -t 1 -m -n sleep 986 >/dev/null 2>&1 & echo $! >$g/{name}/cgroup.procs; echo $g"
    );
    let hierarchy = sandbox.run(&line).line();
    drop(sandbox);
    assert!(!root.exists());
    assert!(!Path::new(&hierarchy).join(&name).exists());
    let found = Command::new("pgrep").args(["-f", "sleep 986"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_terminal_session_is_a_real_terminal() {
    let host = testkit::Host::without_daemon();
    let mut shell = host.terminal("sh");
    shell.write("tty; stty size\n");
    shell.expect("/dev/pts/");
    shell.expect("24 80");
    shell.resize(40, 100);
    shell.write("stty size; echo $((6*7))-done\n");
    shell.expect("40 100");
    shell.expect("42-done");
    shell.write("sleep 100\n");
    host.until("sleep runs", || host.run("pgrep -f '^sleep 100$'").code() == 0);
    shell.write("\x03exit 9\n");
    assert_eq!(shell.exit_code(), 9);
}

#[test]
fn a_session_with_pipes_keeps_its_streams_apart() {
    let host = testkit::Host::without_daemon();
    let mut cat = host.spawn("sh -c 'echo ready; echo oops >&2; cat; exit 3'");
    cat.expect("ready\n");
    cat.expect_stderr("oops\n");
    cat.write("hello\n");
    assert_eq!(cat.expect("hello\n"), "hello\n");
    assert!(cat.is_running());
    cat.close_stdin();
    assert_eq!(cat.exit_code(), 3);
    assert_eq!(cat.stderr(), "oops\n");
}

#[test]
#[should_panic(expected = "holds its output open")]
fn a_command_whose_child_keeps_the_output_open_fails_the_test() {
    let sandbox = Sandbox::new();
    let _ = sandbox.run_with("sleep 60 & true", b"", Duration::from_millis(300));
}

#[test]
#[should_panic(expected = "was still running")]
fn a_command_that_does_not_end_fails_the_test() {
    let sandbox = Sandbox::new();
    let _ = sandbox.run_with("echo out; exec sleep 60", b"", Duration::from_millis(300));
}
