//! The loop of one connection: read a head, ask the router, write the answer, again.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::BytesMut;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::body::{Framing, Reader, Shared, lock};
use super::head::{self, Head, Refused};
use super::hijack::{Hijack, RawStream};
use super::response::{self, Asked};
use super::socket::Socket;

/// Unread request body that is read and thrown away so that the connection can be used again, as in Go.
const MAX_DRAIN: u64 = 256 * 1024;
/// How long a connection lingers that we close while the client still sends.
const LINGER: Duration = Duration::from_millis(500);
/// How long a client may take to send a head once it has begun, as in Docker.
const HEAD_TIME: Duration = Duration::from_mins(5);
/// How long a stream is held back until its client has read the head.
const HEAD_PATIENCE: Duration = Duration::from_millis(8);

/// Serves one client until it leaves, `stop` is cancelled, or its socket was handed over.
pub(crate) async fn serve<S>(socket: Socket, mut service: S, stop: CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let socket = Arc::new(socket);
    let reader: Shared = Arc::new(Mutex::new(Reader::new(Arc::clone(&socket))));
    loop {
        let head = match read_head(&reader, &stop, HEAD_TIME).await {
            Ok(Some(Ok(head))) => head,
            Ok(Some(Err(refused))) => {
                let _ = refuse(&socket, &reader, refused).await;
                return;
            }
            Ok(None) | Err(_) => return,
        };
        match exchange(&socket, &reader, head, &mut service, &stop).await {
            Ok(Next::Request) => {}
            Ok(Next::Close) => {
                if !stop.is_cancelled() {
                    linger(&socket, &reader).await;
                }
                return;
            }
            Ok(Next::HandedOver) => return,
            Err(error) => {
                tracing::debug!(%error, "connection ended");
                return;
            }
        }
    }
}

/// The next head; none when the connection ends before one, or does not end it in `patience`.
async fn read_head(
    reader: &Shared,
    stop: &CancellationToken,
    patience: Duration,
) -> io::Result<Option<Result<Head, Refused>>> {
    let mut stopped = pin!(stop.cancelled());
    let mut begun = None;
    let mut seen = 0;
    poll_fn(|cx| {
        let mut reader = lock(reader);
        loop {
            // Parse the first line when it is there, and the whole when it is: a client that sends a head line by line
            // does not make us read it as often.
            if may_say_something(&reader.buffer, seen) {
                match head::parse(&reader.buffer) {
                    Ok(Some((head, length))) => {
                        let _ = reader.buffer.split_to(length);
                        return Poll::Ready(Ok(Some(Ok(head))));
                    }
                    Ok(None) => {}
                    Err(refused) => return Poll::Ready(Ok(Some(Err(refused)))),
                }
            }
            seen = reader.buffer.len();
            if seen == 0 {
                // An idle connection keeps no buffer.
                reader.buffer = BytesMut::new();
                if std::future::Future::poll(stopped.as_mut(), cx).is_ready() {
                    return Poll::Ready(Ok(None));
                }
            }
            if seen > 0 {
                let end = begun.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if std::future::Future::poll(end.as_mut(), cx).is_ready() {
                    return Poll::Ready(Ok(None));
                }
            }
            if reader.ended || ready!(reader.poll_fill(cx, 4096))? == 0 {
                // A client that said half a sentence may still listen.
                return Poll::Ready(Ok((seen > 0).then_some(Err(Refused::BAD))));
            }
        }
    })
    .await
}

/// Whether what came after the first `seen` bytes ends the first line or the head, or makes the head too long.
fn may_say_something(buffer: &[u8], seen: usize) -> bool {
    let (old, new) = buffer.split_at(seen);
    let ends_a_head = |bytes: &[u8]| {
        bytes.windows(2).any(|end| end == b"\n\n") || bytes.windows(3).any(|end| end == b"\n\r\n")
    };
    buffer.len() >= head::MAX_HEAD
        || ends_a_head(&buffer[seen.saturating_sub(2)..])
        || (new.contains(&b'\n') && !old.contains(&b'\n'))
}

/// What becomes of a connection after a response.
enum Next {
    Request,
    Close,
    HandedOver,
}

