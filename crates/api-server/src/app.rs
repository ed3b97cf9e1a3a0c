//! What the handlers work on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::Engine;

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

    /// Says whether the daemon logs at level debug from now on.
    pub fn set_debug(&self, debug: bool) {
        self.debug.store(debug, Ordering::Relaxed);
    }

    pub(crate) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }
}
