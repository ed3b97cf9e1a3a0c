//! One client that is attached to a process: its socket, what it gets, and what it types.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, SocketType, recv, shutdown, sockopt::socket_type};

use super::detach::DetachKeys;
use super::outbox::{LIMIT, Outbox, PATIENCE};
use super::poller::{EventFlags, Poller, Token, Watched};
use super::stream::Stream;
use crate::protocol::{Attach, Framing};

/// An attached client.
#[derive(Debug)]
pub(super) struct Client {
    socket: Watched,
    /// The process, by its number.
    pub(super) process: u32,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    framing: Framing,
    keys: DetachKeys,
    /// It has not ended its input yet.
    input_open: bool,
    /// It has hung up: nothing can be sent, but what it sent before is still to be read.
    hung_up: bool,
    /// Nothing new is sent, and the socket is closed when the outbox is empty.
    closing: bool,
    outbox: Outbox,
}

/// What [`Client::receive`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Input, appended to the buffer that was given.
    Input,
    /// It typed its detach keys.
    Detached,
    /// Nothing now.
    Nothing,
    /// It has ended its input.
    Ended,
    /// The connection is broken.
    Broken,
}

impl Client {
    /// Checks that `socket` is a stream socket.
    pub(super) fn new(
        poller: &Poller,
        number: u32,
        socket: OwnedFd,
        process: u32,
        attach: Attach,
    ) -> io::Result<Self> {
        if socket_type(&socket)? != SocketType::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket"));
        }
        let mut client = Self {
            socket: poller.adopt(socket, Token::Client(number)),
            process,
            stdin: attach.stdin,
            stdout: attach.stdout,
            stderr: attach.stderr,
            framing: attach.framing,
            keys: DetachKeys::new(attach.detach_keys),
            input_open: true,
            hung_up: false,
            closing: false,
            outbox: Outbox::new(),
        };
        client.socket.watch(Some(EventFlags::IN | EventFlags::RDHUP))?;
        Ok(client)
    }

    /// Forwards what it types.
    pub(super) fn wants_stdin(&self) -> bool {
        self.stdin && !self.closing
    }

    /// Holds up its process. One that has ended (`ending`) is held up only by a client that others, who still have
    /// its pipes, would make store without bounds.
    pub(super) fn is_holding(&self, ending: bool) -> bool {
        let much = !ending || self.outbox.len() >= 4 * LIMIT;
        self.outbox.is_holding() && much && !self.closing && !self.hung_up
    }

    /// It has neither hung up nor ended its input.
    pub(super) fn is_there(&self) -> bool {
        self.input_open && !self.hung_up
    }

    /// Its socket can be closed.
    pub(super) fn is_done(&self) -> bool {
        let nothing_to_send = self.hung_up || self.outbox.is_empty();
        nothing_to_send && (self.closing || self.hung_up && !self.input_open)
    }

    /// Passes early input through the detach keys, as if it had just been typed.
    pub(super) fn early_input(&mut self, typed: &[u8], input: &mut Vec<u8>) -> Received {
        if self.keys.filter(typed, input) { Received::Detached } else { Received::Input }
    }

    /// Reads at most `buffer.len()` bytes of what it sent; what goes on to the process is appended to `input`.
    pub(super) fn receive(&mut self, buffer: &mut [u8], input: &mut Vec<u8>) -> Received {
        match recv(self.socket.as_fd(), &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => {
                self.keys.release(input);
                Received::Ended
            }
            Ok((_, count)) if self.keys.filter(&buffer[..count], input) => Received::Detached,
            Ok(_) => Received::Input,
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::Broken,
        }
    }

    /// Sends output, or leaves it out if the client lags.
    pub(super) fn deliver(&mut self, stream: Stream, bytes: &[u8]) {
        let wanted = match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        if !wanted || self.closing || self.hung_up {
            return;
        }
        if self.outbox.is_lagging() {
            self.outbox.miss(bytes.len());
            return;
        }
        self.tell_missed();
        self.send(stream, bytes);
    }

    /// Says to a client that lagged how much it missed, once there is room for that.
    pub(super) fn tell_missed(&mut self) {
        let missed = if self.outbox.is_lagging() { 0 } else { self.outbox.take_missed() };
        if missed > 0 {
            let seconds = PATIENCE.as_secs();
            let text = format!(
                "\r\ncorten: {missed} bytes of output are missing here: nothing was read for {seconds} seconds\r\n"
            );
            let stream = if self.stderr { Stream::Stderr } else { Stream::Stdout };
            self.send(stream, text.as_bytes());
        }
    }

    fn send(&mut self, stream: Stream, bytes: &[u8]) {
        let socket = self.socket.as_fd();
        let sent = match self.framing {
            Framing::Raw => self.outbox.send(socket, &[bytes]),
            Framing::Multiplexed => self.outbox.send(socket, &[&stream.header(bytes.len()), bytes]),
        };
        if sent.is_err() {
            self.hang_up();
        }
    }

    /// Sends what is waiting.
    pub(super) fn flush(&mut self) {
        match self.outbox.flush(self.socket.as_fd()) {
            Ok(()) => self.tell_missed(),
            Err(_) => self.hang_up(),
        }
    }

    /// It has ended its input.
    pub(super) fn end_input(&mut self) {
        self.input_open = false;
    }

    /// It is gone, except for input that may still wait in its socket.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
        self.outbox = Outbox::new();
    }

    /// Sends what is waiting, then closes.
    pub(super) fn close(&mut self) {
        self.tell_missed();
        self.closing = true;
    }

    /// Watches for what can be done now; `room`: its process takes input.
    pub(super) fn watch(&mut self, room: bool) {
        let mut interest = EventFlags::empty();
        if !self.outbox.is_empty() {
            interest |= EventFlags::OUT;
        }
        // Without `room` nothing is read, so that the client waits. A hang-up is reported in any case, and
        // would be again and again: once it is known, nothing is reported until there is room.
        let reading = self.input_open && (room || !self.wants_stdin());
        if reading {
            interest |= EventFlags::IN | EventFlags::RDHUP;
        }
        let watched = if self.hung_up && !reading { None } else { Some(interest) };
        if self.socket.watch(watched).is_err() {
            self.hang_up();
        }
    }

    /// When it has to be looked at again though nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.outbox.deadline(self.closing)
    }

    /// What is due at `now`: it stops holding, or is given up.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.closing {
            if self.deadline().is_some_and(|deadline| now >= deadline) {
                self.hang_up();
            }
        } else {
            self.outbox.give_up_holding(now);
        }
    }
}

impl Drop for Client {
    /// The daemon may hold a copy of the socket: only `shutdown` ends the connection for the client in any case.
    fn drop(&mut self) {
        // Input that was never read would make the kernel reset a TCP connection, and with it what was just sent.
        let mut rest = [0; 4096];
        for _ in 0..16 {
            match recv(self.socket.as_fd(), &mut rest, RecvFlags::DONTWAIT) {
                Ok((_, 1..)) => {}
                Ok((_, 0)) | Err(_) => break,
            }
        }
        let _ = shutdown(self.socket.as_fd(), Shutdown::Both);
    }
}
