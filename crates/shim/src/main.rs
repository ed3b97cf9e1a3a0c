//! `corten-shim`: parent of one container. Started by the daemon with its control connection as standard input; see
//! crate `shim`.

#![forbid(unsafe_code)]

use std::io;

use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags, openat};
use shim::supervisor::Supervisor;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> io::Result<()> {
    let control = rustix::stdio::stdin().try_clone_to_owned()?;
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    drop(null);
    // Executed through a descriptor, the program would be called by that descriptor's number.
    rustix::thread::set_name(c"corten-shim")?;
    Supervisor::new(control)?.run()
}
