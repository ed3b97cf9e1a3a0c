//! The daemon: sockets, configuration, signals; wiring only.
//!
//! **Invariant:** stopping the daemon, however it happens, stops no container.
//!
//! - `args`: the command line; `tolerated`: Docker's flags that change nothing here
//! - `config`: the configuration file; `settings`: what file and flags come to
//! - `state`: directories, lock, pid file, engine id
//! - `listen`: sockets; `group`: who may use them
//! - `process`: limits of this process, where the shim is
//! - `logging`, `notify`: talking to the administrator and to the service manager
//! - `run`: from start to stop
//!
//! Knows nothing of HTTP and of containers.

#![forbid(unsafe_code)]

mod args;
mod config;
mod group;
mod listen;
mod logging;
mod notify;
mod process;
mod run;
mod settings;
mod state;
mod tolerated;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the daemon until it is told to stop.
///
/// `args` begins with the name it was called by: `daemon` (of `corten daemon`), or `dockerd`, which serves Docker's
/// socket when no other is named.
pub fn main(args: Vec<OsString>) -> ExitCode {
    // Started by the command line through /proc/self/exe, the process would be called `exe`, and nobody would find it.
    let _ = rustix::thread::set_name(c"corten");
    run::main(args)
}
