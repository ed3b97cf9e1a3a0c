//! Readiness of descriptors: epoll, with descriptors that take themselves out of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

pub(super) use rustix::event::epoll::EventFlags;

use super::stream::Stream;

/// What became ready. Numbers are never used twice, so an event for something that was closed a moment ago finds
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// A child ended.
    Signals,
    /// Somebody connects.
    Listener,
    /// A control connection.
    Connection(u32),
    /// An attached client.
    Client(u32),
    /// A process's standard input.
    Input(u32),
    /// A process's output.
    Output(u32, Stream),
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Listener => (1, 0),
            Self::Connection(number) => (2, number),
            Self::Client(number) => (3, number),
            Self::Input(number) => (4, number),
            Self::Output(number, Stream::Stdout) => (5, number),
            Self::Output(number, Stream::Stderr) => (6, number),
        };
        kind << 32 | u64::from(number)
    }

    fn decode(data: u64) -> Option<Self> {
        let number = u32::try_from(data & 0xffff_ffff).unwrap_or(0);
        Some(match data >> 32 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Connection(number),
            3 => Self::Client(number),
            4 => Self::Input(number),
            5 => Self::Output(number, Stream::Stdout),
            6 => Self::Output(number, Stream::Stderr),
            _ => return None,
        })
    }
}

/// The epoll instance.
#[derive(Debug)]
pub(super) struct Poller(Rc<OwnedFd>);

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?)))
    }

    /// Takes `fd` into our care; nothing is reported before [`Watched::watch`].
    pub(super) fn adopt(&self, fd: OwnedFd, token: Token) -> Watched {
        Watched { fd, token, interest: None, epoll: Rc::clone(&self.0) }
    }

    /// Waits at most `milliseconds` (none: for ever) and replaces the content of `ready`.
    pub(super) fn wait(
        &self,
        ready: &mut Vec<(Token, EventFlags)>,
        milliseconds: Option<u32>,
    ) -> io::Result<()> {
        const AT_ONCE: usize = 16;
        let mut events = Vec::with_capacity(AT_ONCE);
        let timeout = milliseconds.map(|count| Timespec {
            tv_sec: i64::from(count / 1000),
            tv_nsec: i64::from(count % 1000) * 1_000_000,
        });
        ready.clear();
        match epoll::wait(&*self.0, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let (data, flags) = (event.data, event.flags);
            ready.extend(Token::decode(data.u64()).map(|token| (token, flags)));
        }
        Ok(())
    }
}

/// A descriptor of ours that can be watched.
///
/// Taken out of epoll before it is closed: the kernel does that by itself only when nobody else has the same open
/// file, and a client's socket is shared with the daemon that handed it over.
#[derive(Debug)]
pub(super) struct Watched {
    fd: OwnedFd,
    token: Token,
    interest: Option<EventFlags>,
    epoll: Rc<OwnedFd>,
}

impl Watched {
    /// Changes what is reported, level-triggered. `Some(empty)` still reports hang-ups and errors; none reports
    /// nothing at all.
    pub(super) fn watch(&mut self, interest: Option<EventFlags>) -> io::Result<()> {
        if interest == self.interest {
            return Ok(());
        }
        let data = epoll::EventData::new_u64(self.token.encode());
        match (self.interest, interest) {
            (None, Some(flags)) => epoll::add(&*self.epoll, &self.fd, data, flags)?,
            (Some(_), Some(flags)) => epoll::modify(&*self.epoll, &self.fd, data, flags)?,
            (Some(_), None) => epoll::delete(&*self.epoll, &self.fd)?,
            (None, None) => {}
        }
        self.interest = interest;
        Ok(())
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.interest.is_some() {
            let _ = epoll::delete(&*self.epoll, &self.fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [
            Token::Signals,
            Token::Listener,
            Token::Connection(u32::MAX),
            Token::Client(0),
            Token::Input(7),
            Token::Output(7, Stream::Stdout),
            Token::Output(7, Stream::Stderr),
        ] {
            assert_eq!(Token::decode(token.encode()), Some(token));
        }
        assert_eq!(Token::decode(u64::MAX), None);
    }

    #[test]
    fn a_closed_descriptor_reports_nothing_though_its_file_lives_on() {
        let poller = Poller::new().unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let copy = rustix::io::dup(&reader).unwrap();
        let mut watched = poller.adopt(reader, Token::Client(1));
        watched.watch(Some(EventFlags::IN)).unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(1000)).unwrap();
        assert_eq!(ready, [(Token::Client(1), EventFlags::IN)]);
        drop(watched);
        poller.wait(&mut ready, Some(0)).unwrap();
        assert_eq!(ready, []);
        drop(copy);
    }
}
