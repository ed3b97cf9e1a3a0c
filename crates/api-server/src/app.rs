//! What the handlers work on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::Engine;

use crate::host::Host;

/// The engine, and what the daemon knows about itself.
#[derive(Debug)]
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) daemon: DaemonFacts,
    debug: AtomicBool,
}

/// What `info` says that neither the engine nor the host knows.
#[derive(Debug, Clone)]
pub struct DaemonFacts {
    /// The engine's id, kept in the data root.
    pub id: String,
    /// Persistent data.
    pub data_root: PathBuf,
    /// Labels of the daemon.
    pub labels: Vec<String>,
    /// It logs at level debug when it starts.
    pub debug: bool,
}

impl App {
    /// What the handlers work on.
    pub fn new(engine: Engine, daemon: DaemonFacts) -> Self {
        let debug = AtomicBool::new(daemon.debug);
        Self { engine, daemon, debug }
    }

    /// The daemon has read its configuration again: whether it logs at level debug from now on. Whoever listens to
    /// events is told.
    pub fn reloaded(&self, debug: bool) {
        self.debug.store(debug, Ordering::Relaxed);
        let attributes = [
            ("debug", debug.to_string()),
            ("labels", serde_json::json!(self.daemon.labels).to_string()),
            ("name", Host::read().name),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
        self.engine.publish_daemon_event("reload", &self.daemon.id, attributes);
    }

    pub(crate) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }
}
