//! The engine: container life cycle, exec, events, logs; the one crate that joins stores, shim and runtime.
//!
//! **Invariant:** the row in `corten.db` is the truth and is written before anyone is told. One task per container
//! owns its state and applies events in order, so nothing here holds a lock across I/O.
//!
//! - [`Engine`]: everything the API can ask for
//! - [`error`]: what can go wrong, by kind; the API's status comes from the kind
//! - [`params`]: arguments and answers that are not API JSON
//! - [`state`]: which event may follow which state
//! - [`record`]: one container as kept on disk
//! - [`layout`]: paths on disk
//! - [`merge`], [`mounts`], [`modes`], [`resources`], [`devices`], [`security`], [`capabilities`],
//!   [`seccomp_profile`], [`spec`]: from Docker's configuration to a runtime specification
//! - [`events`]: the event bus; [`signals`], [`detach_keys`], [`names`], [`time`], [`log_config`]: words and what they
//!   mean
//! - [`health`]: health checks and what follows from their results
//! - [`host`]: what this host can do; [`pipe`]: streams for code that blocks
//! - [`failpoints`]: where a test makes an engine die
//!
//! Inside: `registry` knows which containers there are; `container` is one as the others see it; `supervise` is its
//! task; `create`, `start`, `update`, `lifecycle`, `exec`, `attach`, `logs`, `list`, `inspect`, `top`, `prune`, `stats`,
//! `commit` are the operations; `oom` explains an OOM kill; `reconcile` takes over what an earlier engine left; `rest`
//! gives memory back; `shim_client` talks to shims; `ready` has some wait for work.
//! `copy`, `export`, `roots`, `tree` and `gate` are about a container's files: the operations, how its root is reached,
//! paths in it, and who may write when.
//!
//! Knows nothing of HTTP.

#![forbid(unsafe_code)]

mod attach;
pub mod capabilities;
mod commit;
mod container;
mod copy;
mod create;
pub mod detach_keys;
pub mod devices;
mod endpoints;
pub mod engine;
pub mod error;
pub mod events;
mod exec;
mod export;
pub mod failpoints;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
pub mod health;
pub mod host;
mod inspect;
pub mod layout;
mod lifecycle;
mod list;
pub mod log_config;
mod logs;
pub mod merge;
pub mod modes;
pub mod mounts;
pub mod names;
mod oom;
pub mod params;
pub mod pipe;
mod prune;
mod ready;
mod reconcile;
pub mod record;
mod registry;
pub mod resources;
mod rest;
mod restart;
mod roots;
pub mod seccomp_profile;
pub mod security;
mod shared;
mod shim_client;
pub mod signals;
pub mod spec;
mod start;
pub mod state;
mod stats;
mod store;
mod supervise;
pub mod time;
mod top;
mod tree;
mod update;

pub use create::LOOPBACK_ONLY;
pub use engine::{Counts, Engine};
pub use error::{EngineError, ErrorKind};
