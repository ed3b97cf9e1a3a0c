//! Attached streams: standard input to the engine, the engine's output to standard output and error.
//!
//! Each direction is copied by a thread of its own, with blocking calls, so that whoever does not read our output
//! holds up neither the input nor a signal. The threads end with their stream or with the process; nothing waits for
//! a read of standard input to return.
//!
//! - [`terminal`]: raw mode, for as long as a terminal is attached
//! - [`detach`]: the key sequence that leaves a container running
//! - [`ending`]: the exit code, also when the daemon dies before the container
//! - [`signals`]: signals to the container, window size to its terminal

pub(crate) mod detach;
pub(crate) mod ending;
pub(crate) mod signals;
pub(crate) mod terminal;

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use api_client::frames;
use api_client::hijack::{HijackReader, HijackWriter, Hijacked};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::oneshot;

use self::detach::Detach;
use self::terminal::RawMode;
use crate::error::CommandError;

/// Told when the user typed the detach keys, by commands that then fail.
pub(crate) const DETACHED: &str = "read escape sequence";

/// What is attached, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    /// Standard input is sent.
    pub(crate) stdin: bool,
    /// Output is wanted.
    pub(crate) stdout: bool,
    /// Errors are wanted.
    pub(crate) stderr: bool,
    /// The other side is a terminal: output is raw, and ours becomes raw too.
    pub(crate) tty: bool,
    /// Detach key sequence; empty: the default one.
    pub(crate) detach_keys: String,
}

/// How an attached session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The streams have ended.
    Closed,
    /// The user typed the detach keys.
    Detached,
}

/// A running session.
pub(crate) struct Session {
    output: Option<oneshot::Receiver<io::Result<()>>>,
    input: Option<oneshot::Receiver<io::Result<End>>>,
    connection: HijackWriter,
    hung_up: bool,
    /// Puts the terminal back when the session is dropped.
    _raw: Option<RawMode>,
}

impl Session {
    /// Starts copying. With a terminal on both sides, ours is raw until the session is dropped.
    pub(crate) fn start(hijacked: Hijacked, streams: &Streams) -> Result<Self, CommandError> {
        let keys = Detach::parse(&streams.detach_keys).map_err(CommandError::new)?;
        let raw = match streams.stdin && streams.tty {
            true => RawMode::enter().map_err(|error| {
                CommandError::new(format!(
                    "unable to set IO streams as raw terminal: {}",
                    crate::error::go_error(&error)
                ))
            })?,
            false => None,
        };
        let Hijacked { reader, writer, .. } = hijacked;
        let connection = writer.try_clone()?;
        let output = (streams.stdout || streams.stderr).then(|| {
            let streams = streams.clone();
            spawn(move || copy_output(reader, &streams))
        });
        let input = match streams.stdin {
            true => {
                let keys = streams.tty.then_some(keys);
                Some(spawn(move || copy_input(writer, keys)))
            }
            false => {
                // The other side has gone if this fails, which the output tells.
                let _ = writer.close();
                None
            }
        };
        Ok(Self { output, input, connection, hung_up: false, _raw: raw })
    }

    /// Waits until the output has ended, the user has detached, or, without output, the input has ended.
    pub(crate) async fn end(&mut self) -> Result<End, CommandError> {
        let has_output = self.output.is_some();
        if self.hung_up && !has_output {
            // The input may be a terminal at which nobody will type again.
            return Ok(End::Closed);
        }
        loop {
            tokio::select! {
                ended = receive(&mut self.output), if self.output.is_some() => {
                    self.output = None;
                    ended?;
                    return Ok(End::Closed);
                }
                ended = receive(&mut self.input), if self.input.is_some() => {
                    self.input = None;
                    match ended {
                        Ok(End::Detached) => return Ok(End::Detached),
                        // What ails the connection shows on the side of the output too.
                        _ if has_output => {}
                        _ => return Ok(End::Closed),
                    }
                }
                else => return Ok(End::Closed),
            }
        }
    }

    /// Ends the connection, so that [`Self::end`] returns.
    pub(crate) fn hang_up(&mut self) {
        self.hung_up = true;
        let _ = self.connection.hang_up();
    }
}

async fn receive<T>(receiver: &mut Option<oneshot::Receiver<io::Result<T>>>) -> io::Result<T> {
    match receiver {
        Some(receiver) => {
            receiver.await.unwrap_or_else(|_| Err(io::Error::other("a copying thread has died")))
        }
        None => std::future::pending().await,
    }
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody waits any more if the command has ended.
        let _ = sender.send(work());
    });
    receiver
}

fn copy_output(mut reader: HijackReader, streams: &Streams) -> io::Result<()> {
    if streams.tty {
        return copy(&mut reader, &mut Stream::stdout());
    }
    let stdout = streams.stdout.then(Stream::stdout);
    let stderr = streams.stderr.then(Stream::stderr);
    frames::demultiplex(reader, stdout, stderr)
}

/// Copies to the end of `reader`.
fn copy(reader: &mut impl Read, writer: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => writer.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A reset is how a terminal's other side ends when the engine goes down with it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn copy_input(mut writer: HijackWriter, mut keys: Option<Detach>) -> io::Result<End> {
    let mut buffer = vec![0; 32 * 1024];
    let mut stdin = Stream::stdin();
    loop {
        let count = match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match &mut keys {
            None => writer.write_all(&buffer[..count])?,
            Some(keys) => {
                let (pass, detached) = keys.feed(&buffer[..count]);
                writer.write_all(&pass)?;
                if detached {
                    return Ok(End::Detached);
                }
            }
        }
    }
    // The other side may have closed first.
    let _ = writer.close();
    Ok(End::Closed)
}

/// One of the standard streams, without a buffer, also when somebody has made it non-blocking.
struct Stream(BorrowedFd<'static>);

impl Stream {
    fn stdin() -> Self {
        Self(rustix::stdio::stdin())
    }

    fn stdout() -> Self {
        Self(rustix::stdio::stdout())
    }

    fn stderr() -> Self {
        Self(rustix::stdio::stderr())
    }

    /// Does `operation` again once the stream is ready, as often as it takes.
    fn when_ready<T>(
        &self,
        flags: PollFlags,
        mut operation: impl FnMut() -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match operation() {
                Err(rustix::io::Errno::AGAIN) => {
                    let mut fds = [PollFd::from_borrowed_fd(self.0, flags)];
                    match poll(&mut fds, None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                result => return result.map_err(io::Error::from),
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::IN, || rustix::io::read(self.0, &mut *buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::OUT, || rustix::io::write(self.0, buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
