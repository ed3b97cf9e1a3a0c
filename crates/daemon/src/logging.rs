//! Logs to standard error; the level can be changed while the daemon runs.

use std::io::IsTerminal;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the level.
#[derive(Debug, Clone)]
pub(crate) struct LogLevel(reload::Handle<LevelFilter, Registry>);

impl LogLevel {
    /// From now on, `level`.
    pub(crate) fn set(&self, level: Level) {
        // Fails only when the subscriber is gone, and then there is nothing to change.
        let _ = self.0.reload(LevelFilter::from_level(level));
    }
}

/// Starts logging.
pub(crate) fn start(level: Level) -> LogLevel {
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let stderr = std::io::stderr;
    let lines = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false);
    // A second start in one process (tests) keeps the first one's.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    LogLevel(handle)
}
