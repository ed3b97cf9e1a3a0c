//! Connections, requests, answers.

use std::fmt;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use api_types::{MAX_API_VERSION, system::ErrorResponse};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::query::Query;

/// Body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// Told each request with its answer's status, for `--debug`.
pub type Trace = Box<dyn Fn(&str) + Send + Sync>;

/// Called when nobody listens at the endpoint. If it succeeds the client tries once more; its error is told instead
/// of the client's own.
pub type Unreachable = Box<dyn Fn(&io::Error) -> Result<(), String> + Send + Sync>;

/// How a client behaves.
#[derive(Default)]
pub struct Settings {
    /// API version to insist on; none: the newest that both sides speak.
    pub version: Option<String>,
    /// More headers for every request.
    pub headers: Vec<(String, String)>,
    /// Told each request.
    pub trace: Option<Trace>,
    /// Called when nobody listens.
    pub unreachable: Option<Unreachable>,
}

/// A client of one engine.
pub struct Client {
    endpoint: Endpoint,
    settings: Settings,
    version: Mutex<Version>,
    idle: Mutex<Option<SendRequest<RequestBody>>>,
    /// An engine has answered.
    reached: AtomicBool,
}

/// The API version in use.
struct Version {
    text: String,
    /// The engine has accepted it, or it must not change.
    settled: bool,
}

/// What a request carries.
pub(crate) enum Payload {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Vec<u8>),
    /// A stream, which cannot be sent again.
    Stream {
        /// Its bytes.
        body: RequestBody,
        /// Its type.
        content_type: &'static str,
    },
}

/// A request before it has a version and a connection.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the version, already escaped.
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) payload: Payload,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Ask for a raw two-way stream.
    pub(crate) upgrade: bool,
}

impl Request {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Query::new(),
            payload: Payload::Empty,
            headers: Vec::new(),
            upgrade: false,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn head(path: impl Into<String>) -> Self {
        Self::new(Method::HEAD, path)
    }

    pub(crate) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn query(mut self, query: Query) -> Self {
        self.query = query;
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        let body =
            serde_json::to_vec(body).expect("API types have string keys only, so they are always JSON");
        self.payload = Payload::Json(body);
        self
    }

    fn description(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer whose head has come.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    sender: SendRequest<RequestBody>,
    request: String,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(endpoint: Endpoint, settings: Settings) -> Self {
        let version = Version {
            settled: settings.version.is_some(),
            text: settings.version.clone().unwrap_or_else(|| MAX_API_VERSION.to_owned()),
        };
        Self {
            endpoint,
            settings,
            version: Mutex::new(version),
            idle: Mutex::new(None),
            reached: AtomicBool::new(false),
        }
    }

    /// Where the engine listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// API version in use; final after the first successful request.
    pub fn version(&self) -> String {
        self.lock_version().text.clone()
    }

    fn lock_version(&self) -> std::sync::MutexGuard<'_, Version> {
        self.version.lock().expect("nothing panics while it holds the version")
    }

