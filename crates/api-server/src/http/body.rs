//! Request bodies, read from the socket when they are asked for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::socket::Socket;

/// Bytes read at a time when a body is read.
const BODY_READ: usize = 64 * 1024;
/// Longest line of a chunked body (a chunk's size with extensions, a trailer).
const MAX_LINE: usize = 8 * 1024;

/// What is left of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing.
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks; the field says where in them we are.
    Chunked(Chunked),
}

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// Before a chunk's size.
    Size,
    /// In a chunk, so many bytes before its end.
    Data(u64),
    /// Before the line end that follows a chunk.
    DataEnd,
    /// After the last chunk.
    Trailer,
}

impl Framing {
    /// The start of a chunked body.
    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunked::Size)
    }
}

/// The reading side of a connection.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Gone when the socket was handed over.
    socket: Option<Arc<Socket>>,
    /// Read and not used yet.
    pub(crate) buffer: BytesMut,
    /// The client sends no more.
    pub(crate) ended: bool,
    /// What is left of the current request's body.
    pub(crate) framing: Framing,
    /// `100 Continue` is owed before the body can be read.
    pub(crate) owes_continue: bool,
    /// Which request this is; a body of an earlier one reads nothing.
    request: u64,
}

/// A reader shared by the connection's loop and its current request's body.
pub(crate) type Shared = Arc<Mutex<Reader>>;

