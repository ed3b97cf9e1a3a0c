//! The shim: parent process of one container, which outlives the daemon.
//!
//! - [`protocol`]: records on the socket between daemon and shim
//! - [`plan`]: what the engine hands over
//! - [`record`]: the exit record on disk

pub mod plan;
pub mod protocol;
pub mod record;
