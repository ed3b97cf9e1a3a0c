//! The engine: container life cycle, exec, events, logs; the one crate that joins stores, shim and runtime.
//!
//! **Invariant:** the row in `corten.db` is the truth and is written before anyone is told. One task per container
//! owns its state and applies events in order, so nothing here holds a lock across I/O.
//!
//! - [`Engine`]: everything the API can ask for
//! - [`error`]: what can go wrong, by kind; the API's status comes from the kind
//! - [`params`]: arguments and answers that are not API JSON
//! - [`capabilities`]: capability sets from Docker's lists
//! - [`seccomp_profile`]: the standard system call filter, and users' own
//! - [`layout`]: paths on disk
//! - [`events`], [`logs`]: the event bus; reading log files
//!
//! Knows nothing of HTTP.

pub mod capabilities;
pub mod engine;
pub mod error;
pub mod events;
pub mod layout;
pub mod params;
pub mod seccomp_profile;

pub use engine::Engine;
pub use error::{EngineError, ErrorKind};
