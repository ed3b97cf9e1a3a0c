//! One control connection, to a daemon.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use linux::socket::{receive_packet, send_packet};

use super::poller::{EventFlags, Poller, Token, Watched};
use crate::protocol::{Event, Reply};

/// Packets that may wait for a daemon that does not read. A stopped daemon gets its events when it goes on; one
/// that lets more than this pile up is cut off, and learns everything from its next hello.
const MAX_WAITING: usize = 1024;

/// A daemon's connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Watched,
    /// It said hello: it gets events, and its requests are answered.
    pub(super) greeted: bool,
    waiting: VecDeque<Packet>,
    broken: bool,
}

#[derive(Debug)]
struct Packet {
    bytes: Vec<u8>,
    fd: Option<OwnedFd>,
}

impl Connection {
    pub(super) fn new(poller: &Poller, number: u32, socket: OwnedFd) -> io::Result<Self> {
        let mut socket = poller.adopt(socket, Token::Connection(number));
        socket.watch(Some(EventFlags::IN))?;
        Ok(Self { socket, greeted: false, waiting: VecDeque::new(), broken: false })
    }

    /// Receives one packet: its length, and its descriptors. None: nothing there, or the end; see
    /// [`Connection::is_broken`].
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, Vec<OwnedFd>)> {
        match receive_packet(self.socket.as_fd(), buffer) {
            Ok(Some(packet)) => Some(packet),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(None) | Err(_) => {
                self.broken = true;
                None
            }
        }
    }

    pub(super) fn reply(&mut self, sequence: u32, reply: &Reply, fd: Option<OwnedFd>) {
        self.send(Packet { bytes: reply.encode(sequence), fd });
    }

    /// Sends an event, if the connection said hello.
    pub(super) fn tell(&mut self, event: &Event) {
        if self.greeted {
            self.send(Packet { bytes: event.encode(), fd: None });
        }
    }

    fn send(&mut self, packet: Packet) {
        self.waiting.push_back(packet);
        self.flush();
    }

    /// Sends what waits, as far as the daemon reads.
    pub(super) fn flush(&mut self) {
        while let Some(Packet { bytes, fd }) = self.waiting.front() {
            let fds: &[_] = match fd {
                Some(fd) => &[fd.as_fd()],
                None => &[],
            };
            match send_packet(self.socket.as_fd(), bytes, fds) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.broken = true,
            }
            if self.broken {
                return;
            }
        }
        let waits = !self.waiting.is_empty();
        let interest = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        self.broken |= self.waiting.len() > MAX_WAITING || self.socket.watch(Some(interest)).is_err();
    }

    /// The daemon has closed it or is beyond help.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Everything was sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.waiting.is_empty()
    }
}
