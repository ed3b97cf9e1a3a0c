//! Starting a shim, and finding one again that a former daemon started.
//!
//! Nothing here needs tokio or waits: the sockets are non-blocking, so a daemon registers them with its own event
//! loop and calls [`send`] and [`receive`] when they are ready.
//!
//! ```text
//! daemon start   ShimExecutable::open(path)
//! container      executable.spawn(id)  →  send Hello, Create, Start, …
//! later daemon   connect(run_dir)      →  send Hello: the answer says how everything stands
//! ```

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::executable::{open_executable, spawn_detached};
use linux::socket::{connect_packets, packet_pair, receive_packet, send_packet};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::protocol::{FromShim, MAX_PACKET, Received, Request};

/// Name of the socket in a container's runtime directory.
pub const SOCKET: &str = "s";

/// First argument of a shim that is started before its container is known, in place of the container's id.
pub const READY: &str = "ready";

/// The program `corten-shim`, opened once.
#[derive(Debug)]
pub struct ShimExecutable(OwnedFd);

impl ShimExecutable {
    /// Opens it in a read-only detached clone of its mount: nobody can write to it from a container, and an
    /// upgrade does not mix versions.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open_executable(path)?))
    }

    /// Starts a shim; see [`spawn`].
    pub fn spawn(&self, name: &str) -> io::Result<Spawned> {
        spawn(self.0.as_fd(), name)
    }

    /// Starts a shim before its container is known: it makes ready what does not depend on that, a network namespace
    /// above all, and waits.
    pub fn spawn_ready(&self) -> io::Result<Spawned> {
        spawn(self.0.as_fd(), READY)
    }
}

impl AsFd for ShimExecutable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A shim that has just been started, and does nothing before it is asked to.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid.
    pub pid: i32,
    /// Its pidfd. It is a child of this process: when the pidfd is readable, call [`reap`].
    pub pidfd: OwnedFd,
    /// Its control connection: `SOCK_SEQPACKET`, connected, non-blocking. A shim that was not given a plan ends
    /// when this is closed.
    pub socket: OwnedFd,
}

/// Starts a shim in a session of its own; it outlives this process and a signal to its group. `name`, the
/// container's id, shows in its command line.
///
/// Takes some 30 µs however large the caller is, and blocks only the calling thread.
pub fn spawn(executable: BorrowedFd<'_>, name: &str) -> io::Result<Spawned> {
    let (ours, theirs) = packet_pair()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let name = CString::new(name).map_err(io::Error::other)?;
    let arguments = [c"corten-shim", name.as_c_str()];
    let armed = failpoints::armed().map(|text| CString::new(format!("{}={text}", failpoints::VARIABLE)));
    let armed = armed.transpose().map_err(io::Error::other)?;
    let mut environment = vec![c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    environment.extend(armed.as_deref());
    let stdio = [theirs.as_fd(), null.as_fd(), null.as_fd()];
    let child = spawn_detached(executable, &arguments, &environment, stdio)?;
    Ok(Spawned { pid: child.pid, pidfd: child.pidfd, socket: ours })
}

/// Takes the exit status of a shim that [`spawn`] started, if it has ended: 0 … 255, or 128 + n for signal n.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::PidFd(pidfd), options)?;
    Ok(status.and_then(|status| status.exit_status().or(status.terminating_signal().map(|n| 128 + n))))
}

/// Connects to the shim of the container whose runtime directory is `run_dir`.
///
/// Does not wait. `NotFound` and `ConnectionRefused` mean that there is no shim any more: its exit record, if it
/// wrote one, is in the same directory.
pub fn connect(run_dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let directory = openat(CWD, run_dir, flags, Mode::empty())?;
    connect_packets(directory.as_fd(), SOCKET)
}

/// Sends a request and copies of the descriptors that belong to it.
///
/// `WouldBlock` when the shim has not read what was sent before. `InvalidInput` when it would exceed
/// [`MAX_PACKET`]: early input of that size has to be cut.
pub fn send(
    socket: BorrowedFd<'_>,
    sequence: u32,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let packet = request.encode(sequence);
    if packet.len() > MAX_PACKET {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "request is too large for one packet"));
    }
    send_packet(socket, &packet, fds)
}

/// What [`receive`] took from the socket.
#[derive(Debug)]
pub struct Packet {
    /// The message.
    pub message: Received<FromShim>,
    /// Descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

/// Receives one reply or event; none when the shim has closed the connection. `WouldBlock` when nothing is there.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
    let mut buffer = vec![0; MAX_PACKET];
    let Some((length, fds)) = receive_packet(socket, &mut buffer)? else { return Ok(None) };
    let message = FromShim::decode(&buffer[..length])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some(Packet { message, fds }))
}
