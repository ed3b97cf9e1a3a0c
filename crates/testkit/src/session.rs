//! A command that goes on while the test does other things: on a terminal of its own, or with pipes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::{command, wait};

/// A running command. It is killed when dropped.
#[derive(Debug)]
pub struct Session {
    shown: String,
    child: Child,
    /// Terminal of the session, if it has one.
    terminal: Option<File>,
    /// Standard input, unless closed.
    stdin: Option<Box<dyn WriteDebug>>,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    /// Bytes of standard output that `expect` has passed.
    seen: usize,
}

trait WriteDebug: Write + std::fmt::Debug + Send {}
impl<T: Write + std::fmt::Debug + Send> WriteDebug for T {}

/// What has arrived so far.
#[derive(Debug, Default)]
struct Stream {
    state: Mutex<(Vec<u8>, bool)>,
    grown: Condvar,
}

impl Session {
    /// Starts the command with pipes.
    pub(crate) fn with_pipes(command: Command, shown: &str) -> Self {
        Self::with_input(command, shown, Stdio::piped())
    }

    /// Starts the command with this as its standard input.
    pub(crate) fn with_input(mut command: Command, shown: &str, input: Stdio) -> Self {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
        let stdin = child.stdin.take().map(|pipe| Box::new(pipe) as Box<dyn WriteDebug>);
        let stdout = Stream::follow(child.stdout.take());
        let stderr = Stream::follow(child.stderr.take());
        Self { shown: shown.to_owned(), child, terminal: None, stdin, stdout, stderr, seen: 0 }
    }

    /// Starts the command on a terminal of 24 by 80, as leader of its session.
    pub(crate) fn on_terminal(inner: &Command, shown: &str) -> Self {
        let (master, slave) = open_terminal().expect("a new pseudo terminal");
        // setsid(1), because taking a controlling terminal needs a step between fork and exec.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("duplicate of a terminal"));
        command.stdin(end(&slave)).stdout(end(&slave)).stderr(Stdio::from(slave));
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{shown}`: {error}"));
        // The command holds the slave; with it here, the end of the session would never be seen.
        drop(command);
        let master = File::from(master);
        let copy = || master.try_clone().expect("duplicate of a terminal");
        let stdout = Stream::follow(Some(copy()));
        let stdin: Option<Box<dyn WriteDebug>> = Some(Box::new(copy()));
        Self {
            shown: shown.to_owned(),
            child,
            stdin,
            terminal: Some(master),
            stdout,
            stderr: Arc::default(),
            seen: 0,
        }
    }

    /// Types text.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input was not closed");
        let written = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
        if let Err(error) = written {
            panic!("cannot write to `{}`: {error}\n{}", self.shown, self.transcript());
        }
    }

    /// Closes standard input (with pipes; a terminal's end is typed as Ctrl-D).
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until `wanted` appears on standard output after what was expected before; gives what came up to its end.
    #[track_caller]
    pub fn expect(&mut self, wanted: &str) -> String {
        match self.stdout.wait_for(self.seen, wanted.as_bytes(), wait::PATIENCE) {
            Some(end) => {
                let text = self.stdout.text(self.seen, end);
                self.seen = end;
                text
            }
            None => panic!("`{}` did not print {wanted:?}\n{}", self.shown, self.transcript()),
        }
    }

    /// Waits until `wanted` appears on standard error.
    #[track_caller]
    pub fn expect_stderr(&self, wanted: &str) {
        if self.stderr.wait_for(0, wanted.as_bytes(), wait::PATIENCE).is_none() {
            panic!("`{}` did not print {wanted:?} on stderr\n{}", self.shown, self.transcript());
        }
    }

    /// Everything on standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text(0, usize::MAX)
    }

    /// Everything on standard error so far (a terminal has only one stream: [`stdout`](Self::stdout)).
    pub fn stderr(&self) -> String {
        self.stderr.text(0, usize::MAX)
    }

    /// Waits for the command's end: its exit code, 128 + n after signal n.
    #[track_caller]
    pub fn exit_code(&mut self) -> i32 {
        match command::wait(&mut self.child, wait::PATIENCE) {
            Some(status) => {
                self.stdout.wait_for_end(Duration::from_secs(1));
                self.stderr.wait_for_end(Duration::from_secs(1));
                command::exit_code(status)
            }
            None => panic!("`{}` did not end\n{}", self.shown, self.transcript()),
        }
    }

    /// Whether the command still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the command itself.
    #[track_caller]
    pub fn signal(&mut self, signal: Signal) {
        assert!(self.is_running(), "`{}` has ended", self.shown);
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid is positive");
        kill_process(pid, signal).expect("the child is not reaped yet");
    }

    /// Gives the terminal another size.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        let terminal = self.terminal.as_ref().expect("the session has a terminal");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(terminal, size).expect("size of a terminal");
    }

    fn transcript(&self) -> String {
        format!("--- stdout so far\n{}\n--- stderr so far\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        command::end_group(&mut self.child);
    }
}

impl Stream {
    fn follow(source: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let copy = Arc::clone(&stream);
        if let Some(mut source) = source {
            std::thread::spawn(move || {
                let mut buffer = [0; 16384];
                // A terminal whose last process left answers EIO: an end like any other.
                while let Ok(count @ 1..) = source.read(&mut buffer) {
                    copy.lock().0.extend_from_slice(&buffer[..count]);
                    copy.grown.notify_all();
                }
                copy.lock().1 = true;
                copy.grown.notify_all();
            });
        }
        stream
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<u8>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self, from: usize, to: usize) -> String {
        let state = self.lock();
        String::from_utf8_lossy(&state.0[from..to.min(state.0.len())]).into_owned()
    }

    /// Position after the first `wanted` at or after `from`.
    fn wait_for(&self, from: usize, wanted: &[u8], patience: Duration) -> Option<usize> {
        let mut found = None;
        self.wait_until(patience, |bytes, _| {
            found = bytes[from..].windows(wanted.len()).position(|part| part == wanted);
            found.is_some()
        });
        found.map(|at| from + at + wanted.len())
    }

    fn wait_for_end(&self, patience: Duration) {
        self.wait_until(patience, |_, ended| ended);
    }

    fn wait_until(&self, patience: Duration, mut done: impl FnMut(&[u8], bool) -> bool) {
        let end = Instant::now() + patience;
        let mut state = self.lock();
        while !done(&state.0, state.1) && !state.1 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn open_terminal() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 })?;
    Ok((master, slave))
}
