//! What the handlers work on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::Engine;

/// The engine, and what the daemon knows about itself.
#[derive(Debug)]
pub struct App {
    pub(crate) engine: Engine,
    pub(crate) daemon: DaemonFacts,
    debug: AtomicBool,
    /// One more reference for each client of `/events`.
    listeners: Arc<()>,
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

/// Counts as a client of `/events` while it lives.
#[derive(Debug)]
pub(crate) struct Listener {
    _counted: Arc<()>,
}

impl App {
    /// What the handlers work on.
    pub fn new(engine: Engine, daemon: DaemonFacts) -> Self {
        let debug = AtomicBool::new(daemon.debug);
        Self { engine, daemon, debug, listeners: Arc::new(()) }
    }

    /// Says whether the daemon logs at level debug from now on.
    pub fn set_debug(&self, debug: bool) {
        self.debug.store(debug, Ordering::Relaxed);
    }

    pub(crate) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// Counts one more client of `/events`.
    pub(crate) fn listen(&self) -> Listener {
        Listener { _counted: Arc::clone(&self.listeners) }
    }

    /// Clients of `/events`.
    pub(crate) fn event_listeners(&self) -> usize {
        Arc::strong_count(&self.listeners) - 1
    }

    pub(crate) fn image_count(&self) -> usize {
        self.engine.images().list().len()
    }
}
