//! Hooks: programs of the specification's author, run at fixed points of a container's life.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use linux::clone::{Child, CloneArgs, spawn};
use oci::runtime::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::error::StartError;

/// Runs hooks in order, each with `state` as JSON on its standard input. The first that fails ends it.
pub fn run(name: &str, hooks: &[Hook], state: &State) -> Result<(), StartError> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = serde_json::to_vec(state)
        .map_err(|error| StartError::new(format!("write state for {name} hooks"), error.into()))?;
    for (index, hook) in hooks.iter().enumerate() {
        let path = hook.path.display().to_string();
        let step = || format!("error running {name} hook #{index} {path:?}");
        let failed = |error| StartError::new(step(), error).about(&*path);
        match run_one(hook, &state).map_err(failed)? {
            Outcome::Succeeded => {}
            Outcome::Failed(how) => return Err(StartError::refused(step(), how).about(&*path)),
        }
    }
    Ok(())
}

enum Outcome {
    Succeeded,
    Failed(String),
}

fn run_one(hook: &Hook, state: &[u8]) -> io::Result<Outcome> {
    let child = start(hook, state)?;
    let limit = hook
        .timeout
        .map(|seconds| Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: 0 });
    let mut waiting = [PollFd::new(&child.pidfd, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| poll(&mut waiting, limit.as_ref()))? > 0;
    if !ended {
        // The number is ours as long as the hook is not reaped.
        match rustix::process::Pid::from_raw(child.pid) {
            Some(group) => rustix::process::kill_process_group(group, Signal::KILL)?,
            None => pidfd_send_signal(&child.pidfd, Signal::KILL)?,
        }
    }
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    let status = status.ok_or(io::ErrorKind::NotFound)?;
    Ok(match (ended, status.exit_status(), status.terminating_signal()) {
        (false, ..) => {
            Outcome::Failed(format!("it did not end within {} s", hook.timeout.unwrap_or_default()))
        }
        (true, Some(0), _) => Outcome::Succeeded,
        (true, Some(127), _) => Outcome::Failed("no such file or directory (exit status 127)".into()),
        (true, Some(code), _) => Outcome::Failed(format!("exit status {code}")),
        (true, None, signal) => Outcome::Failed(format!("signal {}", signal.unwrap_or_default())),
    })
}

/// Starts a hook in a process group of its own.
fn start(hook: &Hook, state: &[u8]) -> io::Result<Child> {
    let c_string = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::from);
    let path = c_string(hook.path.as_os_str().as_bytes())?;
    let args = match &hook.args[..] {
        [] => vec![path.clone()],
        args => args.iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<_, _>>()?,
    };
    let env = hook.env.iter().map(|var| c_string(var.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    // A file in memory takes any amount at once; a pipe would need somebody to feed it.
    let input = File::from(linux::memfd::sealed("state", &[state])?);
    io::Seek::seek(&mut &input, io::SeekFrom::Start(0))?;
    spawn(&CloneArgs::default(), |forked| {
        forked.reset_signals();
        // So that what a hook has started goes with it.
        let _ = rustix::process::setsid();
        if rustix::stdio::dup2_stdin(&input).is_err() || linux::clone::close_on_exec_from(3).is_err() {
            return 126;
        }
        let error = linux::process::execve(&path, &args, &env);
        error.raw_os_error().map_or(126, |errno| if errno == libc::ENOENT { 127 } else { 126 })
    })
}