    /// Sends a request and reads the answer's JSON.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, request: Request) -> Result<T, ClientError> {
        let answer = self.send(request).await?;
        let (bytes, request) = self.collect(answer).await?;
        decode(&bytes).map_err(|source| ClientError::Decode { request, source })
    }

    /// Sends a request and reads the answer's body.
    pub(crate) async fn fetch_bytes(&self, request: Request) -> Result<Bytes, ClientError> {
        let answer = self.send(request).await?;
        Ok(self.collect(answer).await?.0)
    }

    /// Sends a request whose answer has no body worth reading.
    pub(crate) async fn run(&self, request: Request) -> Result<(), ClientError> {
        self.fetch_bytes(request).await.map(drop)
    }

    /// Sends a request; an answer that reports failure is an error.
    pub(crate) async fn send(&self, mut request: Request) -> Result<Answer, ClientError> {
        if matches!(request.payload, Payload::Stream { .. }) {
            self.settle_version().await?;
        }
        loop {
            let version = self.version();
            let answer = self.send_once(&mut request, &format!("/v{version}")).await?;
            let status = answer.response.status();
            if status.is_success()
                || status == StatusCode::SWITCHING_PROTOCOLS
                || status == StatusCode::NOT_MODIFIED
            {
                self.lock_version().settled = true;
                return Ok(answer);
            }
            let (bytes, _) = self.collect(answer).await?;
            let message = error_text(&bytes, status);
            match newest_of_engine(&message) {
                Some(newest) if status == StatusCode::BAD_REQUEST && self.take_version(newest) => {}
                _ => return Err(ClientError::Api { status: status.as_u16(), message }),
            }
        }
    }

    /// Takes the engine's version unless the present one is settled or the same.
    fn take_version(&self, newest: &str) -> bool {
        let mut version = self.lock_version();
        if version.settled || version.text == newest {
            return false;
        }
        version.text = newest.to_owned();
        true
    }

    /// Finds out which version both sides speak, unless that is known.
    pub async fn settle_version(&self) -> Result<(), ClientError> {
        if self.lock_version().settled {
            return Ok(());
        }
        let newest = self.ping().await?;
        let mut version = self.lock_version();
        if !newest.is_empty() && older(&newest, &version.text) {
            version.text = newest;
        }
        version.settled = true;
        Ok(())
    }

    /// Asks whether the engine is there; answers its newest API version.
    pub async fn ping(&self) -> Result<String, ClientError> {
        let mut request = Request::get("/_ping");
        let answer = self.send_once(&mut request, "").await?;
        let status = answer.response.status();
        let version = answer.response.headers().get("api-version").and_then(|value| value.to_str().ok());
        let version = version.unwrap_or_default().to_owned();
        let (bytes, _) = self.collect(answer).await?;
        if !status.is_success() {
            let message = error_text(&bytes, status);
            return Err(ClientError::Api { status: status.as_u16(), message });
        }
        Ok(version)
    }

    async fn send_once(&self, request: &mut Request, prefix: &str) -> Result<Answer, ClientError> {
        let idle = self.idle.lock().expect("nothing panics while it holds the connection").take();
        if let Some(mut sender) = idle
            && !matches!(request.payload, Payload::Stream { .. })
            && sender.ready().await.is_ok()
        {
            let message = self.message(request, prefix)?;
            // The engine may have closed the idle connection in this very moment; then a new one is made.
            if let Ok(response) = sender.send_request(message).await {
                return Ok(self.answer(response, sender, request, prefix));
            }
        }
        let mut sender = self.connect().await?;
        let message = self.message(request, prefix)?;
        let sent = sender.send_request(message).await;
        let response = sent.map_err(|source| transport_error(request.description(), source))?;
        Ok(self.answer(response, sender, request, prefix))
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        sender: SendRequest<RequestBody>,
        request: &Request,
        prefix: &str,
    ) -> Answer {
        if let Some(trace) = &self.settings.trace {
            let query = request.query.as_str();
            let mark = if query.is_empty() { "" } else { "?" };
            trace(&format!(
                "{} {prefix}{}{mark}{query}: {}",
                request.method,
                request.path,
                response.status()
            ));
        }
        Answer { response, sender, request: request.description() }
    }

    /// The HTTP request. Takes a streamed body out of `request`.
    fn message(
        &self,
        request: &mut Request,
        prefix: &str,
    ) -> Result<http::Request<RequestBody>, ClientError> {
        let query = request.query.as_str();
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("{prefix}{}{mark}{query}", request.path);
        let (body, content_type) = match std::mem::replace(&mut request.payload, Payload::Empty) {
            Payload::Empty => (empty_body(), None),
            Payload::Json(bytes) => {
                let body =
                    Full::new(Bytes::copy_from_slice(&bytes)).map_err(|never| match never {}).boxed_unsync();
                request.payload = Payload::Json(bytes);
                (body, Some("application/json"))
            }
            Payload::Stream { body, content_type } => (body, Some(content_type)),
        };
        let builder = http::Request::builder().method(request.method.clone()).uri(target);
        let fault = |source: http::Error| transport_error(request.description(), source);
        let mut message = builder.body(body).map_err(fault)?;
        let headers = message.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("Corten-Client/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if request.upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
        }
        let own = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let set = self.settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in set.chain(own) {
            let name = HeaderName::try_from(name).map_err(|e| transport_error(request.description(), e))?;
            let value =
                HeaderValue::try_from(value).map_err(|e| transport_error(request.description(), e))?;
            headers.insert(name, value);
        }
        Ok(message)
    }

    async fn connect(&self) -> Result<SendRequest<RequestBody>, ClientError> {
        match &self.endpoint {
            Endpoint::Unix(path) => {
                // An engine that was there and is gone has been stopped by somebody: it is not started again.
                let start = self.settings.unreachable.as_ref().filter(|_| !self.reached.load(Relaxed));
                let stream = match (UnixStream::connect(path).await, start) {
                    (Ok(stream), _) => stream,
                    (Err(error), Some(start)) if nobody_listens(&error) => {
                        start(&error).map_err(ClientError::NotStarted)?;
                        UnixStream::connect(path).await.map_err(|e| self.connect_error(e))?
                    }
                    (Err(error), _) => return Err(self.connect_error(error)),
                };
                self.reached.store(true, Relaxed);
                self.handshake(stream).await
            }
            Endpoint::Tcp { host, port } => {
                let mut last = None;
                for address in self.endpoint.addresses() {
                    match TcpStream::connect((address, *port)).await {
                        Ok(stream) => return self.handshake(stream).await,
                        Err(error) => last = Some(error),
                    }
                }
                Err(match last {
                    Some(error) => self.connect_error(error),
                    None => {
                        ClientError::NoSuchHost { endpoint: self.endpoint.to_string(), host: host.clone() }
                    }
                })
            }
        }
    }

    async fn handshake<S>(&self, stream: S) -> Result<SendRequest<RequestBody>, ClientError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|e| transport_error("connect".to_owned(), e))?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    fn connect_error(&self, source: io::Error) -> ClientError {
        let endpoint = self.endpoint.to_string();
        match source.kind() {
            io::ErrorKind::PermissionDenied => {
                let remedy = self.endpoint.remedy();
                ClientError::Permission { endpoint, remedy, source }
            }
            _ => ClientError::Connect { endpoint, source },
        }
    }

    /// Reads the body to its end and keeps the connection for the next request.
    async fn collect(&self, answer: Answer) -> Result<(Bytes, String), ClientError> {
        let Answer { response, sender, request } = answer;
        match response.into_body().collect().await {
            Ok(body) => {
                self.keep(sender);
                Ok((body.to_bytes(), request))
            }
            Err(source) => Err(transport_error(request, source)),
        }
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        *self.idle.lock().expect("nothing panics while it holds the connection") = Some(sender);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Body of a streamed answer.
#[derive(Debug)]
pub struct BodyStream {
    body: Incoming,
    request: String,
    /// The connection must live as long as its body.
    _sender: SendRequest<RequestBody>,
}

impl Answer {
    /// The body as it comes.
    pub(crate) fn into_stream(self) -> BodyStream {
        BodyStream { body: self.response.into_body(), request: self.request, _sender: self.sender }
    }
}

impl BodyStream {
    /// The request that it answers, for errors.
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| transport_error(self.request.clone(), source))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Everything that is left, as JSON.
    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, ClientError> {
        let mut bytes = Vec::new();
        while let Some(more) = self.next().await? {
            bytes.extend_from_slice(&more);
        }
        decode(&bytes).map_err(|source| ClientError::Decode { request: self.request, source })
    }
}

