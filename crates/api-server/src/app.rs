//! What the handlers work on.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use engine::Engine;

use crate::host::Host;

/// The engine, and what the daemon knows about itself.
#[derive(Debug)]
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) daemon: DaemonFacts,
    reloadable: RwLock<Reloadable>,
}

/// What `info` says that neither the engine nor the host knows.
#[derive(Debug, Clone)]
pub struct DaemonFacts {
    /// The engine's id, kept in the data root.
    pub id: String,
    /// Persistent data.
    pub data_root: PathBuf,
}

/// The same, as far as a daemon that has read its configuration again changes it.
#[derive(Debug, Clone)]
pub struct Reloadable {
    /// Labels of the daemon.
    pub labels: Vec<String>,
    /// It logs at level debug.
    pub debug: bool,
}

impl App {
    /// What the handlers work on.
    pub fn new(engine: Engine, daemon: DaemonFacts, reloadable: Reloadable) -> Self {
        Self { engine, daemon, reloadable: RwLock::new(reloadable) }
    }

    /// The daemon has read its configuration again. Whoever listens to events is told.
    pub fn reloaded(&self, new: Reloadable) {
        let attributes = [
            ("debug", new.debug.to_string()),
            ("labels", serde_json::json!(new.labels).to_string()),
            ("name", Host::read().name),
        ];
        *self.reloadable.write().unwrap_or_else(PoisonError::into_inner) = new;
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
        self.engine.publish_daemon_event("reload", &self.daemon.id, attributes);
    }

    pub(crate) fn reloadable(&self) -> Reloadable {
        self.reloadable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
