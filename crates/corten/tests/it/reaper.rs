//! `--init`: a first process that reaps, hands signals on, and ends as the program ends.

use rustix::process::Signal;
use testkit::Host;

/// Starts a process whose parent ends at once, waits until it has ended too, and prints how many are not reaped.
const ORPHAN: &str =
    "(sleep 0.01 &) ; while ps -o args | grep -q ^sleep; do :; done; ps -o stat | grep -c ^Z";

#[test]
pub(crate) fn an_init_process_reaps_and_hands_signals_on() {
    let host = Host::with_busybox();
    host.run("corten run --rm --init busybox sh -c 'exit 7'").exits(7);
    host.run("corten run --rm --init busybox sh -c 'kill -9 $$'").exits(137);
    host.run(&format!("corten run --rm --network none --init busybox sh -c '{ORPHAN}'"))
        .stdout_has("0")
        .exits(1);
    host.run("corten run --rm --init busybox nope")
        .exits(127)
        .stderr_has("executable file not found in $PATH");
    host.run("echo typed | corten run --rm -i --init busybox cat").prints("typed");

    let script = "trap \"echo got it; exit 3\" USR1; echo ready; while :; do sleep 0.05; done";
    let mut job = host.spawn(&format!("corten run --rm --init busybox sh -c '{script}'"));
    job.expect("ready\n");
    job.signal(Signal::USR1);
    job.expect("got it\n");
    assert_eq!(job.exit_code(), 3);

    // Without a first process of its own the program would be spared, as pid 1.
    host.run("corten run -d --name job --init busybox sleep 1000").exits(0);
    host.run("corten exec job ps -o args")
        .stdout_has("/sbin/docker-init -- sleep 1000")
        .stdout_has("sleep 1000");
    host.run("corten stop -t 60 job").exits(0);
    assert_eq!(host.inspect("job", "{{.State.ExitCode}} {{.Path}} {{.HostConfig.Init}}"), "143 sleep true");
    host.run("corten rm job").exits(0);
}

#[test]
fn an_init_process_leaves_the_terminal_to_the_program() {
    let host = Host::with_busybox();
    let mut job = host.terminal("corten run --rm -it --init busybox sh -c 'read x; echo got $x; sleep 1000'");
    job.write("line\n");
    job.expect("got line");
    // Ctrl-C goes to the foreground process group alone.
    job.write("\x03");
    assert_eq!(job.exit_code(), 130);
}

#[test]
fn an_init_process_runs_as_the_containers_user_with_its_rights() {
    let host = Host::with_busybox();
    let status = "grep -E \"Uid|CapEff|NoNewPrivs|Seccomp:\" /proc/1/status | tr -s \"\\t\" \" \"";
    host.run(&format!(
        "corten run --rm --network none --init -u 1000 --cap-drop ALL --security-opt no-new-privileges busybox sh -c '{status}'"
    ))
    .prints("Uid: 1000 1000 1000 1000\nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2");
    // Nobody gets at the host's program through it.
    host.run("corten run --rm --network none --init busybox sh -c 'echo x >>/proc/1/exe'").exits(1);
    // In the host's pid namespace orphans do not come to it.
    host.run("corten run --rm --init --pid host busybox grep -c docker-init /proc/self/status").exits(1);
}

#[test]
fn the_daemon_can_give_every_container_an_init_process_and_limits() {
    let mut host = Host::with_flags("--init --default-ulimit nofile=100:200 --default-ulimit core=0");
    host.import_busybox();
    let first = "cut -d \"\" -f 1 /proc/1/comm";
    host.run(&format!(
        "corten run --rm --network none busybox sh -c '{first}; ulimit -n; ulimit -Hn; ulimit -c'"
    ))
    .prints("docker-init\n100\n200\n0");
    host.run(&format!("corten run --rm --network none --init=false --ulimit nofile=50 busybox sh -c '{first}; ulimit -n; ulimit -c'"))
        .prints("sh\n50\n0");
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    host.run("corten exec job sh -c 'ulimit -n'").prints("100");
    host.run("corten rm -f job").exits(0);
}
