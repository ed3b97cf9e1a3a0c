//! `corten.db`: one SQLite file that holds everything an engine must remember.
//!
//! - [`Database`]: the handle; writes go through one thread, reads through their own connections
//! - [`Component`]: the tables of one store, and how they grew
//! - [`load`]: reads rows so that one that does not parse costs only itself
//!
//! **Invariant:** a write that was answered is in the file; one made by [`Database::write_durable`] survives a power
//! cut as well. Ordinary writes survive `kill -9` at any instant and may lose the last moments on a power cut, never
//! more. No writer waits for an fsync that it did not ask for: checkpoints run on a thread of their own.
//!
//! Knows nothing of what the tables mean: each store brings its own [`Component`].

#![forbid(unsafe_code)]

mod checkpoint;
mod database;
mod error;
mod load;
mod schema;
mod writer;

pub use database::Database;
pub use error::DbError;
pub use load::{Loaded, Unreadable, load};
pub use rusqlite;
pub use schema::Component;
