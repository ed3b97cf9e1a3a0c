//! What was acknowledged, and whether it is so: the invariants that hold whatever dies.

use std::collections::{BTreeMap, BTreeSet};

use testkit::Host;
use testkit::wait::{PATIENCE, within};

/// How a container may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It does not exist.
    Gone,
    /// It has never run, or could not be started.
    Created,
    Running,
    Paused,
    Exited(i32),
}

impl Expected {
    fn is_end(self) -> bool {
        matches!(self, Self::Exited(_) | Self::Gone)
    }
}

/// The states that each container may be in.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    containers: BTreeMap<String, Vec<Expected>>,
    /// What was done with each, for a failed test.
    history: BTreeMap<String, Vec<String>>,
    /// Those that end by themselves.
    brief: BTreeSet<String>,
    /// A shim may have died, and its container with it.
    shims_die: bool,
    /// Pid of the container that nothing may disturb.
    bystander: Option<u32>,
}

/// A container that runs all the time.
const BYSTANDER: &str = "bystander";

/// One that ended before anything went wrong, with a code of its own and a line in its log.
const ENDED: &str = "ended";

impl Ledger {
    /// Makes two containers that nothing may disturb.
    #[track_caller]
    pub(crate) fn with_bystanders(host: &Host) -> Self {
        host.run(&format!("corten run -d --name {BYSTANDER} busybox sleep 1000")).exits(0);
        host.run(&format!("corten run --name {ENDED} busybox sh -c 'echo said; exit 7'")).exits(7);
        Self { bystander: Some(host.pid_of(BYSTANDER)), ..Self::default() }
    }

    /// From now on shims may die, too.
    pub(crate) fn shims_die(&mut self) {
        self.shims_die = true;
    }

    /// A command was acknowledged that leaves the container in one of these states.
    pub(crate) fn acknowledged(&mut self, container: &str, states: &[Expected]) {
        let mut now = states.to_vec();
        // It may have ended by itself before it was stopped, or may still do so.
        let before = self.containers.get(container).map_or(&[][..], Vec::as_slice);
        let unsure = self.brief.contains(container)
            && before.contains(&Expected::Running)
            && !matches!(now[..], [Expected::Gone]);
        now.splice(0..0, before.iter().copied().filter(|state| unsure && state.is_end()));
        self.containers.insert(container.to_owned(), now);
    }

    /// The container ends by itself whenever it is started.
    pub(crate) fn ends_by_itself(&mut self, container: &str) {
        self.brief.insert(container.to_owned());
    }

    /// Remembers what was done with a container.
    pub(crate) fn note(&mut self, container: &str, what: String) {
        self.history.entry(container.to_owned()).or_default().push(what);
    }

    /// Nobody knows how far it came.
    pub(crate) fn interrupted(&mut self, container: &str, states: &[Expected]) {
        let known = self.containers.entry(container.to_owned()).or_insert_with(|| vec![Expected::Gone]);
        known.extend(states);
    }

    /// How a container stands, or may stand at worst.
    pub(crate) fn state(&self, container: &str) -> Expected {
        self.containers.get(container).and_then(|states| states.last().copied()).unwrap_or(Expected::Gone)
    }

    /// Everything was removed.
    pub(crate) fn forget(&mut self) {
        self.containers.clear();
        self.history.clear();
    }

    /// Everything is as it was acknowledged; from here on it is as it was found.
    #[track_caller]
    pub(crate) fn check(&mut self, host: &Host) {
        if let Some(pid) = self.bystander {
            assert_eq!(host.pid_of(BYSTANDER), pid, "a running container was disturbed");
            assert_eq!(host.inspect(ENDED, "{{.State.Status}} {{.State.ExitCode}}"), "exited 7");
            host.run(&format!("corten logs {ENDED}")).prints("said");
            host.run(&format!("corten exec {BYSTANDER} true")).exits(0);
        }
        for name in self.containers.keys().cloned().collect::<Vec<_>>() {
            self.settle(host, &name);
        }
    }

    /// The container is as it was acknowledged; from here on it is as it was found.
    #[track_caller]
    pub(crate) fn settle(&mut self, host: &Host, name: &str) {
        let Some(allowed) = self.containers.get(name) else { return };
        let mut seen = String::new();
        // What ends by itself may take a moment, and so may the removal that follows.
        let fine = within(PATIENCE, || {
            seen = state_of(host, name);
            self.is_allowed(&seen, allowed)
        });
        assert!(
            fine,
            "{name} is {seen:?}, which should be one of {allowed:?}; what was done with it:\n{}",
            self.history.get(name).map_or_else(String::new, |lines| lines.join("\n"))
        );
        let mut words = seen.split(' ');
        let found = match (words.next(), words.next().and_then(|code| code.parse().ok())) {
            (Some("created"), _) => Expected::Created,
            (Some("running"), _) => Expected::Running,
            (Some("paused"), _) => Expected::Paused,
            (Some("exited"), Some(code)) => Expected::Exited(code),
            _ => Expected::Gone,
        };
        // One that runs now may be about to end by itself.
        let may_end = self.brief.contains(name) && found == Expected::Running;
        let ends = allowed.iter().copied().filter(|state| may_end && state.is_end());
        let states = ends.chain([found]).collect();
        self.note(name, format!("found {found:?}"));
        self.containers.insert(name.to_owned(), states);
    }

    fn is_allowed(&self, seen: &str, allowed: &[Expected]) -> bool {
        let by_state = allowed.iter().any(|expected| match expected {
            Expected::Gone => seen.is_empty(),
            Expected::Created => seen.starts_with("created "),
            Expected::Running => seen.starts_with("running "),
            Expected::Paused => seen.starts_with("paused "),
            Expected::Exited(code) => seen.trim_end() == format!("exited {code}"),
        });
        // A container whose shim has died ends with it, which is said.
        by_state || self.shims_die && seen.starts_with("exited 137 its supervisor was killed")
    }

    /// Whatever is there can be used as its state says, and removed.
    #[track_caller]
    pub(crate) fn everything_works(&self, host: &Host) {
        host.run("corten run --rm busybox echo works").prints("works");
        let names = host.run("corten ps -a --format '{{.Names}}'").exits(0).stdout();
        for name in names.lines() {
            let state = state_of(host, name);
            match state.split(' ').next() {
                Some("running") => {}
                Some("paused") => {
                    drop(host.api("POST", &format!("/containers/{name}/unpause"), None).is(204))
                }
                _ => drop(host.run(&format!("corten start {name}")).exits(0)),
            }
            // One that has ended in the meantime cannot be asked.
            if state.starts_with("running ") || state.starts_with("paused ") {
                host.run_within(PATIENCE, &format!("corten exec {name} true")).exits(0);
            }
            host.run(&format!("corten rm -f {name}")).exits(0);
        }
    }
}

/// `status code error`; empty when there is no such container.
fn state_of(host: &Host, name: &str) -> String {
    // Between two commands it may have another name.
    let names = if name == "job" { vec!["job", "work"] } else { vec![name] };
    let format = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}";
    let found: Vec<_> = names
        .iter()
        .map(|name| host.run(&format!("corten inspect --type container -f '{format}' {name}")))
        .filter(|output| output.code() == 0)
        .collect();
    assert!(found.len() < 2, "{name} is there under two names");
    found.first().map(|output| output.stdout().trim().to_owned()).unwrap_or_default()
}
