//! Death at every point that the programs list, between any two things that they do. Whatever was acknowledged is
//! there afterwards, what runs goes on, everything can be removed and nothing is left.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::Host;
use testkit::wait::{PATIENCE, within};

use crate::ledger::{Expected, Ledger};

/// Hosts that work at the same time: one waits for a daemon while another has containers started.
const HOSTS: usize = 3;

/// A command of the session, its exit code, the container that it is about, how that may stand when the command is
/// cut off (or as it stood before), and how when it is acknowledged.
type Step = (&'static str, i32, &'static str, &'static [Expected], &'static [Expected]);

use Expected::{Created, Exited, Gone, Paused, Running};

/// Passes every point of the engine and of the shim at least once.
const SESSION: [Step; 24] = [
    ("create --name three busybox sh -c 'exit 3'", 0, "three", &[], &[Created]),
    ("cp /etc/hostname three:/tmp/file", 0, "three", &[], &[Created]),
    ("start three", 0, "three", &[], &[Running, Exited(3)]),
    ("wait three", 0, "three", &[], &[Exited(3)]),
    ("start -a three", 3, "three", &[Running], &[Exited(3)]),
    ("run -d --name job busybox sleep 1000", 0, "job", &[Created], &[Running]),
    ("exec job true", 0, "job", &[], &[Running]),
    ("exec -d job sleep 999", 0, "job", &[], &[Running]),
    ("cp /etc/hostname job:/tmp/file", 0, "job", &[], &[Running]),
    ("cp job:/etc/passwd -", 0, "job", &[], &[Running]),
    ("update -m 64m --memory-swap -1 job", 0, "job", &[], &[Running]),
    ("pause job", 0, "job", &[], &[Paused]),
    ("unpause job", 0, "job", &[], &[Running]),
    ("rename job work", 0, "job", &[], &[Running]),
    ("rename work job", 0, "job", &[], &[Running]),
    ("restart -t 0 job", 0, "job", &[Exited(137)], &[Running]),
    ("stop -t 0 job", 0, "job", &[], &[Exited(137)]),
    ("start job", 0, "job", &[], &[Running]),
    ("kill job", 0, "job", &[], &[Exited(137)]),
    ("rm job", 0, "job", &[], &[Gone]),
    ("run --rm --name brief busybox sh -c 'exit 4'", 4, "brief", &[Created, Running, Exited(4)], &[Gone]),
    ("run -d --name forced busybox sleep 1000", 0, "forced", &[Created], &[Running]),
    ("rm -f forced", 0, "forced", &[Exited(137)], &[Gone]),
    ("rm three", 0, "three", &[], &[Gone]),
];

/// The points that a program lists.
fn points(program: &str) -> Vec<(String, bool)> {
    let host = Host::without_daemon();
    let list = host.run(&format!("{program} --list-failpoints")).exits(0).stdout();
    let points: Vec<_> = list
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, actions)| (name.to_owned(), actions.contains("error")))
        .collect();
    assert!(points.len() > 5, "{program} lists hardly any points: {list}");
    points
}

/// What a daemon writes to its log of a shim that did not end by itself.
const KILLED: &str = "a shim was killed";

fn log_of(host: &Host) -> String {
    std::fs::read_to_string(host.root().join("daemon.log")).unwrap()
}

/// Runs `test` for every point, on several hosts.
#[track_caller]
fn for_each(names: &[String], test: impl Fn(&mut Host, &str) + Sync) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        let mut host = Host::with_busybox();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&mut host, name)));
            if outcome.is_err() {
                failed.lock().unwrap().push(name.clone());
                // What the failure has left is not the next point's.
                std::mem::replace(&mut host, Host::with_busybox()).abandon();
            }
        }
    };
    std::thread::scope(|scope| (0..HOSTS).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed at {}", failed.join(", "));
}

/// Runs the session until the daemon is gone.
#[track_caller]
fn run_until_dead(host: &mut Host, ledger: &mut Ledger) {
    for (line, code, about, on_the_way, states) in SESSION {
        let output = host.run(&format!("corten {line}"));
        if output.code() == code {
            ledger.acknowledged(about, states);
        } else {
            ledger.interrupted(about, &[on_the_way, states].concat());
            // Its clients hear of a death before its parent does.
            let dead = within(PATIENCE, || !host.daemon_is_running());
            assert!(dead, "the daemon lives, but `{line}` failed: {}", output.stderr());
        }
        if !host.daemon_is_running() {
            return;
        }
    }
}

/// Runs the session to its end, whatever fails on the way: all that was said about failures.
#[track_caller]
fn run_to_the_end(host: &mut Host, ledger: &mut Ledger) -> String {
    let mut errors = String::new();
    for (line, code, about, on_the_way, states) in SESSION {
        let output = host.run(&format!("corten {line}"));
        if output.code() == code {
            ledger.acknowledged(about, states);
        } else {
            ledger.interrupted(about, &[on_the_way, states].concat());
            errors += &output.stderr();
        }
        assert!(host.daemon_is_running(), "the daemon ended with `{line}`");
    }
    errors
}

#[test]
fn the_daemon_may_be_killed_at_every_point() {
    let names: Vec<String> = points("corten daemon").into_iter().map(|(name, _)| name).collect();
    for_each(&names, |host, name| {
        let mut ledger = Ledger::with_bystanders(host);
        host.kill_daemon();
        if host.start_daemon_armed(&format!("{name}:kill")) {
            run_until_dead(host, &mut ledger);
        }
        assert!(!host.daemon_is_running(), "nobody came to this point");
        host.kill_daemon();
        host.start_daemon();
        ledger.check(host);
        ledger.everything_works(host);
        host.check_leaks();
    });
}

#[test]
fn every_shim_may_be_killed_at_every_point() {
    let names: Vec<String> = points("corten-shim").into_iter().map(|(name, _)| name).collect();
    for_each(&names, |host, name| {
        let mut ledger = Ledger::default();
        ledger.shims_die();
        host.kill_daemon();
        assert!(host.start_daemon_armed(&format!("{name}:kill")));
        let before = log_of(host).matches(KILLED).count();
        run_to_the_end(host, &mut ledger);
        assert!(log_of(host).matches(KILLED).count() > before, "nobody came to this point");
        ledger.check(host);
        // The same daemon clears away what a dead shim leaves.
        host.check_leaks();
        host.kill_daemon();
        host.start_daemon();
        ledger.everything_works(host);
    });
}

#[test]
fn a_failure_at_every_point_is_told_and_leaves_nothing() {
    let programs = [points("corten daemon"), points("corten-shim")].concat();
    let names: Vec<String> =
        programs.into_iter().filter(|(_, may_fail)| *may_fail).map(|(name, _)| name).collect();
    for_each(&names, |host, name| {
        // The third start is that of a container that would run on.
        let times = if name.starts_with("start.") { vec![1, 3] } else { vec![1] };
        for time in times {
            let mut ledger = Ledger::with_bystanders(host);
            host.kill_daemon();
            assert!(host.start_daemon_armed(&format!("{name}:error@{time}")));
            let said = run_to_the_end(host, &mut ledger) + &log_of(host);
            assert!(said.contains(&format!("failpoint {name} is armed")), "nobody was told of it: {said}");
            ledger.check(host);
            if name != "remove.run-dir" {
                // What has no row goes when the next daemon starts; everything else at once.
                host.check_leaks();
            }
            host.kill_daemon();
            host.start_daemon();
            ledger.everything_works(host);
            host.check_leaks();
        }
    });
}
