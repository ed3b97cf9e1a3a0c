//! One process of the container, init or exec'd, and our ends of its standard streams.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use runtime::cgroup::Cgroup;
use rustix::fs::OFlags;
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::process::WaitStatus;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{Winsize, tcsetwinsize};

use super::poller::{EventFlags, Poller, Token, Watched};
use super::stdio::Ends;
use super::stream::Stream;
use crate::protocol::{Exit, ProcessState, Target};

/// Typed bytes that may wait for the process.
const INPUT_LIMIT: usize = 64 * 1024;

/// A process, from its creation until its end has been told.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) target: Target,
    pub(super) pid: i32,
    pidfd: OwnedFd,
    pub(super) phase: Phase,
    input: Option<Input>,
    outputs: [Option<Watched>; 2],
    terminal: Option<Terminal>,
    /// The end of the first client's input is the end of the process's.
    pub(super) ends_with_client: bool,
    /// It is killed when its client leaves, and its end is not remembered.
    pub(super) tied: bool,
    /// Where it and what it started are kept apart.
    pub(super) scope: Option<Cgroup>,
}

/// Where a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Created,
    Running,
    /// Reaped; its output is awaited until `deadline` at most, in case somebody else holds its pipes.
    Ended {
        exit: Exit,
        deadline: Instant,
    },
    /// Its end has been told. What is left of it is output of processes that it left behind, which is read and
    /// dropped, so that they do not die of a broken pipe.
    Told(Exit),
}

/// The master of a pseudo-terminal.
#[derive(Debug)]
struct Terminal {
    master: OwnedFd,
    /// Our own hold on the slave: a process that closes all of its descriptors of the terminal, and opens it again
    /// later, would make the master report a hang-up in between.
    slave: Option<OwnedFd>,
}

/// Way to a process's standard input.
#[derive(Debug)]
struct Input {
    sink: Watched,
    queue: VecDeque<u8>,
    closing: bool,
}

impl Process {
    /// Takes the process's streams into our care. `number` is the one in the tokens.
    pub(super) fn new(
        poller: &Poller,
        number: u32,
        target: Target,
        (pid, pidfd): (i32, OwnedFd),
        ends: Ends,
        console: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let mut process = Self {
            target,
            pid,
            pidfd,
            phase: Phase::Created,
            input: None,
            outputs: [None, None],
            terminal: None,
            ends_with_client: false,
            tied: false,
            scope: None,
        };
        let (mut stdin, mut stdout) = (ends.stdin, ends.stdout);
        if let Some(master) = console {
            rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let slave = ioctl_tiocgptpeer(&master, flags)?;
            stdin = Some(fcntl_dupfd_cloexec(&master, 0)?);
            stdout = Some(fcntl_dupfd_cloexec(&master, 0)?);
            process.terminal = Some(Terminal { master, slave: Some(slave) });
        }
        process.input = stdin.map(|fd| Input {
            sink: poller.adopt(fd, Token::Input(number)),
            queue: VecDeque::new(),
            closing: false,
        });
        let adopt = |fd, stream| poller.adopt(fd, Token::Output(number, stream));
        process.outputs =
            [stdout.map(|fd| adopt(fd, Stream::Stdout)), ends.stderr.map(|fd| adopt(fd, Stream::Stderr))];
        process.watch_output(true)?;
        Ok(process)
    }

    pub(super) fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// As in the protocol.
    pub(super) fn state(&self) -> ProcessState {
        match self.phase {
            Phase::Created => ProcessState::Created { pid: self.pid },
            Phase::Running | Phase::Ended { .. } => ProcessState::Running { pid: self.pid },
            Phase::Told(exit) => ProcessState::Exited(exit),
        }
    }

