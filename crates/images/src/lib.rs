//! Image names and their contents: import, commit, load, save, tag, remove, history.
//!
//! **Invariant:** a row is the truth. An image's row is written after its configuration and layers are on disk and
//! synced, and removed before they are; a crash leaves shadows (directories, blobs) without rows, which the next
//! [`Images::open`] sweeps, and never a row without its content.
//!
//! ```text
//! corten.db: image, image_layer, image_name, layer    which images there are, of which layers, by which names
//! <data-root>/content/blobs/sha256/<image id>         an image's configuration, raw
//! <data-root>/layers/<diff id>/                       unpacked layers, shared by images
//! ```
//!
//! An image's id is the digest of its configuration.
//!
//! - [`Images`]: the store; blocking calls, for a pool
//! - [`Image`]: one image, as it was when asked for
//! - [`import`], [`commit`], [`load`], [`save`], [`remove`], [`prune`], [`resolve`], [`history`]: the operations, each
//!   with its errors
//! - [`changes`]: Dockerfile instructions that `import` and `commit` apply
//!
//! Knows nothing of containers: who uses an image is asked of the caller.

#![forbid(unsafe_code)]

pub mod changes;
pub mod commit;
pub mod history;
mod image;
pub mod import;
mod index;
pub mod load;
pub mod prune;
pub mod remove;
pub mod resolve;
mod rows;
pub mod save;
mod store;
pub mod tag;

pub use commit::{CommitError, CommitOptions};
pub use image::{Image, ImageId, Layer};
pub use import::{ImportError, ImportOptions};
pub use load::{LoadError, LoadOptions, LoadProgress, LoadedImage};
pub use prune::Pruned;
pub use remove::{ImageUser, RemoveError, Removed};
pub use resolve::ResolveError;
pub use save::{SaveError, Selection};
pub use store::{Hold, Images, StoreError};
pub use tag::TagError;
