//! What the program `corten-shim` does: one thread, one epoll, one container.
//!
//! ```text
//! control connections ─▶ requests ─▶ Container (runtime), Process …      requests.rs
//! stdout, stderr, pty ─▶ buffer ─▶ log file, every attached client       streams.rs
//! attached clients    ─▶ detach keys ─▶ stdin, pty                       streams.rs
//! SIGCHLD ─▶ reap ─▶ drain ─▶ exit record ─▶ event ─▶ clients closed     ending.rs
//! ```
//!
//! **Invariants:** the exit record is on disk, and the cgroup gone, before anyone is told that init has ended; a
//! process's end is told before its clients' sockets are closed. Nothing waits for a daemon. Nothing runs while
//! nothing happens: there is no timer without a deadline that is due within seconds.
//!
//! It lives exactly as long as it is of use: until its container has ended and its clients have what is theirs, or
//! until the daemon goes away that has not given it a plan yet.

mod client;
mod connection;
mod container;
mod detach;
mod ending;
mod json_line;
mod log;
mod network;
mod outbox;
mod poller;
mod process;
mod requests;
mod stdio;
mod stream;
mod streams;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use linux::event::{drain_signals, signal_fd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{DumpableBehavior, set_child_subreaper, set_dumpable_behavior};

use crate::protocol::{Event, Exit};
use client::Client;
use connection::Connection;
use container::Container;
use log::Log;
use network::PreparedNetwork;
use poller::{EventFlags, Poller, Token, Watched};
use process::Process;

/// Size of a read while little comes, and of one while much does.
const SMALL_READ: usize = 4 * 1024;
const LARGE_READ: usize = 64 * 1024;

/// How long large buffers are kept after the last event.
const BUFFER_REST: Duration = Duration::from_secs(1);

/// How long a daemon that does not read is waited for at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Number of the init process; exec'd ones have others.
const INIT: u32 = 0;

/// What a shim that has a container is called.
pub const NAME: &std::ffi::CStr = c"corten-shim";

/// The whole state of a shim.
#[derive(Debug)]
pub struct Supervisor {
    poller: Poller,
    signals: Watched,
    listener: Option<Watched>,
    connections: BTreeMap<u32, Connection>,
    clients: BTreeMap<u32, Client>,
    processes: BTreeMap<u32, Process>,
    /// The last exec'd processes that have ended, the oldest first.
    ended_execs: VecDeque<(String, Exit)>,
    container: Option<Container>,
    /// How init has ended, once that has been told.
    init_exit: Option<Exit>,
    log: Option<Log>,
    /// Made in advance for the container to come.
    network: Option<PreparedNetwork>,
    /// Where output, input and packets are read to.
    buffer: Vec<u8>,
    next_number: u32,
    /// There is nothing more to come: when that was found.
    leaving: Option<Instant>,
}

impl Supervisor {
    /// Prepares this process, and takes the control connection of the daemon that started it.
    pub fn new(control: OwnedFd) -> io::Result<Self> {
        // Processes that lose their parent in a shared pid namespace become ours; nobody looks into our memory.
        set_child_subreaper(Some(rustix::process::getpid()))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        let ignored = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];
        let blocked = [&[libc::SIGCHLD], &ignored[..]].concat();
        let poller = Poller::new()?;
        let mut signals = poller.adopt(signal_fd(&blocked, &[libc::SIGCHLD])?, Token::Signals);
        signals.watch(Some(EventFlags::IN))?;
        let connection = Connection::new(&poller, 0, control)?;
        Ok(Self {
            poller,
            signals,
            listener: None,
            connections: BTreeMap::from([(0, connection)]),
            clients: BTreeMap::new(),
            processes: BTreeMap::new(),
            ended_execs: VecDeque::new(),
            container: None,
            init_exit: None,
            log: None,
            network: None,
            buffer: Vec::new(),
            next_number: 1,
            leaving: None,
        })
    }

