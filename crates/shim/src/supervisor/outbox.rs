//! What one attached client has still to be sent, and when it holds up the container.
//!
//! ```text
//! Flowing ──(1 MiB waiting)──▶ Holding ──(read half of it)──▶ Flowing
//!                                 └──(read nothing for 5 s)──▶ Lagging ──(read half of it)──▶ Flowing
//! ```
//!
//! While a client is *holding*, the process's output is not read, so in the end the process waits, as it would for
//! a pipe. A client that reads at all may hold it for ever; one that reads nothing cannot: it starts *lagging*, the
//! process goes on, and when the client reads again it is told how much it missed.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

/// Bytes waiting from which a client holds up the process.
pub(super) const LIMIT: usize = 1024 * 1024;

/// How long a client that reads nothing may do that.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long the last output is kept for a client that reads nothing, after the process has ended.
pub(super) const LINGER: Duration = Duration::from_secs(600);

/// See the module's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressure {
    Flowing,
    Holding,
    Lagging,
}

/// Bytes on their way to a client.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them have been sent.
    sent: usize,
    pressure: Pressure,
    /// When bytes last left, or the first of them arrived.
    progress: Instant,
    /// Bytes of output left out while lagging.
    missed: u64,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), sent: 0, pressure: Pressure::Flowing, progress: Instant::now(), missed: 0 }
    }

    /// Bytes waiting.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The process must not produce more for now.
    pub(super) fn is_holding(&self) -> bool {
        self.pressure == Pressure::Holding
    }

    /// Output is to be left out: [`Outbox::miss`] it.
    pub(super) fn is_lagging(&self) -> bool {
        self.pressure == Pressure::Lagging
    }

    /// Counts output that was left out.
    pub(super) fn miss(&mut self, count: usize) {
        self.missed += count as u64;
    }

    /// How much was left out, to be told to the client; then it is forgotten.
    pub(super) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// Sends `parts` one after another, or keeps what the socket does not take now.
    ///
    /// An error means that the client is gone.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>, parts: &[&[u8]]) -> io::Result<()> {
        let mut skip = 0;
        if self.is_empty() {
            self.progress = Instant::now();
            skip = send_now(socket, parts)?;
        }
        for part in parts {
            let skipped = skip.min(part.len());
            skip -= skipped;
            self.bytes.extend_from_slice(&part[skipped..]);
        }
        if self.pressure == Pressure::Flowing && self.len() >= LIMIT {
            self.pressure = Pressure::Holding;
        }
        Ok(())
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while !self.is_empty() {
            let count = send_now(socket, &[&self.bytes[self.sent..]])?;
            if count == 0 {
                break;
            }
            self.sent += count;
            self.progress = Instant::now();
        }
        if self.is_empty() {
            (self.bytes, self.sent) = (Vec::new(), 0);
        } else if self.sent >= LIMIT {
            // Keeps the vector from growing over what was sent long ago.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        if self.len() <= LIMIT / 2 {
            self.pressure = Pressure::Flowing;
        }
        Ok(())
    }

    /// When this has to be looked at again though nothing happens: with `closing`, to give the client up.
    pub(super) fn deadline(&self, closing: bool) -> Option<Instant> {
        match self.pressure {
            _ if self.is_empty() => None,
            _ if closing => Some(self.progress + LINGER),
            Pressure::Holding => Some(self.progress + PATIENCE),
            Pressure::Flowing | Pressure::Lagging => None,
        }
    }

    /// A holding client that has read nothing for too long starts lagging. True if it does now.
    pub(super) fn give_up_holding(&mut self, now: Instant) -> bool {
        let late = self.is_holding() && now >= self.progress + PATIENCE;
        if late {
            self.pressure = Pressure::Lagging;
        }
        late
    }
}

/// How many bytes of `parts` the socket took; 0 if it is full.
fn send_now(socket: BorrowedFd<'_>, parts: &[&[u8]]) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); 2];
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    let count = slices.len().min(parts.len());
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(socket, &slices[..count], &mut SendAncillaryBuffer::default(), flags) {
            Ok(count) => return Ok(count),
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A client whose outbox has just begun to hold.
    fn holding() -> (Outbox, UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut outbox = Outbox::new();
        while !outbox.is_holding() {
            outbox.send(ours.as_fd(), &[b"head", &[b'x'; 60_000]]).unwrap();
        }
        (outbox, ours, theirs)
    }

    #[test]
    fn what_the_socket_does_not_take_arrives_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut outbox = Outbox::new();
        let mut expected = Vec::new();
        for number in 0..100_u32 {
            let body = vec![u8::try_from(number).unwrap(); 7000];
            outbox.send(ours.as_fd(), &[&number.to_be_bytes(), &body]).unwrap();
            expected.extend_from_slice(&number.to_be_bytes());
            expected.extend_from_slice(&body);
        }
        assert!(!outbox.is_empty());
        let mut received = vec![0; expected.len()];
        let mut filled = 0;
        while filled < received.len() {
            filled += theirs.read(&mut received[filled..]).unwrap();
            outbox.flush(ours.as_fd()).unwrap();
        }
        assert!(outbox.is_empty());
        assert!(received == expected);
    }

    #[test]
    fn a_client_that_reads_half_stops_holding() {
        let (mut outbox, ours, mut theirs) = holding();
        assert!((LIMIT..LIMIT + 70_000).contains(&outbox.len()));
        assert!(outbox.deadline(false).is_some());
        let mut buffer = vec![0; 65_536];
        while outbox.is_holding() {
            theirs.read_exact(&mut buffer).unwrap();
            outbox.flush(ours.as_fd()).unwrap();
        }
        assert!(outbox.len() <= LIMIT / 2);
        assert_eq!(outbox.deadline(false), None);
    }

    #[test]
    fn a_client_that_reads_nothing_holds_for_five_seconds_only() {
        let (mut outbox, ours, mut theirs) = holding();
        assert!(!outbox.give_up_holding(Instant::now()));
        assert!(outbox.give_up_holding(Instant::now() + PATIENCE));
        assert!(outbox.is_lagging() && !outbox.is_holding());
        outbox.miss(10);
        outbox.miss(5);
        let mut buffer = vec![0; 65_536];
        while outbox.is_lagging() {
            theirs.read_exact(&mut buffer).unwrap();
            outbox.flush(ours.as_fd()).unwrap();
        }
        assert_eq!(outbox.take_missed(), 15);
        assert_eq!(outbox.take_missed(), 0);
    }

    #[test]
    fn a_client_that_is_gone_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Outbox::new().send(ours.as_fd(), &[b"x"]).is_err());
    }
}
