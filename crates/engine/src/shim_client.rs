//! The daemon's side of the shim protocol: requests with deadlines, events in order.
//!
//! One task per connection reads; requests may come from any task. When the connection ends, every waiting request
//! gets [`ShimError::Gone`] and the owner gets [`ShimEvent::Gone`] after the last event.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shim::protocol::{Event, FromShim, MAJOR, MINOR, Received, Reply, Request};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, oneshot};

/// How long anything but a start may take. A shim that is stopped never answers; nobody waits for it longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
/// How long setting a container up may take: it touches the user's disks.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(120);

/// Why a shim did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShimError {
    /// It has ended.
    #[error("the container's supervisor has ended")]
    Gone,
    /// It does not answer.
    #[error("the container's supervisor does not answer: it is stopped, or the machine is overloaded")]
    Deadline,
    /// It said no.
    #[error("{message}")]
    Refused {
        /// What `docker run` would exit with.
        exit_code: i32,
        /// Why.
        message: String,
    },
    /// The socket failed.
    #[error("cannot talk to the container's supervisor: {0}")]
    Socket(String),
}

impl From<io::Error> for ShimError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error.to_string())
    }
}

/// What a shim's owner hears.
#[derive(Debug)]
pub(crate) enum ShimEvent {
    /// The shim tells.
    Event(Event),
    /// The connection has ended.
    Gone,
}

type Answer = (Reply, Vec<OwnedFd>);

/// Requests in flight; none when the connection has ended.
type Waiting = Mutex<Option<HashMap<u32, oneshot::Sender<Answer>>>>;

/// A connection to one shim.
#[derive(Debug)]
pub(crate) struct ShimClient {
    socket: AsyncFd<OwnedFd>,
    sequence: AtomicU32,
    waiting: Waiting,
    ended: Notify,
}

impl ShimClient {
    /// Takes a connected socket over. `pidfd` is that of a shim which is this process's child: it is reaped when it
    /// ends. Must be called within the runtime.
    pub(crate) fn new(
        socket: OwnedFd,
        pidfd: Option<OwnedFd>,
        events: mpsc::UnboundedSender<ShimEvent>,
    ) -> io::Result<Arc<Self>> {
        let client = Arc::new(Self {
            socket: watch(socket)?,
            sequence: AtomicU32::new(1),
            waiting: Mutex::new(Some(HashMap::new())),
            ended: Notify::new(),
        });
        tokio::spawn(read(Arc::clone(&client), pidfd, events));
        Ok(client)
    }

    /// Sends a request and returns its pending answer, so that several can be under way. What is sent first is
    /// handled first.
    pub(crate) async fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Pending, ShimError> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.lock().as_mut().ok_or(ShimError::Gone)?.insert(sequence, sender);
        let sent = tokio::time::timeout(
            DEADLINE,
            self.socket.async_io(Interest::WRITABLE, |socket| {
                shim::spawn::send(socket.as_fd(), sequence, request, fds)
            }),
        )
        .await;
        let failure = match sent {
            Ok(Ok(())) => return Ok(Pending(receiver)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => ShimError::Gone,
            Ok(Err(error)) => error.into(),
            Err(_) => ShimError::Deadline,
        };
        if let Some(waiting) = self.lock().as_mut() {
            waiting.remove(&sequence);
        }
        Err(failure)
    }

    /// Sends a request and waits for its answer, 2 s at most.
    pub(crate) async fn request(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Answer, ShimError> {
        self.send(request, fds).await?.answer(DEADLINE).await
    }

    /// The connection has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().is_none()
    }

    /// Waits until the connection has ended, which it does with the shim.
    pub(crate) async fn gone(&self) {
        loop {
            let ended = self.ended.notified();
            if self.is_gone() {
                return;
            }
            ended.await;
        }
    }

    /// Says hello and learns how everything stands.
    pub(crate) async fn hello(&self) -> Result<Reply, ShimError> {
        let (reply, _) = self.request(&Request::Hello { major: MAJOR, minor: MINOR }, &[]).await?;
        Ok(reply)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u32, oneshot::Sender<Answer>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    /// Waits for it; an error reply becomes [`ShimError::Refused`].
    pub(crate) async fn answer(self, deadline: Duration) -> Result<Answer, ShimError> {
        match tokio::time::timeout(deadline, self.0).await {
            Ok(Ok((Reply::Error { exit_code, message }, _))) => {
                Err(ShimError::Refused { exit_code, message })
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ShimError::Gone),
            Err(_) => Err(ShimError::Deadline),
        }
    }
}

/// Reads until the connection ends, then reaps.
async fn read(client: Arc<ShimClient>, pidfd: Option<OwnedFd>, events: mpsc::UnboundedSender<ShimEvent>) {
    loop {
        let packet =
            client.socket.async_io(Interest::READABLE, |socket| shim::spawn::receive(socket.as_fd())).await;
        match packet {
            Ok(Some(packet)) => deliver(&client, packet, &events),
            Ok(None) => break,
            // It ended without having read all that we sent. The kernel tells that once, ahead of what it had sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    tracing::warn!(%error, "a shim sent what is no message");
                    continue;
                }
                break;
            }
        }
    }
    // Dropping the senders tells everyone who waits.
    *client.lock() = None;
    client.ended.notify_waiters();
    // The owner may have gone first.
    let _ = events.send(ShimEvent::Gone);
    if let Some(pidfd) = pidfd {
        reap(pidfd).await;
    }
}

fn deliver(client: &ShimClient, packet: shim::spawn::Packet, events: &mpsc::UnboundedSender<ShimEvent>) {
    match packet.message {
        Received::Known { message: FromShim::Event(event), .. } => {
            // The owner may have gone first.
            let _ = events.send(ShimEvent::Event(event));
        }
        Received::Known { sequence, message: FromShim::Reply(reply) } => {
            let waiting = client.lock().as_mut().and_then(|waiting| waiting.remove(&sequence));
            if let Some(waiting) = waiting {
                // The one who asked may have given up.
                let _ = waiting.send((reply, packet.fds));
            }
        }
        Received::Unknown { kind, sequence } => {
            tracing::debug!(kind, sequence, "a shim sent a message of a kind that is not known");
        }
    }
}

async fn reap(pidfd: OwnedFd) {
    let Ok(pidfd) = watch(pidfd) else { return };
    if pidfd.readable().await.is_ok() {
        // Somebody else cannot have reaped it: it is this process's own child.
        if let Ok(Some(code @ 1..)) = shim::spawn::reap(pidfd.get_ref().as_fd()) {
            tracing::warn!(code, "a shim was killed, or has failed");
        }
    }
}

/// Registers a descriptor with the runtime's event loop.
#[expect(
    deprecated,
    reason = "the replacement is unsafe for types that may give another fd each time; OwnedFd never does"
)]
fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE | Interest::WRITABLE)
}
