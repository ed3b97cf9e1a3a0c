use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// A connection to a server whose handler is `handler`.
fn connect<F, A>(handler: F) -> UnixStream
where
    F: FnMut(Request<Body>) -> A + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let (client, server) = UnixStream::pair().unwrap();
    let mut handler = handler;
    let service = tower::service_fn(move |request| {
        let answer = handler(request);
        Box::pin(async move { Ok(answer.await) }) as Answer
    });
    tokio::spawn(serve(Socket::Unix(server), service, CancellationToken::new()));
    client
}

/// Answers with what was asked: method, path and body.
async fn echo(request: Request<Body>) -> Response<Body> {
    let text = format!("{} {} ", request.method(), request.uri());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Response::new(Body::from([text.as_bytes(), &body].concat()))
}

/// Everything until the server closes.
async fn rest(client: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn until(client: &mut UnixStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let byte = client.read_u8().await.unwrap_or_else(|error| {
            panic!("{error} after {:?}, waiting for {end:?}", String::from_utf8_lossy(&bytes))
        });
        bytes.push(byte);
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn twenty_pipelined_requests_are_answered_in_order() {
    let mut client = connect(echo);
    let requests: String = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: d\r\n\r\n")).collect();
    client.write_all(requests.as_bytes()).await.unwrap();
    for n in 0..20 {
        let answer = until(&mut client, &format!("GET /{n} ")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn the_connection_stays_open_after_every_status_and_body() {
    let mut client = connect(|request: Request<Body>| async move {
        let status: u16 = request.uri().path()[1..].parse().unwrap();
        let mut response = Response::new(Body::from(if status == 204 || status == 304 { "" } else { "x" }));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    });
    for status in [200, 204, 304, 400, 404, 409, 500] {
        // The body is not read by the handler, so it is the connection's to skip.
        let request = format!("POST /{status} HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\nbody");
        client.write_all(request.as_bytes()).await.unwrap();
        let head = until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(!head.contains("Connection: close"), "{head}");
        if status != 204 && status != 304 {
            until(&mut client, "x").await;
        }
    }
}

#[tokio::test]
async fn version_1_0_gets_no_chunks_and_is_closed() {
    let stream = || {
        let parts = ["a", "b"].map(|part| Ok::<_, Infallible>(bytes::Bytes::from(part)));
        Body::from_stream(futures_util::stream::iter(parts))
    };
    let mut client = connect(move |_| std::future::ready(Response::new(stream())));
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nab"), "{answer}");

    let mut client = connect(move |_| std::future::ready(Response::new(stream())));
    client.write_all(b"GET / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.contains("Transfer-Encoding: chunked"), "{answer}");
    assert!(answer.ends_with("1\r\na\r\n1\r\nb\r\n0\r\n\r\n"), "{answer}");
}

/// A handler that gives the stream to someone who answers with what came, once that has ended.
fn hijack(status: u16) -> impl FnMut(Request<Body>) -> BoxFuture<'static, Response<Body>> {
    move |request| {
        Box::pin(async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let taker = move |stream: RawStream| async move {
                let socket = std::os::unix::net::UnixStream::from(stream.socket);
                let mut socket = UnixStream::from_std(socket).unwrap();
                let mut input = stream.early_input;
                socket.write_all(b"output;").await.unwrap();
                socket.read_to_end(&mut input).await.unwrap();
                socket.write_all(&[&body, &b"|"[..], &input].concat()).await.unwrap();
            };
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.extensions_mut().insert(Hijack::new(true, taker));
            response
        })
    }
}

#[tokio::test]
async fn a_hijacked_stream_has_early_and_late_input_and_outlives_a_half_close() {
    for (status, version, line) in [
        (101, "1.1", "HTTP/1.1 101 UPGRADED\r\n\r\n"),
        (200, "1.1", "HTTP/1.1 200 OK\r\n\r\n"),
        (200, "1.0", "HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let mut client = connect(hijack(status));
        let request =
            format!("POST /attach HTTP/{version}\r\nHost: d\r\nContent-Length: 2\r\n\r\n{{}}early ");
        client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(until(&mut client, "\r\n\r\n").await, line);
        assert_eq!(until(&mut client, ";").await, "output;");
        client.write_all(b"late").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "{}|early late");
    }
}

#[tokio::test]
async fn a_hijack_after_a_chunked_body_keeps_what_follows() {
    let mut client = connect(hijack(101));
    let request = "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nearly";
    client.write_all(request.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(rest(&mut client).await.ends_with("output;{}|early"));
}

#[tokio::test]
async fn the_stream_is_held_back_until_the_head_is_read() {
    let mut client = connect(hijack(101));
    client.write_all(b"POST / HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    client.readable().await.unwrap();
    // One read takes whatever is there, as docker-py's does.
    let mut bytes = [0; 8192];
    let count = client.try_read(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"HTTP/1.1 101 UPGRADED\r\n\r\n");
}

/// Counts up when it is dropped.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_stream_ends_at_once_when_its_client_leaves() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dropped);
    let mut client = connect(move |_| {
        let gone = Gone(Arc::clone(&counted));
        let silent = futures_util::stream::poll_fn(move |_| {
            let _ = &gone;
            Poll::<Option<Result<bytes::Bytes, Infallible>>>::Pending
        });
        std::future::ready(Response::new(Body::from_stream(silent)))
    });
    client.write_all(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    // The headers come before anything happens.
    assert!(until(&mut client, "\r\n\r\n").await.contains("Transfer-Encoding: chunked"));
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    drop(client);
    let ended = async {
        while dropped.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
}

#[tokio::test]
async fn a_request_sent_during_a_stream_is_answered_after_it() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let mut receiver = Some(receiver);
    let mut client = connect(move |request: Request<Body>| {
        let wait = receiver.take();
        async move {
            let path = request.uri().path().to_owned();
            let answer = async move {
                if let Some(wait) = wait {
                    let _ = wait.await;
                }
                Ok::<_, Infallible>(bytes::Bytes::from(path))
            };
            Response::new(Body::from_stream(futures_util::stream::once(answer)))
        }
    });
    client.write_all(b"GET /first HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    client.write_all(b"GET /second HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    sender.send(()).unwrap();
    until(&mut client, "/first\r\n0\r\n\r\n").await;
    until(&mut client, "/second\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let mut client = connect(|request: Request<Body>| async move {
        assert_ne!(request.uri().path(), "/panic", "on purpose");
        Response::new(Body::empty())
    });
    client.write_all(b"GET /panic HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("{\"message\":"), "{answer}");
}

#[tokio::test]
async fn a_body_is_invited_only_when_it_is_read() {
    let mut client = connect(echo);
    client
        .write_all(b"POST /a HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hi").await.unwrap();
    until(&mut client, "POST /a hi").await;

    let mut client = connect(|_| std::future::ready(Response::new(Body::from("no"))));
    client
        .write_all(b"POST /a HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut client).await;
    // It is unknown whether the body will come, so the connection ends.
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Connection: close"), "{answer}");
}

#[tokio::test]
async fn too_large_a_head_is_told_so_though_the_client_still_sends() {
    let mut client = connect(echo);
    let head = format!("GET / HTTP/1.1\r\nHost: d\r\nX: {}\r\n\r\n", "a".repeat(3_000_000));
    client.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_ends_when_the_server_stops() {
    let (mut client, server) = UnixStream::pair().unwrap();
    let stop = CancellationToken::new();
    let service = tower::service_fn(|request| Box::pin(async { Ok(echo(request).await) }) as Answer);
    let connection = tokio::spawn(serve(Socket::Unix(server), service, stop.clone()));
    client.write_all(b"GET /a HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    until(&mut client, "GET /a ").await;
    stop.cancel();
    connection.await.unwrap();
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_head_that_does_not_end_ends_the_connection_and_an_idle_one_may_wait() {
    let patience = Duration::from_millis(20);
    for (sent, given_up) in [("GET / HT", true), ("", false)] {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        let reader: Shared = Arc::new(Mutex::new(Reader::new(Arc::new(Socket::Unix(server)))));
        let stop = CancellationToken::new();
        let head = tokio::time::timeout(patience * 5, read_head(&reader, &stop, patience)).await;
        assert_eq!(matches!(head, Ok(Ok(None))), given_up, "{sent:?}");
    }
}
