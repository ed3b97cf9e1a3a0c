//! Unix and TCP sockets behind one face.
//!
//! Reading and writing take `&self`, so that a handler can read its request's body while the connection's loop waits
//! for the handler.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::net::{TcpStream, UnixStream};

/// A client's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// On this machine.
    Unix(UnixStream),
    /// From anywhere.
    Tcp(TcpStream),
}

impl Socket {
    /// Reads what there is, at least one byte; 0 at the end.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        loop {
            match self {
                Self::Unix(stream) => ready!(stream.poll_read_ready(cx))?,
                Self::Tcp(stream) => ready!(stream.poll_read_ready(cx))?,
            }
            let read = match self {
                Self::Unix(stream) => stream.try_read_buf(buffer),
                Self::Tcp(stream) => stream.try_read_buf(buffer),
            };
            match read {
                Err(error) if again(&error) => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// Writes everything, `first` before `second`.
    pub(crate) async fn write_all(&self, mut first: impl Buf, mut second: impl Buf) -> io::Result<()> {
        poll_fn(|cx| {
            while first.has_remaining() || second.has_remaining() {
                match self.try_write(&[IoSlice::new(first.chunk()), IoSlice::new(second.chunk())]) {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(written) => {
                        let of_first = written.min(first.chunk().len());
                        first.advance(of_first);
                        second.advance(written - of_first);
                    }
                    Err(error) if again(&error) => ready!(self.poll_write_ready(cx))?,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Writes what fits at once.
    pub(crate) fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_write_vectored(parts),
            Self::Tcp(stream) => stream.try_write_vectored(parts),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tcp(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Another descriptor of the same socket.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
