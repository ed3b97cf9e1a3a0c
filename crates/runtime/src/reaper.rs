//! The first process of a container that asks for one (`--init`): it runs the user's program as its child, hands
//! signals on to it, and reaps what loses its parent.
//!
//! It is executed from a descriptor of the host's, so that no path of the image leads to it and none is covered by it.
//! It lives under the container's own system call filter and needs nothing unusual.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use linux::clone::{Child, CloneArgs, spawn};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::WaitOptions;

use crate::error::StartError;
use crate::program;

/// What it is called by: Docker's name, which people look for in process lists.
pub const NAME: &CStr = c"/sbin/docker-init";

/// Ends the options of the command line; the user's program follows.
const END_OF_OPTIONS: &CStr = c"--";

/// Signals about the process itself: its own faults, and what cannot be held back.
const OWN: [i32; 9] = [
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGSYS,
    libc::SIGKILL,
    libc::SIGSTOP,
];

/// Signals that are not handed on: they are about a child of this process, or about this process and its terminal.
const KEPT: [i32; 3] = [libc::SIGCHLD, libc::SIGTTIN, libc::SIGTTOU];

/// Numbers that the C library keeps for itself.
const LIBRARY: std::ops::RangeInclusive<i32> = 32..=33;

/// Size of `struct signalfd_siginfo`, which begins with the signal's number.
const SIGNAL_INFO: usize = 128;

/// The command line that makes [`is_wanted`] true, around the user's.
pub(crate) fn arguments(program: &[CString]) -> Vec<CString> {
    [NAME, END_OF_OPTIONS].into_iter().map(CStr::to_owned).chain(program.iter().cloned()).collect()
}

/// Whether this process was executed to be a container's first process.
pub fn is_wanted() -> bool {
    std::env::args_os().next().is_some_and(|name| name.as_bytes() == NAME.to_bytes())
}

/// Runs the command line after `--` until it ends: its exit code, or 128 + signal.
pub fn run() -> u8 {
    // Executed through a descriptor, the program would be called by that descriptor's number.
    let _ = rustix::thread::set_name(c"docker-init");
    let program: Vec<OsString> = std::env::args_os().skip(2).collect();
    match supervise(&program) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("cannot look after the container's processes: {error}"));
            255
        }
    }
}

/// On standard error: the container's log is where its user looks.
fn tell(text: &str) {
    let _ = io::Write::write_all(&mut io::stderr(), format!("docker-init: {text}\n").as_bytes());
}

fn supervise(program: &[OsString]) -> io::Result<u8> {
    let blocked: Vec<i32> =
        (1..=64).filter(|signal| !OWN.contains(signal) && !LIBRARY.contains(signal)).collect();
    let signals = linux::event::signal_fd(&blocked, &blocked)?;
    let child = start(program)?;
    loop {
        rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&signals, PollFlags::IN)], None))?;
        hand_on(&signals, &child)?;
        if let Some(code) = reap(&child)? {
            return Ok(code);
        }
    }
}

/// Starts the program in a process group of its own, in the foreground of the terminal if there is one: what the
/// terminal sends to the foreground must not reach the program twice.
fn start(program: &[OsString]) -> io::Result<Child> {
    let words = program.iter().map(|word| CString::new(word.as_bytes()));
    let args = words.collect::<Result<Vec<_>, _>>()?;
    let variable = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        CString::new(name.into_vec())
    };
    let env = std::env::vars_os().map(variable).collect::<Result<Vec<_>, _>>()?;
    spawn(&CloneArgs::default(), |forked| {
        let own = rustix::process::getpid();
        // SIGTTOU is still blocked, so that this does not stop the process; without a terminal it just fails.
        let _ = rustix::process::setpgid(None, None);
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), own);
        forked.reset_signals();
        let error = execute(program, &args, &env);
        tell(&error.to_string());
        error.exit_code()
    })
}

fn execute(program: &[OsString], args: &[CString], env: &[CString]) -> StartError {
    let name = program.first().and_then(|name| name.to_str()).unwrap_or_default();
    match program::look_up(name, std::env::var("PATH").ok().as_deref()) {
        Ok(path) => program::explain(name, &path, linux::process::execve(&path, args, env)),
        Err(error) => error,
    }
}

fn hand_on(signals: &OwnedFd, child: &Child) -> io::Result<()> {
    let mut info = [0_u8; SIGNAL_INFO];
    loop {
        match rustix::io::read(signals, &mut info) {
            Ok(SIGNAL_INFO) => {}
            Ok(_) | Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let number = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
        if !KEPT.contains(&number) {
            // It may have ended, which is seen next; or be a setuid program of another user.
            let _ = linux::event::send_signal(child.pidfd.as_fd(), number);
        }
    }
}

/// Reaps everything that has ended; the program's end is told.
fn reap(child: &Child) -> io::Result<Option<u8>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == child.pid => {
                let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                return Ok(Some(u8::try_from(code.unwrap_or(255)).unwrap_or(255)));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