/// Locks a reader. It is only locked while it is polled, never across an await.
pub(crate) fn lock(reader: &Shared) -> MutexGuard<'_, Reader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket: Some(socket),
            buffer: BytesMut::new(),
            ended: false,
            framing: Framing::Done,
            owes_continue: false,
            request: 0,
        }
    }

    /// Begins a request's body.
    pub(crate) fn begin(reader: &Shared, framing: Framing, owes_continue: bool) -> RequestBody {
        let mut this = lock(reader);
        this.request += 1;
        this.framing = framing;
        this.owes_continue = owes_continue && framing != Framing::Done;
        RequestBody { reader: Arc::clone(reader), request: this.request }
    }

    /// Reads more into the buffer: the number of bytes, 0 at the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        let Some(socket) = &self.socket else { return Poll::Ready(Ok(0)) };
        self.buffer.reserve(room);
        let count = ready!(socket.poll_read(cx, &mut self.buffer))?;
        self.ended |= count == 0;
        Poll::Ready(Ok(count))
    }

    /// Gives up the socket, and with it what was read ahead.
    pub(crate) fn release(&mut self) -> Vec<u8> {
        self.socket = None;
        self.request += 1;
        std::mem::take(&mut self.buffer).into()
    }

    /// The body's next bytes.
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.framing != Framing::Done
            && std::mem::take(&mut self.owes_continue)
            && let Err(error) = self.send_continue()
        {
            return Poll::Ready(Some(Err(error)));
        }
        let result = ready!(self.poll_framed(cx));
        if result.as_ref().is_some_and(Result::is_err) {
            // Where the next request begins is unknown now.
            self.framing = Framing::Done;
            self.ended = true;
            self.buffer.clear();
        }
        Poll::Ready(result)
    }

    fn poll_framed(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match self.framing {
                Framing::Done => return Poll::Ready(None),
                Framing::Length(left) => {
                    let bytes = match ready!(self.poll_data(cx, left)) {
                        Ok(bytes) => bytes,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    let left = left - bytes.len() as u64;
                    self.framing = if left == 0 { Framing::Done } else { Framing::Length(left) };
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Framing::Chunked(Chunked::Data(left)) => {
                    let bytes = match ready!(self.poll_data(cx, left)) {
                        Ok(bytes) => bytes,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    let left = left - bytes.len() as u64;
                    self.framing =
                        Framing::Chunked(if left == 0 { Chunked::DataEnd } else { Chunked::Data(left) });
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Framing::Chunked(state) => {
                    let next = match ready!(self.poll_line(cx)) {
                        Ok(line) => after_line(state, &line),
                        Err(error) => Err(error),
                    };
                    match next {
                        Ok(framing) => self.framing = framing,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }
    }

    /// At most `limit` bytes, at least one.
    fn poll_data(&mut self, cx: &mut Context<'_>, limit: u64) -> Poll<io::Result<Bytes>> {
        if self.buffer.is_empty() && ready!(self.poll_fill(cx, BODY_READ))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let count = self.buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        Poll::Ready(Ok(self.buffer.split_to(count).freeze()))
    }

    /// One line of a chunked body, without its end.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            if let Some(end) = self.buffer.iter().take(MAX_LINE).position(|&byte| byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.truncate(end - 1);
                }
                return Poll::Ready(Ok(line.freeze()));
            }
            if self.buffer.len() >= MAX_LINE {
                return Poll::Ready(Err(malformed("line too long")));
            }
            if ready!(self.poll_fill(cx, BODY_READ))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Nothing of this request's response is written yet, so the socket's buffer takes these few bytes at once.
    fn send_continue(&self) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        match socket.try_write(&[io::IoSlice::new(b"HTTP/1.1 100 Continue\r\n\r\n")]) {
            Ok(_) => Ok(()),
            // A client that never reads gets no invitation; it sends its body all the same or goes away.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What follows a line of a chunked body.
fn after_line(state: Chunked, line: &[u8]) -> io::Result<Framing> {
    match state {
        Chunked::Size => {
            let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
            let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with(['+', '-']));
            let size = text.and_then(|text| u64::from_str_radix(text, 16).ok());
            match size.ok_or_else(|| malformed("invalid chunk length"))? {
                0 => Ok(Framing::Chunked(Chunked::Trailer)),
                size => Ok(Framing::Chunked(Chunked::Data(size))),
            }
        }
        Chunked::DataEnd if line.is_empty() => Ok(Framing::Chunked(Chunked::Size)),
        Chunked::DataEnd | Chunked::Data(_) => Err(malformed("missing line end after chunk")),
        Chunked::Trailer if line.is_empty() => Ok(Framing::Done),
        Chunked::Trailer => Ok(Framing::Chunked(Chunked::Trailer)),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed chunked encoding: {what}"))
}

/// A request's body as the router sees it.
#[derive(Debug)]
pub(crate) struct RequestBody {
    reader: Shared,
    request: u64,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut reader = lock(&self.reader);
        if reader.request != self.request {
            return Poll::Ready(Some(Err(io::Error::other("body read after its request was answered"))));
        }
        reader.poll_body(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        let reader = lock(&self.reader);
        reader.request == self.request && reader.framing == Framing::Done
    }

    fn size_hint(&self) -> SizeHint {
        match lock(&self.reader).framing {
            Framing::Done => SizeHint::with_exact(0),
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;

    async fn read(sent: &[u8], framing: Framing) -> (Result<Bytes, io::Error>, Vec<u8>) {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(sent).await.unwrap();
        drop(client);
        let reader = Arc::new(Mutex::new(Reader::new(Arc::new(Socket::Unix(server)))));
        let body = Reader::begin(&reader, framing, false);
        let result = body.collect().await.map(http_body_util::Collected::to_bytes);
        let rest = lock(&reader).release();
        (result, rest)
    }

    #[tokio::test]
    async fn a_body_ends_where_its_framing_says_and_the_rest_is_kept() {
        let chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\nnext";
        let (body, rest) = read(chunks, Framing::chunked()).await;
        assert_eq!((&body.unwrap()[..], &rest[..]), (&b"abcde"[..], &b"next"[..]));
        let (body, rest) = read(b"abcdenext", Framing::Length(5)).await;
        assert_eq!((&body.unwrap()[..], &rest[..]), (&b"abcde"[..], &b"next"[..]));
    }

    #[tokio::test]
    async fn broken_bodies_are_errors() {
        for sent in ["x\r\n", "3\r\nabcd\r\n", "+3\r\nabc\r\n", "3\r\nab", "", "ffffffffffffffffff\r\n"] {
            assert!(read(sent.as_bytes(), Framing::chunked()).await.0.is_err(), "{sent:?}");
        }
        assert!(read(b"ab", Framing::Length(3)).await.0.is_err());
    }
}
