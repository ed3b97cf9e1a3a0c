//! The checkpoint thread: moves the write-ahead log into the file, away from every writer's path.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use rusqlite::Connection;

/// How long writes are collected before they are moved. Long enough that a burst costs one pass, short enough that
/// the log stays small.
const COLLECT: Duration = Duration::from_secs(5);

/// Tells the checkpoint thread of writes. While nothing is written the thread sleeps without a timer.
#[derive(Clone)]
pub(crate) struct Checkpointer(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    dirty: bool,
    stopped: bool,
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub(crate) fn spawn(connection: Connection) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("db-checkpoint".to_owned()).spawn(move || theirs.run(&connection))?;
        Ok((Self(shared), thread))
    }

    /// Something was committed.
    pub(crate) fn written(&self) {
        let mut state = self.0.lock();
        if !state.dirty {
            state.dirty = true;
            self.0.changed.notify_one();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, connection: &Connection) {
        loop {
            let state = self.lock();
            let state = self
                .changed
                .wait_while(state, |state| !state.dirty && !state.stopped)
                .unwrap_or_else(PoisonError::into_inner);
            let (mut state, _) = self
                .changed
                .wait_timeout_while(state, COLLECT, |state| !state.stopped)
                .unwrap_or_else(PoisonError::into_inner);
            if state.stopped {
                return;
            }
            state.dirty = false;
            drop(state);
            // PASSIVE waits for nobody: what a reader still needs stays in the log until the next pass. An error
            // (a full disk) leaves the log as it is, which is complete without the checkpoint.
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    }
}
