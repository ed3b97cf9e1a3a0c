//! Layers on disk and overlay snapshots: apply, diff, pack.
//!
//! **Invariant:** a directory below `layers/` other than `.staging` is a whole layer whose archive hashed to its
//! name. A layer is built in `.staging`, synced, then renamed; a crash leaves junk there, never a wrong layer.
//! Layers do not know their parents: whiteouts are kept even in a first layer, and a chain is a row elsewhere.
//!
//! ```text
//! <data-root>/layers/
//! ├── <diff id, hex>/
//! │   ├── root/            the tree, a lower directory of overlay mounts
//! │   ├── recipe           everything of the archive but file contents: gives the same archive again
//! │   └── shadowed/        files that the archive itself replaced later (rare)
//! └── .staging/<n>/        being unpacked or removed; emptied at start
//! ```
//!
//! - [`Layers`]: the store
//! - [`unpack`]: one archive into one directory, nothing outside it
//! - [`recipe`]: the archive of a layer again, byte for byte
//! - [`upper`]: a container's own writable directory
//! - [`changes`]: what a container changed, from that directory alone
//! - [`pack`]: the archive of a directory
//!
//! Knows nothing of images, names or registries.

#![forbid(unsafe_code)]

pub mod changes;
pub mod layers;
pub mod pack;
pub mod recipe;
pub mod settings;
pub mod unpack;
pub mod upper;

pub use layers::{Layers, LayersError, Staged};
pub use settings::{OverlayAttributes, Settings};
pub use unpack::UnpackError;
