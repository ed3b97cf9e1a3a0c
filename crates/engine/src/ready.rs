//! Shims started before their containers are known.
//!
//! Starting a process and making a network namespace are a good part of a start, and depend on nothing that the user
//! says. So a few shims wait, each with a network namespace of its own; a start takes one, and another is made when
//! the start is over. They end with this engine: a shim that has no plan leaves when its connection is closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::{EngineError, Result};
use crate::shared::Shared;
use crate::shim_client::{ShimClient, ShimEvent};

/// How long after a start the next shim is made: what was started goes first.
const REST: Duration = Duration::from_millis(5);

/// A shim, and the way to it.
#[derive(Debug)]
pub(crate) struct Shim {
    pub(crate) client: Arc<ShimClient>,
    pub(crate) events: mpsc::UnboundedReceiver<ShimEvent>,
    pub(crate) pid: i32,
}

impl Shim {
    /// Connects to a shim that was just spawned.
    fn new(spawned: shim::spawn::Spawned) -> Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let client = ShimClient::new(spawned.socket, Some(spawned.pidfd), sender)
            .map_err(|error| EngineError::system("cannot talk to the shim", error))?;
        Ok(Self { client, events, pid: spawned.pid })
    }
}

/// The shims that wait.
#[derive(Debug, Default)]
pub(crate) struct ReadyShims {
    waiting: Mutex<Vec<Shim>>,
    refilling: AtomicBool,
}

impl ReadyShims {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Shim>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one that is still there.
    fn take(&self) -> Option<Shim> {
        let mut waiting = self.lock();
        while let Some(shim) = waiting.pop() {
            if !shim.client.is_gone() {
                return Some(shim);
            }
        }
        None
    }
}

/// A shim for a container: one that waits, or a new one.
pub(crate) async fn shim_for(shared: &Arc<Shared>, container: &str) -> Result<Shim> {
    if let Some(shim) = shared.ready.take() {
        return Ok(shim);
    }
    let (owned, name) = (Arc::clone(shared), container.to_owned());
    let spawned = tokio::task::spawn_blocking(move || owned.shim.spawn(&name))
        .await
        .map_err(std::io::Error::other)
        .and_then(|outcome| outcome)
        .map_err(|error| EngineError::system("cannot start a shim", error))?;
    Shim::new(spawned)
}

/// Makes shims in the background until as many wait as the configuration says.
pub(crate) fn refill(shared: &Arc<Shared>) {
    if shared.config.ready_shims == 0 || shared.ready.refilling.swap(true, Ordering::Relaxed) {
        return;
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(REST).await;
        shared.ready.lock().retain(|shim| !shim.client.is_gone());
        while shared.ready.lock().len() < shared.config.ready_shims {
            let owned = Arc::clone(&shared);
            let spawned = tokio::task::spawn_blocking(move || owned.shim.spawn_ready()).await;
            let shim = match spawned {
                Ok(Ok(spawned)) => Shim::new(spawned),
                Ok(Err(error)) => Err(EngineError::system("cannot start a shim", error)),
                Err(error) => Err(EngineError::system("cannot start a shim", error)),
            };
            match shim {
                Ok(shim) => shared.ready.lock().push(shim),
                Err(error) => {
                    // The next start makes its own, and says why it cannot.
                    tracing::debug!(%error, "no shim in advance");
                    break;
                }
            }
        }
        shared.ready.refilling.store(false, Ordering::Relaxed);
    });
}
