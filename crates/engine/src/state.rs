//! A container's life cycle: the one table of which event may follow which state.
//!
//! ```text
//!             start failed                 restart policy
//!            ┌────────────┐              ┌───────────────┐
//!            ▼            │              │               ▼
//! create ─▶ Created ──────┴─ started ─▶ Running ◀──▶ Paused
//!                              ▲   ▲      │ exited      │ exited
//!                              │   └──── Restarting ◀───┤
//!                              │                        ▼
//!                              └──────────────────── Exited
//! ```
//!
//! Removal is not a state of the container but the end of its record.

use serde::{Deserialize, Serialize};

use crate::oom::OomKill;

/// Where a container stands. Times are Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Never ran, or could not be started.
    Created {
        /// Why the last start failed.
        failure: Option<Failure>,
    },
    /// Its first process runs.
    Running(Run),
    /// Its processes are stopped by the freezer.
    Paused(Run),
    /// Ended, and waiting to be started again by its restart policy.
    Restarting(Ended),
    /// Ended.
    Exited(Ended),
}

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Host pid of the first process.
    pub pid: i32,
    /// Since when.
    pub started_at: i64,
    /// End of the run before.
    pub finished_at: Option<i64>,
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// 0 … 255.
    pub exit_code: i32,
    /// The kernel's OOM killer struck.
    pub oom_killed: bool,
    /// What is known of that.
    #[serde(default)]
    pub oom: Option<OomKill>,
    /// What people should know about it; empty: nothing.
    pub error: String,
    /// Begin of the run.
    pub started_at: i64,
    /// End of the run.
    pub finished_at: i64,
}

/// What a wait for a container's end brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitEnd {
    /// 0 … 255.
    pub exit_code: i32,
    /// What people should know about it; empty: nothing.
    pub explanation: String,
}

/// A start that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// 125, 126, 127 or 128.
    pub exit_code: i32,
    /// Why.
    pub error: String,
}

/// What happens to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The user's program runs.
    Started {
        /// Host pid.
        pid: i32,
        /// When.
        at: i64,
    },
    /// It could not be run.
    StartFailed(Failure),
    /// The freezer stopped it.
    Paused,
    /// The freezer let it go.
    Resumed,
    /// Its first process ended.
    Exited {
        /// Exit code.
        exit_code: i32,
        /// Killed by the kernel, out of memory.
        oom_killed: bool,
        /// What is known of that.
        oom: Option<OomKill>,
        /// What people should know about it.
        error: String,
        /// When.
        at: i64,
        /// The restart policy will start it again.
        restart: bool,
    },
    /// Somebody gave the restart up.
    RestartCancelled,
}

/// An event that the state does not allow; the text completes "container … ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied(pub &'static str);

impl State {
    /// The state after `event`.
    pub fn next(&self, event: Event) -> Result<State, Denied> {
        use Event as E;
        use State as S;
        match (self, event) {
            (S::Created { .. } | S::Exited(_) | S::Restarting(_), E::Started { pid, at }) => {
                Ok(S::Running(Run { pid, started_at: at, finished_at: self.finished_at() }))
            }
            (S::Running(_) | S::Paused(_), E::Started { .. }) => Err(Denied("is already running")),

            (S::Created { .. }, E::StartFailed(failure)) => Ok(S::Created { failure: Some(failure) }),
            (S::Exited(ended) | S::Restarting(ended), E::StartFailed(failure)) => Ok(S::Exited(Ended {
                exit_code: failure.exit_code,
                error: failure.error,
                oom_killed: false,
                oom: None,
                ..ended.clone()
            })),
            (S::Running(_) | S::Paused(_), E::StartFailed(_)) => Err(Denied("is already running")),

            (S::Running(run), E::Paused) => Ok(S::Paused(run.clone())),
            (S::Paused(_), E::Paused) => Err(Denied("is already paused")),
            (S::Created { .. } | S::Exited(_), E::Paused) => Err(Denied("is not running")),
            (S::Restarting(_), E::Paused) => {
                Err(Denied("is restarting, wait until the container is running"))
            }

            (S::Paused(run), E::Resumed) => Ok(S::Running(run.clone())),
            (S::Running(_) | S::Created { .. } | S::Exited(_) | S::Restarting(_), E::Resumed) => {
                Err(Denied("is not paused"))
            }

            (
                S::Running(run) | S::Paused(run),
                E::Exited { exit_code, oom_killed, oom, error, at, restart },
            ) => {
                let ended =
                    Ended { exit_code, oom_killed, oom, error, started_at: run.started_at, finished_at: at };
                Ok(if restart { S::Restarting(ended) } else { S::Exited(ended) })
            }
            (S::Created { .. } | S::Exited(_) | S::Restarting(_), E::Exited { .. }) => {
                Err(Denied("is not running"))
            }

            (S::Restarting(ended), E::RestartCancelled) => Ok(S::Exited(ended.clone())),
            (S::Created { .. } | S::Running(_) | S::Paused(_) | S::Exited(_), E::RestartCancelled) => {
                Err(Denied("is not restarting"))
            }
        }
    }

