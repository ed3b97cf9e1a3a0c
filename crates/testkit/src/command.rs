//! Running one command to its end, with a deadline.

use std::io::{self, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::Output;

/// Longest time a command may take before its test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// Runs `command` with `stdin` as its standard input and waits for its end.
///
/// # Panics
/// When the command cannot be started or does not end in time.
pub(crate) fn run(mut command: Command, shown: &str, stdin: &[u8], deadline: Duration) -> Output {
    command.process_group(0);
    command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let input = stdin.to_vec();
    if let Some(mut pipe) = child.stdin.take() {
        // A command that does not read its input is no failure of the test kit.
        std::thread::spawn(move || pipe.write_all(&input));
    }
    let end = Instant::now() + deadline;
    let status = wait(&mut child, deadline);
    if status.is_none() {
        end_group(&mut child);
    }
    // A background process that inherited the output keeps `$(…)` waiting in a user's shell: a failure too.
    let grace = end.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
    let (stdout, stderr) = (stdout.recv_timeout(grace), stderr.recv_timeout(grace));
    let command = shown.to_owned();
    match (status, stdout, stderr) {
        (Some(status), Ok(stdout), Ok(stderr)) => Output { command, code: exit_code(status), stdout, stderr },
        (Some(_), _, _) => panic!("`{command}` ended, but something it left running holds its output open"),
        (None, stdout, stderr) => panic!(
            "`{command}` was still running after {} s\n--- stdout\n{}\n--- stderr\n{}",
            deadline.as_secs(),
            String::from_utf8_lossy(&stdout.unwrap_or_default()),
            String::from_utf8_lossy(&stderr.unwrap_or_default())
        ),
    }
}

/// Reads the pipe to its end in the background.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _: io::Result<usize> = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

/// Waits for the child at most that long.
pub(crate) fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    let pidfd = pidfd_open(pid_of(child), PidfdFlags::empty()).ok()?;
    let end = Instant::now() + deadline;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok()?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return None,
            Ok(_) => return child.wait().ok(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Kills the child's whole process group and reaps the child.
pub(crate) fn end_group(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        // The group's leader is not reaped yet, so the number cannot belong to anybody else.
        let _ = kill_process_group(pid_of(child), Signal::KILL);
        let _ = child.wait();
    }
}

/// Exit code as a shell gives it.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn pid_of(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid is a positive i32")
}
