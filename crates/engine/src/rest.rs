//! After a burst: memory that is not in use goes back to the kernel.
//!
//! A thousand containers that have come and gone leave freed pieces of heap that the C library keeps, in every thread's
//! part of it; a daemon lives for months and should not look as if it still had them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::shared::Shared;

/// From the first end of something to the release: long enough that a burst is over, or is worth it.
const LATER: Duration = Duration::from_secs(3);

/// Whether a release is due.
#[derive(Debug, Default)]
pub(crate) struct Rest(AtomicBool);

/// Something has ended: in a moment the memory is released that it needed.
pub(crate) fn soon(shared: &Arc<Shared>) {
    if shared.rest.0.swap(true, Ordering::Relaxed) {
        return;
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(LATER).await;
        shared.rest.0.store(false, Ordering::Relaxed);
        // It takes locks of the allocator, for milliseconds at worst.
        let released = tokio::task::spawn_blocking(move || {
            shared.store.release_memory();
            linux::memory::release();
        });
        let _ = released.await;
    });
}