    /// Docker's word for it.
    pub fn status(&self) -> &'static str {
        match self {
            State::Created { .. } => "created",
            State::Running(_) => "running",
            State::Paused(_) => "paused",
            State::Restarting(_) => "restarting",
            State::Exited(_) => "exited",
        }
    }

    /// The run that goes on, if any: running or paused.
    pub fn run(&self) -> Option<&Run> {
        match self {
            State::Running(run) | State::Paused(run) => Some(run),
            State::Created { .. } | State::Restarting(_) | State::Exited(_) => None,
        }
    }

    /// Exit code of the last run or failed start; 0 before.
    pub fn exit_code(&self) -> i32 {
        match self {
            State::Created { failure } => failure.as_ref().map_or(0, |failure| failure.exit_code),
            State::Running(_) | State::Paused(_) => 0,
            State::Restarting(ended) | State::Exited(ended) => ended.exit_code,
        }
    }

    /// What people should know; empty: nothing.
    pub fn error(&self) -> &str {
        match self {
            State::Created { failure } => failure.as_ref().map_or("", |failure| &failure.error),
            State::Running(_) | State::Paused(_) => "",
            State::Restarting(ended) | State::Exited(ended) => &ended.error,
        }
    }

    /// Begin of the current or last run.
    pub fn started_at(&self) -> Option<i64> {
        match self {
            State::Created { .. } => None,
            State::Running(run) | State::Paused(run) => Some(run.started_at),
            State::Restarting(ended) | State::Exited(ended) => Some(ended.started_at),
        }
    }

    /// End of the last run.
    pub fn finished_at(&self) -> Option<i64> {
        match self {
            State::Created { .. } => None,
            State::Running(run) | State::Paused(run) => run.finished_at,
            State::Restarting(ended) | State::Exited(ended) => Some(ended.finished_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> [State; 5] {
        let run = Run { pid: 7, started_at: 1, finished_at: None };
        let ended = Ended {
            exit_code: 3,
            oom_killed: false,
            oom: None,
            error: String::new(),
            started_at: 1,
            finished_at: 2,
        };
        [
            State::Created { failure: None },
            State::Running(run.clone()),
            State::Paused(run),
            State::Restarting(ended.clone()),
            State::Exited(ended),
        ]
    }

    fn events() -> [(&'static str, Event); 7] {
        let exited = |restart| Event::Exited {
            exit_code: 1,
            oom_killed: false,
            oom: None,
            error: String::new(),
            at: 9,
            restart,
        };
        [
            ("started", Event::Started { pid: 8, at: 5 }),
            ("start-failed", Event::StartFailed(Failure { exit_code: 127, error: "x".into() })),
            ("paused", Event::Paused),
            ("resumed", Event::Resumed),
            ("exited", exited(false)),
            ("exited-restart", exited(true)),
            ("cancelled", Event::RestartCancelled),
        ]
    }

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        let mut table = String::new();
        for state in states() {
            for (name, event) in events() {
                let outcome = match state.next(event) {
                    Ok(next) => next.status().to_owned(),
                    Err(Denied(reason)) => format!("no: {reason}"),
                };
                table.push_str(&format!("{} + {name} = {outcome}\n", state.status()));
            }
        }
        let expected = "\
created + started = running
created + start-failed = created
created + paused = no: is not running
created + resumed = no: is not paused
created + exited = no: is not running
created + exited-restart = no: is not running
created + cancelled = no: is not restarting
running + started = no: is already running
running + start-failed = no: is already running
running + paused = paused
running + resumed = no: is not paused
running + exited = exited
running + exited-restart = restarting
running + cancelled = no: is not restarting
paused + started = no: is already running
paused + start-failed = no: is already running
paused + paused = no: is already paused
paused + resumed = running
paused + exited = exited
paused + exited-restart = restarting
paused + cancelled = no: is not restarting
restarting + started = running
restarting + start-failed = exited
restarting + paused = no: is restarting, wait until the container is running
restarting + resumed = no: is not paused
restarting + exited = no: is not running
restarting + exited-restart = no: is not running
restarting + cancelled = exited
exited + started = running
exited + start-failed = exited
exited + paused = no: is not running
exited + resumed = no: is not paused
exited + exited = no: is not running
exited + exited-restart = no: is not running
exited + cancelled = no: is not restarting
";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_second_run_remembers_the_end_of_the_first() {
        let [.., exited] = states();
        let next = exited.next(Event::Started { pid: 9, at: 10 }).unwrap();
        assert_eq!((next.started_at(), next.finished_at()), (Some(10), Some(2)));
    }

    #[test]
    fn a_state_reads_back_as_it_was_written() {
        for state in states() {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state, "{text}");
        }
    }
}
