//! Content store: every blob we hold, addressed by its digest.
//!
//! **Invariant:** a file below `blobs/` is complete and hashes to its own name. Nothing is ever written there in
//! place: bytes arrive in `ingest/`, are verified, fsynced, then renamed across. A crash can leave junk in
//! `ingest/`, never a wrong blob.
//!
//! ```text
//! <data-root>/content/
//! ├── blobs/sha256/<64 hex>     immutable, mode 0444
//! ├── blobs/sha512/<128 hex>
//! └── ingest/<n>                bytes arriving; emptied at start
//! ```
//! Knows nothing of images, tags or registries: it moves bytes and checks digests.

#![forbid(unsafe_code)]

mod store;

pub use store::{ContentError, Store};