pub(crate) fn transport_error(
    request: String,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ClientError {
    ClientError::Transport { request, source: Box::new(source) }
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn empty_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Reads JSON as Go would: where a field is `null` it keeps its default.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|_| {
        let mut value = serde_json::from_slice(bytes)?;
        api_types::strip_nulls(&mut value);
        serde_json::from_value(value)
    })
}

/// The engine's words in an answer that reports failure.
fn error_text(bytes: &[u8], status: StatusCode) -> String {
    if let Ok(error) = serde_json::from_slice::<ErrorResponse>(bytes)
        && !error.message.is_empty()
    {
        return error.message.trim().to_owned();
    }
    match String::from_utf8_lossy(bytes).trim() {
        "" => format!("request returned {status}; the engine gave no reason"),
        text => text.to_owned(),
    }
}

/// The newest version that an engine names when ours is too new for it.
fn newest_of_engine(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("client version ")?.split_once("Maximum supported API version is ")?.1;
    Some(rest.trim_end_matches('.')).filter(|version| number(version).is_some())
}

/// True when version `a` is older than `b`.
fn older(a: &str, b: &str) -> bool {
    number(a) < number(b)
}

fn number(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_version_is_read_from_its_refusal() {
        let text = "client version 1.99 is too new. Maximum supported API version is 1.43";
        assert_eq!(newest_of_engine(text), Some("1.43"));
        assert_eq!(newest_of_engine("client version 1.12 is too old"), None);
        assert!(older("1.9", "1.24") && !older("1.51", "1.51") && !older("2.0", "1.51"));
    }

    #[test]
    fn an_error_is_json_text_or_a_status() {
        let text = |bytes: &[u8]| error_text(bytes, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(text(br#"{"message":"no such x"}"#), "no such x");
        assert_eq!(text(b"plain\r\n"), "plain");
        assert_eq!(text(b""), "request returned 500 Internal Server Error; the engine gave no reason");
    }
}