    /// Does in advance what containers need and what takes long: a network namespace. For a shim that waits for its
    /// container; one that cannot make it goes without.
    pub fn prepare(&mut self) {
        self.network = PreparedNetwork::make().ok();
    }

    /// Serves until there is nothing left to do.
    pub fn run(&mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        while !self.is_done() {
            self.poller.wait(&mut ready, self.timeout())?;
            if ready.is_empty() && self.buffer.capacity() > 0 && self.next_deadline().is_none() {
                self.buffer = Vec::new();
                linux::memory::release();
            }
            for (token, flags) in &ready {
                self.handle(*token, *flags)?;
            }
            self.expire();
            self.sweep();
        }
        Ok(())
    }

    fn handle(&mut self, token: Token, flags: EventFlags) -> io::Result<()> {
        if token != Token::Listener
            && let Some(listener) = &mut self.listener
        {
            // Not watched after a failure; something may have been closed since.
            listener.watch(Some(EventFlags::IN))?;
        }
        match token {
            Token::Signals => {
                drain_signals(self.signals.as_fd())?;
                self.reap();
            }
            Token::Listener => self.accept(),
            Token::Connection(number) => self.on_connection(number, flags),
            Token::Client(number) => self.on_client(number, flags),
            Token::Input(number) => self.on_input(number),
            Token::Output(number, stream) => self.on_output(number, stream),
        }
        Ok(())
    }

    fn accept(&mut self) {
        let Some(listener) = &mut self.listener else { return };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = match accept_with(&*listener, flags) {
            Ok(socket) => socket,
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return,
            // No descriptor is free, and the one who wants to connect stays in the queue: trying again at once would
            // go on for ever.
            Err(_) => return drop(listener.watch(None)),
        };
        let number = self.number();
        if let Ok(connection) = Connection::new(&self.poller, number, socket) {
            self.connections.insert(number, connection);
        }
    }

    /// A number that no client, process or connection has had.
    fn number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Tells every daemon.
    fn tell(&mut self, event: &Event) {
        for connection in self.connections.values_mut() {
            connection.tell(event);
        }
    }

    /// Removes connections and clients that are at their end, and ends processes that can be.
    fn sweep(&mut self) {
        self.connections.retain(|_, connection| !connection.is_broken());
        let before = self.clients.len();
        self.clients.retain(|_, client| !client.is_done());
        if self.clients.len() != before {
            self.resume_output();
        }
        self.end_processes();
    }

    /// There is nothing left to do, or nobody to do it for.
    fn is_done(&self) -> bool {
        match self.leaving {
            None => self.container.is_none() && self.connections.is_empty(),
            Some(since) => {
                let told = self.connections.values().all(Connection::is_flushed)
                    || Instant::now() >= since + FAREWELL;
                told && self.clients.is_empty()
            }
        }
    }

    fn timeout(&self) -> Option<u32> {
        let now = Instant::now();
        let deadline = self.next_deadline();
        let rest = (self.buffer.capacity() > 0).then_some(BUFFER_REST);
        let wait = deadline.map(|deadline| deadline.saturating_duration_since(now)).or(rest)?;
        // Rounded up, so that the deadline has passed when we wake.
        Some(u32::try_from(wait.as_millis().saturating_add(1)).unwrap_or(u32::MAX))
    }

    /// When something is due though nothing happens.
    fn next_deadline(&self) -> Option<Instant> {
        let clients = self.clients.values().filter_map(Client::deadline);
        let processes = self.processes.values().filter_map(Process::deadline);
        let unflushed = self.connections.values().any(|connection| !connection.is_flushed());
        let farewell = self.leaving.filter(|_| unflushed).map(|since| since + FAREWELL);
        clients.chain(processes).chain(farewell).min()
    }

    fn expire(&mut self) {
        if self.clients.values().all(|client| client.deadline().is_none()) {
            return;
        }
        let now = Instant::now();
        for client in self.clients.values_mut() {
            client.expire(now);
        }
        self.resume_output();
    }
}
