//! Between streams and code that blocks.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Bytes as they come, or why no more come.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Bytes in one piece.
const PIECE: usize = 64 * 1024;
/// Pieces that may wait for a slow client.
const AHEAD: usize = 4;

/// Runs `write` where blocking is allowed, and streams what it writes. It gets an error when nobody listens any more;
/// its own error ends the stream.
pub fn stream_of(write: impl FnOnce(&mut Sender) -> io::Result<()> + Send + 'static) -> ByteStream {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut sender = Sender { sender, piece: Vec::with_capacity(PIECE) };
        if let Err(error) = write(&mut sender).and_then(|()| sender.send())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            tracing::warn!(%error, "an archive breaks off");
            // The client may have left as well.
            let _ = sender.sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).boxed()
}

/// Writes into a stream.
#[derive(Debug)]
pub struct Sender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Sender {
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.piece.len();
        let taken = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

/// Reads a stream where blocking is allowed, until `cut` ends.
pub(crate) struct Reader {
    stream: ByteStream,
    cut: BoxFuture<'static, ()>,
    piece: Bytes,
    runtime: Handle,
    was_cut: bool,
}

impl Reader {
    /// To be called within the runtime.
    pub(crate) fn new(stream: ByteStream, cut: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { stream, cut: Box::pin(cut), piece: Bytes::new(), runtime: Handle::current(), was_cut: false }
    }

    /// Whether it ended because it was cut off.
    pub(crate) fn was_cut(&self) -> bool {
        self.was_cut
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.was_cut {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        while self.piece.is_empty() {
            let next = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = &mut self.cut => None,
                    next = self.stream.next() => Some(next),
                }
            });
            match next {
                Some(Some(piece)) => self.piece = piece?,
                Some(None) => return Ok(0),
                None => {
                    self.was_cut = true;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_written_is_streamed_and_read() {
        let stream = stream_of(|sender| {
            (0..1000_u32).try_for_each(|number| sender.write_all(&[number.to_le_bytes()[0]; 257]))
        });
        let mut reader = Reader::new(stream, std::future::pending());
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        assert_eq!(read.await.unwrap().unwrap().len(), 257_000);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_is_cut_off_while_it_waits() {
        let (cut, ended) = tokio::sync::oneshot::channel::<()>();
        let mut reader = Reader::new(stream::pending().boxed(), async { drop(ended.await) });
        let read = tokio::task::spawn_blocking(move || {
            let outcome = reader.read(&mut [0]).map_err(|error| error.kind());
            (outcome, reader.was_cut())
        });
        drop(cut);
        assert_eq!(read.await.unwrap(), (Err(io::ErrorKind::ConnectionAborted), true));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_writer_ends_the_stream_with_its_error() {
        let mut stream = stream_of(|sender| {
            sender.write_all(b"x")?;
            sender.flush()?;
            Err(io::Error::other("why"))
        });
        assert_eq!(stream.next().await.unwrap().unwrap(), "x");
        assert_eq!(stream.next().await.unwrap().unwrap_err().to_string(), "why");
        assert!(stream.next().await.is_none());
    }
}
