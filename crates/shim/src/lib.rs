//! The shim: parent process of one container, which outlives the daemon.
//!
//! - [`protocol`]: records on the socket between daemon and shim; [`codec`] makes their bytes
//! - [`plan`]: what the engine hands over
//! - [`oom`]: whose memory limit it was killed for, on disk
//! - [`record`]: the exit record on disk
//! - [`failpoints`]: where a test makes a shim die
//! - [`spawn`]: starting a shim, connecting to one, sending and receiving
//! - [`supervisor`]: what the program `corten-shim` does

#![forbid(unsafe_code)]

pub mod codec;
pub mod failpoints;
pub mod oom;
pub mod plan;
pub mod protocol;
pub mod record;
pub mod spawn;
pub mod supervisor;
