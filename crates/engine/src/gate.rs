//! Who may write into a container's root file system, and when.
//!
//! The kernel silently allows two overlay mounts with one upper directory and answers nonsense then. So all writers
//! into a container that does not run share one mount, and a start waits for them; one that takes too long, because
//! its client does, is cut off.
//!
//! Readers need no gate: they look through a read-only mount of their own, or through the running container's.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use crate::error::{EngineError, Result};

/// How long a start waits for writers before it cuts them off.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How long a writer that was cut off may take to notice: no longer than one call on a file system.
const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// How long a writer waits for its turn.
const TURN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, Default)]
struct Now {
    /// How many are about to mount the root for a run, or to remove it.
    closed: usize,
    /// All writers.
    writers: usize,
    /// Writers through the mount of a run.
    live: usize,
    /// How often writers were cut off.
    cuts: u64,
}

/// The gate of one container.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    now: watch::Sender<Now>,
    /// The mount that writers into the stopped container share.
    shared: Mutex<Weak<OwnedFd>>,
}

impl Gate {
    /// Lets a writer in when no start is under way.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Writer> {
        let end = tokio::time::Instant::now() + TURN;
        loop {
            let mut cuts = None;
            self.now.send_if_modified(|now| {
                if now.closed == 0 {
                    now.writers += 1;
                    cuts = Some(now.cuts);
                }
                cuts.is_some()
            });
            if let Some(cuts) = cuts {
                return Ok(Writer { gate: Arc::clone(self), cuts, live: false });
            }
            let mut watch = self.now.subscribe();
            let opened = watch.wait_for(|now| now.closed == 0);
            if tokio::time::timeout_at(end, opened).await.is_err() {
                return Err(EngineError::conflict("the container is being started or removed; try again"));
            }
        }
    }

    /// Keeps writers out until the guard is dropped, when those inside have left or were cut off.
    pub(crate) async fn close(self: &Arc<Self>, patience: Duration) -> Result<Closed> {
        self.now.send_modify(|now| now.closed += 1);
        let closed = Closed(Arc::clone(self));
        if closed.emptied(patience).await {
            return Ok(closed);
        }
        self.now.send_modify(|now| now.cuts += 1);
        if closed.emptied(LAST_PATIENCE).await {
            return Ok(closed);
        }
        Err(EngineError::conflict(
            "files are still being copied into the container and the copy does not end",
        ))
    }

    /// Waits until nobody writes through the mount of a run that is over.
    pub(crate) async fn no_live_writers(&self) -> Result<()> {
        let mut watch = self.now.subscribe();
        match tokio::time::timeout(TURN, watch.wait_for(|now| now.live == 0)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(EngineError::conflict("another copy into the container has not ended; try again")),
        }
    }

    /// The mount that writers share, made by `make` when there is none.
    pub(crate) async fn shared_root<F>(&self, make: impl FnOnce() -> F) -> Result<Arc<OwnedFd>>
    where
        F: Future<Output = Result<OwnedFd>>,
    {
        let mut shared = self.shared.lock().await;
        if let Some(root) = shared.upgrade() {
            return Ok(root);
        }
        let root = Arc::new(make().await?);
        *shared = Arc::downgrade(&root);
        Ok(root)
    }
}

/// Keeps writers out while it lives.
#[derive(Debug)]
pub(crate) struct Closed(Arc<Gate>);

impl Closed {
    async fn emptied(&self, patience: Duration) -> bool {
        let mut watch = self.0.now.subscribe();
        tokio::time::timeout(patience, watch.wait_for(|now| now.writers == 0)).await.is_ok()
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.now.send_modify(|now| now.closed -= 1);
    }
}

/// A writer that was let in.
#[derive(Debug)]
pub(crate) struct Writer {
    gate: Arc<Gate>,
    cuts: u64,
    live: bool,
}

impl Writer {
    /// It writes through the mount of the container's run.
    pub(crate) fn goes_live(&mut self) {
        self.live = true;
        self.gate.now.send_modify(|now| now.live += 1);
    }

    /// Ends when the writer is cut off, and never otherwise.
    pub(crate) fn cut(&self) -> impl Future<Output = ()> + Send + 'static {
        let (mut watch, cuts) = (self.gate.now.subscribe(), self.cuts);
        async move {
            if watch.wait_for(|now| now.cuts > cuts).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.gate.now.send_modify(|now| {
            now.writers -= 1;
            now.live -= usize::from(self.live);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_for_writers_then_cuts_them_off() {
        let gate = Arc::new(Gate::default());
        let writer = gate.enter().await.unwrap();
        let cut = writer.cut();
        let busy = tokio::spawn(async move {
            cut.await;
            drop(writer);
        });
        let closed = gate.close(PATIENCE).await.unwrap();
        busy.await.unwrap();
        let late = Arc::clone(&gate);
        let late = tokio::spawn(async move { late.enter().await.map(drop) });
        tokio::task::yield_now().await;
        assert!(!late.is_finished(), "nobody is let in while a start is under way");
        drop(closed);
        late.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_never_leaves_fails_the_start_and_the_gate_opens_again() {
        let gate = Arc::new(Gate::default());
        let stuck = gate.enter().await.unwrap();
        assert!(gate.close(Duration::ZERO).await.is_err());
        gate.enter().await.unwrap();
        drop(stuck);
        gate.close(Duration::ZERO).await.unwrap();
    }
}
