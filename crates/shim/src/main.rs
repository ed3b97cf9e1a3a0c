//! `corten-shim`: parent of one container. Started by the daemon with its control connection as standard input; see
//! crate `shim`. By another name it is the first process of a container that asks for one; see `runtime::reaper`.

#![forbid(unsafe_code)]

use std::io::{self, Write};

use std::process::ExitCode;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{SocketType, sockopt::socket_type};
use shim::supervisor::Supervisor;

fn main() -> ExitCode {
    if runtime::reaper::is_wanted() {
        return ExitCode::from(runtime::reaper::run());
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // /dev/null when a daemon started us, else somebody who wants to know.
            let _ = writeln!(io::stderr(), "corten-shim: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the list of failpoints, in place of everything else.
const LIST_FAILPOINTS: &str = "--list-failpoints";

fn run() -> io::Result<()> {
    let points = [shim::failpoints::ALL, runtime::failpoints::ALL];
    if std::env::args_os().nth(1).is_some_and(|argument| argument == LIST_FAILPOINTS) {
        return points.concat().iter().try_for_each(|point| writeln!(io::stdout(), "{point}"));
    }
    // The daemon has looked whether there are such points.
    failpoints::arm_own(&points).map_err(io::Error::other)?;
    let control = rustix::stdio::stdin().try_clone_to_owned()?;
    if socket_type(&control).ok() != Some(SocketType::SEQPACKET) {
        return Err(io::Error::other("this program is started by the corten daemon, not by hand"));
    }
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    drop(null);
    let mut supervisor = Supervisor::new(control)?;
    if std::env::args_os().nth(1).is_some_and(|argument| argument == shim::spawn::READY) {
        supervisor.prepare();
        rustix::thread::set_name(c"corten-ready")?;
    } else {
        // Executed through a descriptor, the program would be called by that descriptor's number.
        rustix::thread::set_name(shim::supervisor::NAME)?;
    }
    supervisor.run()
}
