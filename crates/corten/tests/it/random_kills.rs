//! SIGKILL to the daemon, and to shims, at random moments under a mixed load.
//!
//! `CORTEN_KILLS` says how often (20), `CORTEN_SEED` with which random numbers; `make soak` has it done 200 times.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::Host;
use testkit::wait::{PATIENCE, within};

use crate::ledger::{Expected, Ledger};

use Expected::{Created, Exited, Gone, Running};

/// Who works at the same time; each has containers of its own.
const WORKERS: usize = 4;
/// Containers of a worker.
const CONTAINERS: usize = 4;
/// Longest time between two kills.
const LONGEST: u64 = 500;
/// Kills between two looks at what is left.
const BETWEEN_CHECKS: u64 = 10;

/// What a worker does with a container: exit code, how the container may stand when that is cut off (or as before), and
/// how when it is acknowledged.
type Action = (&'static str, i32, &'static [Expected], &'static [Expected]);

/// Containers that run until they are stopped.
const LASTING: [Action; 2] = [
    ("create --name NAME busybox sleep 1000", 0, &[], &[Created]),
    ("run -d --name NAME busybox sleep 1000", 0, &[Created], &[Running]),
];
const BRIEF: [Action; 1] =
    [("run --name NAME busybox sh -c 'echo out; exit 5'", 5, &[Created, Running], &[Exited(5)])];
const FLEETING: [Action; 1] =
    [("run --rm --name NAME busybox sh -c 'echo out; exit 5'", 5, &[Created, Running, Exited(5)], &[Gone])];
/// What the containers of a worker are, one after the other.
const KINDS: [&[Action]; CONTAINERS] = [&LASTING, &LASTING, &BRIEF, &FLEETING];

const WHEN_CREATED: [Action; 2] =
    [("cp /etc/hostname NAME:/tmp/file", 0, &[], &[Created]), ("rm NAME", 0, &[], &[Gone])];
const START: [[Action; 1]; 3] = [
    [("start NAME", 0, &[], &[Running])],
    [("start NAME", 0, &[], &[Running, Exited(5)])],
    [("start NAME", 0, &[], &[Running, Exited(5), Gone])],
];
const WHEN_RUNNING: [Action; 8] = [
    ("exec NAME true", 0, &[], &[Running]),
    ("exec -d NAME sleep 999", 0, &[], &[Running]),
    ("logs NAME", 0, &[], &[Running]),
    ("cp NAME:/etc/passwd -", 0, &[], &[Running]),
    ("stop -t 0 NAME", 0, &[], &[Exited(137)]),
    ("kill NAME", 0, &[], &[Exited(137)]),
    ("restart -t 0 NAME", 0, &[Exited(137)], &[Running]),
    ("rm -f NAME", 0, &[Exited(137)], &[Gone]),
];
const REMOVE: [Action; 1] = [("rm -f NAME", 0, &[Exited(137)], &[Gone])];
const WHEN_EXITED: [Action; 3] =
    [("logs NAME", 0, &[], &[]), ("cp NAME:/etc/passwd -", 0, &[], &[]), ("rm NAME", 0, &[], &[Gone])];

/// What can be done with the worker's container number `kind`.
fn actions(kind: usize, state: Expected) -> Vec<Action> {
    let lasting = kind < 2;
    let start = START[kind.saturating_sub(1)];
    match state {
        Gone => KINDS[kind].to_vec(),
        Created => [&WHEN_CREATED[..], &start].concat(),
        Running | Expected::Paused if lasting => WHEN_RUNNING.to_vec(),
        // What else is asked of them may come too late.
        Running | Expected::Paused => REMOVE.to_vec(),
        Exited(_) if lasting => [&WHEN_EXITED[..], &start].concat(),
        Exited(_) => WHEN_EXITED.to_vec(),
    }
}

/// Numbers that look random and come again with the seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

struct Worker {
    names: Vec<String>,
    random: Random,
    ledger: Ledger,
}

impl Worker {
    fn new(number: usize, seed: u64) -> Self {
        let names: Vec<_> = (0..CONTAINERS).map(|n| format!("w{number}-{n}")).collect();
        let mut ledger = Ledger::default();
        ledger.shims_die();
        names[2..].iter().for_each(|name| ledger.ends_by_itself(name));
        Self {
            names,
            random: Random((seed ^ (number as u64 + 1)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            ledger,
        }
    }

    /// Works until something fails after `over` is set: the daemon has died.
    fn work(&mut self, host: &Host, over: &AtomicBool, shims_die: &AtomicBool) {
        loop {
            let kind = usize::try_from(self.random.below(CONTAINERS as u64)).unwrap();
            let name = self.names[kind].clone();
            let state = self.ledger.state(&name);
            let (line, code, on_the_way, states) = self.random.one_of(&actions(kind, state));
            let states = if states.is_empty() { vec![state] } else { states.to_vec() };
            let output = host.run(&format!("corten {}", line.replace("NAME", &name)));
            self.ledger.note(&name, format!("{line}: {} {}", output.code(), output.stderr().trim()));
            if output.code() == code {
                self.ledger.acknowledged(&name, &states);
                continue;
            }
            self.ledger.interrupted(&name, &[on_the_way, &states].concat());
            if within(Duration::from_secs(2), || over.load(Ordering::SeqCst)) {
                return;
            }
            assert!(
                shims_die.load(Ordering::SeqCst),
                "nothing was killed, but `{line}` of {name} ({state:?}) failed with {}: {}{}",
                output.code(),
                output.stdout(),
                output.stderr()
            );
            // How it stands is asked when there is time for it.
            self.ledger.settle(host, &name);
        }
    }
}

/// Kills the shim of one of the containers that run, if any.
fn kill_a_shim(host: &Host, random: &mut Random) {
    let ids = host.run("corten ps -q --no-trunc").stdout();
    let ids: Vec<_> = ids.lines().collect();
    if ids.is_empty() {
        return;
    }
    let wanted = random.one_of(&ids);
    let running =
        host.run(&format!("corten inspect -f '{{{{.Name}}}} {{{{.State.Pid}}}}' {wanted}")).stdout();
    let Some((name, pid)) = running.trim().split_once(' ') else { return };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or("0");
    let parent: i32 = parent.trim().parse().unwrap();
    let comm = std::fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if name != "/bystander" && comm.trim() == "corten-shim" {
        let _ = kill_process(Pid::from_raw(parent).unwrap(), Signal::KILL);
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_and_leave_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let kills = number("CORTEN_KILLS").unwrap_or(20);
    let seed = number("CORTEN_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_millis()).unwrap()
    });
    // Past the capture of output: the seed is wanted when the test fails in any way.
    let _ = writeln!(std::io::stderr(), "random kills: {kills}, CORTEN_SEED={seed}");
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut host = Host::with_busybox();
    let mut bystanders = Ledger::with_bystanders(&host);
    let mut workers: Vec<_> = (0..WORKERS).map(|number| Worker::new(number, seed)).collect();
    for kill in 1..=kills {
        let (over, shims_die) = (AtomicBool::new(false), AtomicBool::new(kill % 4 == 0));
        std::thread::scope(|scope| {
            for worker in &mut workers {
                let (host, over, shims_die) = (&host, &over, &shims_die);
                scope.spawn(move || worker.work(host, over, shims_die));
            }
            std::thread::sleep(Duration::from_millis(random.below(LONGEST)));
            if shims_die.load(Ordering::SeqCst) {
                kill_a_shim(&host, &mut random);
                std::thread::sleep(Duration::from_millis(random.below(LONGEST / 2)));
            }
            // By the number, for the host belongs to the workers.
            let daemon = i32::try_from(host.daemon_pid()).unwrap();
            over.store(true, Ordering::SeqCst);
            kill_process(Pid::from_raw(daemon).unwrap(), Signal::KILL).unwrap();
        });
        host.kill_daemon();
        host.start_daemon();
        bystanders.check(&host);
        for worker in &mut workers {
            worker.ledger.check(&host);
        }
        if kill % BETWEEN_CHECKS == 0 || kill == kills {
            bystanders.everything_works(&host);
            host.check_leaks();
            bystanders = Ledger::with_bystanders(&host);
            workers.iter_mut().for_each(|worker| worker.ledger.forget());
        }
    }
    assert!(within(PATIENCE, || host.daemon_is_running()));
}
