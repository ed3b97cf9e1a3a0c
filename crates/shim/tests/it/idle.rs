//! What a shim costs while nothing happens.

use std::time::Duration;

use crate::rig::{Client, OUTPUT, Rig, until};

/// The value of a line like `Private_Dirty:  72 kB` or `voluntary_ctxt_switches:  4`.
fn value(pid: i32, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_idle_shim_is_small_and_sleeps() {
    let mut rig = Rig::new("seq 1 100000; echo ready; cat").with_stdin(false).start();
    rig.until_logged("ready\n");
    rig.exec("e", "true", OUTPUT).read_to_end();
    let pid = rig.shim_pid();
    let size = |name| value(pid, "smaps_rollup", name);
    let heap = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
        let (_, rest) = text.split_once("[heap]").unwrap();
        let line = rest.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // Buffers of the burst are given back a second after it.
    until("large buffers to be freed", || heap() < 64);
    #[expect(clippy::print_stdout, reason = "a figure for whoever runs the test with --nocapture")]
    {
        let (rss, pss, own) = (size("Rss:"), size("Pss:"), size("Anonymous:"));
        println!("idle shim: {rss} kB RSS, {pss} kB PSS, {own} kB of its own");
    }
    let switches = || value(pid, "status", "voluntary_ctxt_switches");
    let mut before = switches();
    until("a second without a context switch", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = switches();
        std::mem::replace(&mut before, now) == now
    });
}

#[test]
fn a_client_that_leaves_its_hang_up_unread_does_not_keep_the_shim_busy() {
    // Half-closed and hung-up clients are states in which epoll reports for ever what nobody can act on.
    let mut rig = Rig::new("until [ -e /tmp/go ]; do sleep 0.01; done").with_stdin(true).start();
    let mut stuck = rig.attach(crate::rig::RAW);
    stuck.stream.set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut stuck.stream, &[b'x'; 4096]).is_ok() {
        std::thread::sleep(Duration::from_micros(200));
    }
    drop(stuck);
    let half: Client = {
        let mut client = rig.attach(OUTPUT);
        client.end_input();
        client
    };
    let pid = rig.shim_pid();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let mut before = ticks();
    until("a second without work", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = ticks();
        std::mem::replace(&mut before, now) == now
    });
    assert!(half.is_silent());
    std::fs::File::create(rig.directory.join("root/tmp/go")).unwrap();
    assert_eq!(rig.exit().code, 0);
}

#[test]
fn a_whole_life_is_short() {
    let mut phases: [Vec<Duration>; 4] = Default::default();
    for _ in 0..20 {
        let rig = Rig::new("true");
        let mut start = std::time::Instant::now();
        let mut lap = |phase: usize| {
            phases[phase].push(start.elapsed());
            start = std::time::Instant::now();
        };
        let mut rig = rig.spawn();
        lap(0);
        rig.try_create();
        lap(1);
        rig.run();
        lap(2);
        assert_eq!(rig.exit().code, 0);
        lap(3);
    }
    #[expect(clippy::print_stdout, reason = "figures for whoever runs the test with --nocapture")]
    for (phase, times) in ["hello", "create", "start", "exit"].iter().zip(&mut phases) {
        times.sort();
        println!("{phase}: {:?} fastest, {:?} median", times[0], times[10]);
    }
}