/// One request and its response.
async fn exchange<S>(
    socket: &Arc<Socket>,
    reader: &Shared,
    head: Head,
    service: &mut S,
    stop: &CancellationToken,
) -> io::Result<Next>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let mut asked = Asked::new(&head.method, head.version, head.keep_alive);
    let body = Reader::begin(reader, head.framing, head.expects_continue);
    let mut request = Request::new(Body::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;

    // A handler that panics costs its request and nothing else.
    let response = match AssertUnwindSafe(service.call(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(_) => {
            asked.keep_alive = false;
            panicked()
        }
    };
    if let Some(hijack) = response.extensions().get::<Hijack>().cloned() {
        hand_over(socket, reader, asked.version, response, &hijack).await?;
        return Ok(Next::HandedOver);
    }
    {
        let reader = lock(reader);
        let unread = matches!(reader.framing, Framing::Length(left) if left > MAX_DRAIN);
        asked.keep_alive &= !unread && !reader.owes_continue;
    }
    let reusable = response::write(socket, reader, asked, response, stop).await?;
    let again = reusable && drain(reader).await && !stop.is_cancelled();
    Ok(if again { Next::Request } else { Next::Close })
}

fn panicked() -> Response<Body> {
    let text =
        "{\"message\":\"internal error: the request's handler panicked; the daemon's log has the place\"}\n";
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// Reads what is left of the request's body; false when it is too much.
async fn drain(reader: &Shared) -> bool {
    let mut drained = 0;
    poll_fn(|cx| {
        let mut reader = lock(reader);
        while reader.framing != Framing::Done {
            match ready!(reader.poll_body(cx)) {
                Some(Ok(bytes)) => drained += bytes.len() as u64,
                Some(Err(_)) => return Poll::Ready(false),
                None => {}
            }
            if drained > MAX_DRAIN {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// Writes the head and gives the socket away.
async fn hand_over(
    socket: &Arc<Socket>,
    reader: &Shared,
    version: Version,
    response: Response<Body>,
    hijack: &Hijack,
) -> io::Result<()> {
    let Some(taker) = hijack.take() else { return Ok(()) };
    let mut response = response;
    // The router sets a length for what it takes for an empty body.
    response.headers_mut().remove(http::header::CONTENT_LENGTH);
    let status = response.status();
    let reason = if status == StatusCode::SWITCHING_PROTOCOLS { Some("UPGRADED") } else { None };
    let mut head = Vec::with_capacity(512);
    // Docker answers a hijack in 1.1 whatever was asked in.
    let version = version.max(Version::HTTP_11);
    response::write_head(
        &mut head,
        version,
        status,
        reason.or(status.canonical_reason()),
        response.headers(),
    );
    socket.write_all(&head[..], &[][..]).await?;
    if hijack.after_head_is_read {
        until_read(socket).await;
    }
    let stream = RawStream { socket: socket.duplicate()?, early_input: lock(reader).release() };
    taker(stream).await;
    Ok(())
}

/// Waits until the client has read everything we sent, a few milliseconds at most.
async fn until_read(socket: &Socket) {
    use std::os::fd::AsFd;
    let deadline = tokio::time::Instant::now() + HEAD_PATIENCE;
    let mut turns = 0;
    while linux::socket::unread_bytes(socket.as_fd()).is_ok_and(|left| left > 0) {
        if tokio::time::Instant::now() >= deadline {
            return;
        }
        turns += 1;
        // A client that waits for us reads within microseconds; the timer's grain is a millisecond.
        if turns < 64 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Answers a head that cannot be understood, in Go's words.
async fn refuse(socket: &Socket, reader: &Shared, refused: Refused) -> io::Result<()> {
    let status = refused.status;
    let mut text = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    if !refused.reason.is_empty() {
        text = format!("{text}: {}", refused.reason);
    }
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    let mut head = Vec::new();
    response::write_head(&mut head, Version::HTTP_11, status, text.get(4..), &headers);
    socket.write_all(&head[..], text.as_bytes()).await?;
    linger(socket, reader).await;
    Ok(())
}

/// Closes our side and reads on for a moment: a client that is still sending would else lose our answer to a reset.
async fn linger(socket: &Socket, reader: &Shared) {
    if lock(reader).ended || rustix::net::shutdown(socket, rustix::net::Shutdown::Write).is_err() {
        return;
    }
    let until_end = poll_fn(|cx| {
        let mut reader = lock(reader);
        loop {
            reader.buffer.clear();
            match ready!(reader.poll_fill(cx, 64 * 1024)) {
                Ok(count) if count > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
    });
    let _ = tokio::time::timeout(LINGER, until_end).await;
}

#[cfg(test)]
mod tests;
