//! Responses.

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, TRANSFER_ENCODING};
use http::{Method, Response, StatusCode, Version};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::body::{Framing, Shared, lock};
use super::hijack::{Bare, HeadWithBody};
use super::socket::Socket;

/// Bytes of further requests that are read ahead while a response streams. Beyond them a client's leaving is noticed
/// by the next write alone.
const READ_AHEAD: usize = 64 * 1024;

/// How a response's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delimited {
    Nothing,
    Length(u64),
    Chunks,
    Close,
}

/// What of the request a response depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) head_only: bool,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
}

impl Asked {
    pub(crate) fn new(method: &Method, version: Version, keep_alive: bool) -> Self {
        Self { head_only: method == Method::HEAD, version, keep_alive }
    }
}

/// Writes `response`; whether the connection can be used again.
///
/// A body that has nothing to say is dropped as soon as the client leaves or `stop` is cancelled: that is what ends
/// logs, events and waits nobody listens to.
pub(crate) async fn write(
    socket: &Socket,
    reader: &Shared,
    asked: Asked,
    response: Response<Body>,
    stop: &CancellationToken,
) -> io::Result<bool> {
    let (mut parts, body) = response.into_parts();
    let bare = parts.extensions.get::<Bare>().is_some();
    let delimited = if bare { Delimited::Close } else { delimited(parts.status, asked, &body) };
    let keep_alive = asked.keep_alive && delimited != Delimited::Close;
    if bare {
        // The router sets a length.
        parts.headers.remove(CONTENT_LENGTH);
    } else {
        finish_headers(&mut parts.headers, delimited, asked, keep_alive);
    }
    let mut head = Vec::with_capacity(512);
    write_head(&mut head, asked.version, parts.status, parts.status.canonical_reason(), &parts.headers);
    if asked.head_only || delimited == Delimited::Nothing {
        socket.write_all(&head[..], &[][..]).await?;
        return Ok(keep_alive);
    }
    let early_head = parts.extensions.get::<HeadWithBody>().is_none();
    let complete =
        write_body(socket, reader, head, early_head, body, delimited == Delimited::Chunks, stop).await?;
    Ok(complete && keep_alive)
}

fn delimited(status: StatusCode, asked: Asked, body: &Body) -> Delimited {
    if status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Delimited::Nothing;
    }
    match body.size_hint().exact() {
        Some(length) => Delimited::Length(length),
        None if asked.version == Version::HTTP_10 => Delimited::Close,
        None => Delimited::Chunks,
    }
}

fn finish_headers(headers: &mut HeaderMap, delimited: Delimited, asked: Asked, keep_alive: bool) {
    let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = date.parse() {
        headers.insert(DATE, date);
    }
    match delimited {
        Delimited::Length(length) => {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        Delimited::Chunks => {
            headers.insert(TRANSFER_ENCODING, http::HeaderValue::from_static("chunked"));
        }
        Delimited::Nothing | Delimited::Close => {}
    }
    match (asked.version, keep_alive) {
        (Version::HTTP_10, true) => {
            headers.insert(CONNECTION, http::HeaderValue::from_static("keep-alive"));
        }
        (Version::HTTP_10, false) | (_, true) => {}
        (_, false) => {
            headers.insert(CONNECTION, http::HeaderValue::from_static("close"));
        }
    }
}

/// Writes status line and headers, the names in the case that Docker's clients have always seen.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    version: Version,
    status: StatusCode,
    reason: Option<&str>,
    headers: &HeaderMap,
) {
    let minor = u8::from(version != Version::HTTP_10);
    // Writing to a vector cannot fail.
    let _ = write!(out, "HTTP/1.{minor} {} {}\r\n", status.as_u16(), reason.unwrap_or_default());
    for (name, value) in headers {
        let mut start = true;
        out.extend(name.as_str().bytes().map(|byte| {
            let byte = if start { byte.to_ascii_uppercase() } else { byte };
            start = byte == b'-';
            byte
        }));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes head and body; whether the body came to its own end.
async fn write_body(
    socket: &Socket,
    reader: &Shared,
    mut pending: Vec<u8>,
    mut flush: bool,
    body: Body,
    chunked: bool,
    stop: &CancellationToken,
) -> io::Result<bool> {
    let mut body = pin!(body);
    let mut stopped = pin!(stop.cancelled());
    let mut first = true;
    loop {
        // The first frame is taken without waiting, so that a short answer is one packet.
        let frame = if first || flush {
            match poll_once(|cx| body.as_mut().poll_frame(cx)).await {
                Some(frame) => Some(frame),
                None if flush => {
                    socket.write_all(&pending[..], &[][..]).await?;
                    pending.clear();
                    None
                }
                None => None,
            }
        } else {
            None
        };
        (first, flush) = (false, false);
        let frame = match frame {
            Some(frame) => frame,
            None => match next_frame(body.as_mut(), reader, stopped.as_mut()).await {
                Some(frame) => frame,
                None => return Ok(false),
            },
        };
        match frame {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if data.is_empty() {
                    continue;
                }
                if chunked {
                    let _ = write!(pending, "{:x}\r\n", data.len());
                    socket.write_all(&pending[..], bytes::Buf::chain(data, &b"\r\n"[..])).await?;
                } else {
                    socket.write_all(&pending[..], data).await?;
                }
                pending.clear();
            }
            // The head is out and says success: all that is left to say is an unfinished body.
            Some(Err(error)) => {
                socket.write_all(&pending[..], &[][..]).await?;
                return Err(io::Error::other(error));
            }
            None => {
                let end: &[u8] = if chunked { b"0\r\n\r\n" } else { b"" };
                socket.write_all(&pending[..], end).await?;
                return Ok(true);
            }
        }
    }
}

type FrameResult = Option<Result<http_body::Frame<Bytes>, axum::Error>>;

/// The body's next frame; none when the client left or the server stops first.
async fn next_frame(
    mut body: Pin<&mut Body>,
    reader: &Shared,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> Option<FrameResult> {
    poll_fn(|cx| {
        if let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
            return Poll::Ready(Some(frame));
        }
        if stopped.as_mut().poll(cx).is_ready() || poll_left(reader, cx).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

/// Ready once the client has closed its side. Requests that it sends meanwhile are kept.
fn poll_left(reader: &Shared, cx: &mut Context<'_>) -> Poll<()> {
    let mut reader = lock(reader);
    if reader.framing != Framing::Done {
        // The request's body is still being read, by a task that must not lose its place in the queue of wakers; it
        // will meet the end itself.
        return Poll::Pending;
    }
    while !reader.ended && reader.buffer.len() < READ_AHEAD {
        match reader.poll_fill(cx, 1024) {
            Poll::Ready(Ok(count)) if count > 0 => {}
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    if reader.ended { Poll::Ready(()) } else { Poll::Pending }
}

async fn poll_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| match poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
