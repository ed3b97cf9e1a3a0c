//! What was acknowledged, and whether it is so: the invariants that hold whatever dies.

use std::collections::BTreeMap;

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

/// The states that each container may be in.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    containers: BTreeMap<String, Vec<Expected>>,
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

    /// The command that leads to `states` was acknowledged: the last of them it is, or will be by itself.
    pub(crate) fn acknowledged(&mut self, container: &str, states: &[Expected]) {
        // What has been started may have ended.
        let ends = matches!(states, [.., Expected::Running, Expected::Exited(_)]);
        let from = states.len() - if ends { 2 } else { 1 };
        self.containers.insert(container.to_owned(), states[from..].to_vec());
    }

    /// Nobody knows how far it came.
    pub(crate) fn interrupted(&mut self, container: &str, states: &[Expected]) {
        let known = self.containers.entry(container.to_owned()).or_insert_with(|| vec![Expected::Gone]);
        known.extend(states);
    }

    /// Everything is as it was acknowledged.
    #[track_caller]
    pub(crate) fn check(&self, host: &Host) {
        if let Some(pid) = self.bystander {
            assert_eq!(host.pid_of(BYSTANDER), pid, "a running container was disturbed");
            assert_eq!(host.inspect(ENDED, "{{.State.Status}} {{.State.ExitCode}}"), "exited 7");
            host.run(&format!("corten logs {ENDED}")).prints("said");
            host.run(&format!("corten exec {BYSTANDER} true")).exits(0);
        }
        for (name, allowed) in &self.containers {
            let mut seen = String::new();
            // What ends by itself may take a moment, and so may the removal that follows.
            let fine = within(PATIENCE, || {
                seen = state_of(host, name);
                self.is_allowed(&seen, allowed)
            });
            assert!(fine, "{name} is {seen:?}, which should be one of {allowed:?}");
        }
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
