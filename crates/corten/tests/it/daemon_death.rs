//! The daemon dies by SIGKILL at the worst moments. No container and nobody attached may notice.

use std::fs;

use testkit::Host;

const TICKING: &str = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.02; done";

/// Number of lines, all of which must be `tick N` without a gap.
#[track_caller]
fn ticks(text: &str) -> usize {
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (at, line) in whole.lines().enumerate() {
        assert_eq!(line, format!("tick {}", at + 1), "a gap");
    }
    whole.lines().count()
}

#[test]
fn attached_clients_and_logs_go_on_without_a_daemon() {
    let mut host = Host::with_busybox();
    let mut attached = host.spawn(&format!("corten run --name job busybox sh -c '{TICKING}'"));
    attached.expect("tick 5\n");
    let mut exec = host.spawn(&format!("corten exec job sh -c '{TICKING}'"));
    exec.expect("tick 5\n");

    host.kill_daemon();
    let (seen, executed) = (ticks(&attached.stdout()), ticks(&exec.stdout()));
    attached.expect(&format!("tick {}\n", seen + 20));
    exec.expect(&format!("tick {}\n", executed + 20));

    host.start_daemon();
    assert_eq!(host.inspect("job", "{{.State.Status}}"), "running");
    attached.expect(&format!("tick {}\n", seen + 40));
    assert!(ticks(&host.run("corten logs job").stdout()) >= seen + 40);
    host.run("corten kill job").exits(0);
    assert_eq!(attached.exit_code(), 137);
    assert_eq!(exec.exit_code(), 137);
    let printed = attached.stdout();
    ticks(&printed);
    host.run("corten logs job").prints(&printed);
}

#[test]
fn a_new_daemon_takes_over_what_runs() {
    let mut host = Host::with_busybox();
    let mut shell = host.terminal("corten run -it --name term busybox sh");
    shell.expect("# ");
    let mut cat = host.spawn("corten run -i --name pipe busybox cat");
    cat.write("before\n");
    cat.expect("before\n");
    let (pid, started) = (host.pid_of("term"), host.inspect("term", "{{.State.StartedAt}}"));

    host.kill_daemon();
    cat.write("without\n");
    cat.expect("without\n");
    host.start_daemon();

    assert_eq!(host.pid_of("term"), pid);
    assert_eq!(host.inspect("term", "{{.State.StartedAt}}"), started);
    cat.write("after\n");
    cat.expect("after\n");
    shell.resize(33, 99);
    host.until("the old terminal has the new size", || {
        shell.write("stty size\n");
        shell.stdout().contains("33 99")
    });
    host.run("corten exec term echo new exec").prints("new exec");
    let mut logs = host.spawn("corten logs -f pipe");
    logs.expect("after\n");
    cat.write("followed\n");
    logs.expect("followed\n");
    cat.close_stdin();
    assert_eq!((cat.exit_code(), logs.exit_code()), (0, 0));
    host.run("corten stop -t 0 term").exits(0);
    assert_eq!(shell.exit_code(), 137);
}

#[test]
fn exits_while_no_daemon_runs_are_known_to_the_next_one() {
    let mut host = Host::with_busybox();
    let wait = "while test ! -e /tmp/go; do sleep 0.02; done";
    host.run(&format!("corten run -d --name seven busybox sh -c '{wait}; echo late; exit 7'")).exits(0);
    host.run("corten run -d --name killed busybox sleep 1000").exits(0);
    host.run(&format!("corten run -d --rm --name fleeting busybox sh -c '{wait}'")).exits(0);
    let pids = ["seven", "killed", "fleeting"].map(|name| host.pid_of(name));

    host.kill_daemon();
    for pid in [pids[0], pids[2]] {
        fs::File::create(format!("/proc/{pid}/root/tmp/go")).unwrap();
    }
    host.run(&format!("kill -9 {}", pids[1])).exits(0);
    host.until("all have ended", || {
        pids.iter().all(|pid| !fs::exists(format!("/proc/{pid}/root/bin")).unwrap())
    });

    host.start_daemon();
    assert_eq!(host.inspect("seven", "{{.State.Status}} {{.State.ExitCode}}"), "exited 7");
    assert_eq!(host.inspect("killed", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    host.run("corten logs seven").prints("late");
    host.until("a container with --rm is removed", || host.run("corten inspect fleeting").code() == 1);
}

#[test]
fn a_daemon_killed_over_and_over_while_containers_come_and_go_loses_nothing() {
    let mut host = Host::with_busybox();
    for round in 0..5 {
        let mut runs: Vec<_> = (0..4)
            .map(|n| host.spawn(&format!("corten run --name r{round}-{n} busybox sh -c 'echo hi; exit {n}'")))
            .collect();
        // Somewhere in the middle of it: the first one that gets anywhere, or nobody does.
        host.until("one container was acknowledged", || {
            host.run("corten ps -aq").stdout().lines().count() > round
        });
        host.kill_daemon();
        host.start_daemon();
        for run in &mut runs {
            run.exit_code();
        }
        // Whatever stands in the list can be inspected and removed.
        for name in host.run("corten ps -a --format '{{.Names}}'").exits(0).stdout().lines() {
            host.inspect(name, "{{.State.Status}}");
        }
    }
    host.run("corten rm -f $(corten ps -aq)").exits(0);
    host.run("corten ps -aq").prints("");
}