    /// It has not been reaped.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Created | Phase::Running)
    }

    /// Its end is known, and its output has been read or has been waited for until `now`.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Ended { deadline, .. } => self.output_ended() || now >= deadline,
            Phase::Created | Phase::Running | Phase::Told(_) => false,
        }
    }

    /// Its end has been told, and nobody writes to what was its output.
    pub(super) fn is_forgotten(&self) -> bool {
        matches!(self.phase, Phase::Told(_)) && self.output_ended()
    }

    /// Until when its output is waited for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ended { deadline, .. } => Some(deadline),
            Phase::Created | Phase::Running | Phase::Told(_) => None,
        }
    }

    /// Its end is known but not told yet.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    pub(super) fn signal(&self, number: i32) -> io::Result<()> {
        if !self.is_alive() {
            return Err(Errno::SRCH.into());
        }
        // The kernel knows real-time signals as well; rustix's named constructor does not.
        linux::event::send_signal(self.pidfd.as_fd(), number)
    }

    /// Kills it and everything that it started, as far as that is known.
    pub(super) fn kill_all(&self) {
        // It may have ended; what it started has not.
        let _ = self.signal(libc::SIGKILL);
        if let Some(scope) = &self.scope {
            let _ = scope.kill();
        }
    }

    /// Sets the terminal's size. False: it has no terminal.
    pub(super) fn resize(&self, height: u16, width: u16) -> io::Result<bool> {
        let Some(terminal) = &self.terminal else { return Ok(false) };
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal.master, size)?;
        Ok(true)
    }

    /// Lets go of the terminal's slave, so that the master reports the end when nobody else holds it either.
    pub(super) fn release_terminal(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.slave = None;
        }
    }

    // ---- input ----

    /// How many more bytes of input may be queued; none: there is no way to its input (any more).
    pub(super) fn input_room(&self) -> Option<usize> {
        let input = self.input.as_ref().filter(|input| !input.closing)?;
        Some(INPUT_LIMIT.saturating_sub(input.queue.len()))
    }

    /// Gives bytes to the process, or queues what it does not take now.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if let Some(input) = self.input.as_mut().filter(|input| !input.closing) {
            input.queue.extend(bytes);
            self.flush_input();
        }
    }

    /// Closes its standard input after what is queued. A terminal stays open.
    pub(super) fn close_input(&mut self) {
        if self.terminal.is_some() {
            return;
        }
        if let Some(input) = &mut self.input {
            input.closing = true;
            self.flush_input();
        }
    }

    /// Writes what the process takes.
    pub(super) fn flush_input(&mut self) {
        let Some(input) = &mut self.input else { return };
        let open = loop {
            let (bytes, _) = input.queue.as_slices();
            if bytes.is_empty() {
                break !input.closing;
            }
            match write(&input.sink, bytes) {
                Ok(count) => drop(input.queue.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break true,
                // It has closed its standard input, or is gone.
                Err(_) => break false,
            }
        };
        let interest = if input.queue.is_empty() { None } else { Some(EventFlags::OUT) };
        if input.queue.is_empty() {
            input.queue = VecDeque::new();
        }
        if !open || input.sink.watch(interest).is_err() {
            self.input = None;
        }
    }

    // ---- output ----

    /// Starts or stops reading its output.
    pub(super) fn watch_output(&mut self, reading: bool) -> io::Result<()> {
        for output in self.outputs.iter_mut().flatten() {
            output.watch(reading.then_some(EventFlags::IN))?;
        }
        Ok(())
    }

    /// Reads output: how much there was; none at the end of the stream, which is closed then.
    pub(super) fn read_output(&mut self, stream: Stream, buffer: &mut [u8]) -> Option<usize> {
        let slot = &mut self.outputs[stream.index()];
        match read(slot.as_ref()?, buffer) {
            Ok(count @ 1..) => Some(count),
            Err(Errno::AGAIN | Errno::INTR) => Some(0),
            // A terminal that nobody holds any more answers EIO.
            Ok(_) | Err(_) => {
                *slot = None;
                None
            }
        }
    }

    /// All of its output has been read to the end.
    pub(super) fn output_ended(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }

    /// Drops every stream.
    pub(super) fn close_streams(&mut self) {
        self.input = None;
        self.outputs = [None, None];
        self.terminal = None;
    }

    /// Drops everything but output that somebody else may still write to.
    pub(super) fn keep_output_only(&mut self) {
        self.input = None;
        self.terminal = None;
    }
}

/// `docker`'s exit code of a wait status: 0 … 255, 128 + n for signal n.
pub(super) fn exit_code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}
