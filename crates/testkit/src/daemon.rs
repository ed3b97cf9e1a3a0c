//! The daemon of one host: started, stopped, killed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Sandbox, binaries, command, http, wait};

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts the daemon in the sandbox and waits until it answers.
    #[track_caller]
    pub(crate) fn start(sandbox: &Sandbox, flags: &str) -> Self {
        let (daemon, up) = Self::launch(sandbox, flags, None);
        assert!(up, "the daemon did not come up\n{}", log_of(sandbox));
        daemon
    }

    /// The same with a failpoint armed, and whether it answers or has ended before.
    #[track_caller]
    pub(crate) fn launch(sandbox: &Sandbox, flags: &str, failpoint: Option<&str>) -> (Self, bool) {
        for name in binaries::NAMES {
            binaries::program(name);
        }
        let root = sandbox.root();
        let log = File::options().create(true).append(true).open(root.join("daemon.log"));
        let log = log.expect("log file of the daemon");
        let line = format!(
            "exec corten daemon --data-root {0}/data --exec-root {0}/exec --pidfile {0}/pid \
             -H unix://{1} --log-level debug {flags}",
            root.display(),
            sandbox.socket().display()
        );
        let mut command = sandbox.command(&line);
        command.process_group(0).stdin(Stdio::null());
        command.envs(failpoint.map(|armed| ("CORTEN_FAIL", armed)));
        command.stdout(log.try_clone().expect("duplicate of the log")).stderr(log);
        let mut child = command.spawn().expect("nsenter of util-linux");
        let mut ended = None;
        let up = wait::within(wait::PATIENCE, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some()
                || http::request(&sandbox.socket(), "GET", "/_ping", None).is_ok_and(|a| a.status == 200)
        });
        (Self { child }, up && ended.is_none())
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and the end of the daemon.
    #[track_caller]
    pub(crate) fn stop(&mut self, sandbox: &Sandbox) {
        self.signal(Signal::TERM);
        let status = command::wait(&mut self.child, wait::PATIENCE);
        match status {
            Some(status) if status.success() => {}
            other => {
                panic!("the daemon did not stop on SIGTERM as it should ({other:?})\n{}", log_of(sandbox))
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = command::wait(&mut self.child, Duration::from_secs(10));
    }

    fn signal(&mut self, signal: Signal) {
        if let Ok(None) = self.child.try_wait() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            let _ = kill_process(pid.expect("a pid is positive"), signal);
        }
    }
}

/// The last lines of the daemon's log, for a failed test.
pub(crate) fn log_of(sandbox: &Sandbox) -> String {
    let text = fs::read_to_string(sandbox.root().join("daemon.log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    format!("--- daemon.log, last lines\n{}", lines[lines.len().saturating_sub(40)..].join("\n"))
}
