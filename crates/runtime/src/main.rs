//! `corten-runtime`: an OCI runtime with runc's command line, so that containerd, Podman and CRI-O can use it.
//!
//! A thin shell around the library of the same crate. It starts in a fraction of a millisecond: no argument-parsing
//! library, no threads, no allocation worth the name before the work begins.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os().collect())
}
