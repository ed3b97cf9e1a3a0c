//! Restart policies: whether and when a container that ended is started again.

use std::time::Duration;

use shim::protocol::Exit;

use api_types::host_config::RestartPolicy;

use crate::error::{EngineError, Result};
use crate::record::Record;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run of at least this length proves that the container works: the delay starts again from the first.
const GOOD_RUN_NS: i64 = 10 * 1_000_000_000;

/// Checks a policy, and that it does not contradict `--rm`.
pub(crate) fn check(policy: &RestartPolicy, auto_remove: bool) -> Result<()> {
    let named = match policy.name.as_str() {
        "" | "no" => false,
        "always" | "unless-stopped" | "on-failure" => true,
        other => {
            return Err(EngineError::invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )));
        }
    };
    if policy.maximum_retry_count < 0 {
        return Err(EngineError::invalid("invalid restart policy: maximum retry count cannot be negative"));
    }
    if policy.maximum_retry_count > 0 && policy.name != "on-failure" {
        return Err(EngineError::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    if named && auto_remove {
        return Err(EngineError::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    Ok(())
}

/// Whether an engine that starts should start this container.
pub(crate) fn at_engine_start(record: &Record) -> bool {
    match record.host_config.restart_policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !record.stopped_by_user,
        "on-failure" => !record.stopped_by_user && record.state.exit_code() != 0,
        _ => false,
    }
}

/// The growing delay between restarts.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    delay: Option<Duration>,
}

impl Backoff {
    /// The delay before the next start; none: it stays down.
    pub(crate) fn decide(&mut self, record: &Record, exit: &Exit) -> Option<Duration> {
        let policy = &record.host_config.restart_policy;
        let again = !record.stopped_by_user
            && match policy.name.as_str() {
                "always" | "unless-stopped" => true,
                "on-failure" => {
                    exit.code != 0
                        && (policy.maximum_retry_count == 0
                            || record.restart_count < policy.maximum_retry_count)
                }
                _ => false,
            };
        if !again {
            return None;
        }
        let ran = record.state.started_at().map_or(0, |started| exit.at - started);
        let delay = match self.delay {
            Some(last) if ran < GOOD_RUN_NS => (last * 2).min(LONGEST_DELAY),
            _ => FIRST_DELAY,
        };
        self.delay = Some(delay);
        Some(delay)
    }
}
