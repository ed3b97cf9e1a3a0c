//! A small engine on a unix socket: notes each request and answers what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// `POST /v1.51/containers/create?name=x`.
    pub(super) line: String,
    pub(super) body: Vec<u8>,
    /// Asks for a raw stream.
    pub(super) upgrade: bool,
}

impl Request {
    /// Method and path below the version, without the query.
    pub(super) fn call(&self) -> String {
        let (method, target) = self.line.split_once(' ').unwrap_or((&self.line, ""));
        let path = target.split('?').next().unwrap_or_default();
        let path = match path.strip_prefix("/v1.") {
            Some(rest) => rest.find('/').map_or("", |slash| &rest[slash..]),
            None => path,
        };
        format!("{method} {path}")
    }

    pub(super) fn query(&self) -> &str {
        self.line.split_once('?').map_or("", |(_, query)| query)
    }
}

/// An answer.
pub(super) struct Answer {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    /// Written to the raw connection after the answer's head.
    stream: Option<Vec<u8>>,
}

impl Answer {
    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type: "application/json", body: body.into(), stream: None }
    }

    /// A refusal.
    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(status, serde_json::json!({ "message": message }).to_string())
    }

    pub(super) fn empty() -> Self {
        Self::json(204, "")
    }

    /// A hijacked connection that brings `bytes` and ends once the client has ended its input.
    pub(super) fn stream(bytes: impl Into<Vec<u8>>) -> Self {
        let content_type = "application/vnd.docker.multiplexed-stream";
        Self { status: 101, content_type, body: Vec::new(), stream: Some(bytes.into()) }
    }
}

type Handler = Box<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The engine. Gone with its directory when dropped.
pub(super) struct Engine {
    directory: PathBuf,
    requests: Arc<Mutex<Vec<Request>>>,
    input: Arc<Mutex<Vec<u8>>>,
}

impl Engine {
    pub(super) fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("corten-client-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("s")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let input = Arc::new(Mutex::new(Vec::new()));
        let engine = Self { directory, requests: Arc::clone(&requests), input: Arc::clone(&input) };
        let handler: Arc<Handler> = Arc::new(Box::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, requests, input) =
                    (Arc::clone(&handler), Arc::clone(&requests), Arc::clone(&input));
                std::thread::spawn(move || serve(stream, &handler, &requests, &input));
            }
        });
        engine
    }

    pub(super) fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// Writes a file beside the socket; answers its path.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.join(name);
        std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).unwrap();
        path.display().to_string()
    }

    /// The command line, with this engine as its own.
    pub(super) fn command(&self, program: &str) -> Command {
        let link = self.directory.join(program);
        if !link.exists() {
            // Tests may make the same link at once; either is right.
            let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_corten"), &link);
        }
        let mut command = Command::new(link);
        command.env_clear().env("HOME", "/root").env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.env("DOCKER_CONFIG", &self.directory).env("DOCKER_HOST", self.host()).current_dir("/tmp");
        command.stdin(std::process::Stdio::null());
        command
    }

    pub(super) fn host(&self) -> String {
        format!("unix://{}", self.directory.join("s").display())
    }

    /// Runs `corten` with the words of a line.
    pub(super) fn run(&self, line: &str) -> Output {
        self.command("corten").args(line.split(' ').filter(|word| !word.is_empty())).output().unwrap()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The calls so far, by method and path.
    pub(super) fn calls(&self) -> Vec<String> {
        self.requests().iter().map(Request::call).collect()
    }

    /// What came over raw connections.
    pub(super) fn input(&self) -> Vec<u8> {
        self.input.lock().unwrap().clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn serve(mut stream: UnixStream, handler: &Handler, requests: &Mutex<Vec<Request>>, input: &Mutex<Vec<u8>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader) {
        requests.lock().unwrap().push(request.clone());
        let answer = handler(&request);
        let status = answer.status;
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Type: {}\r\n", answer.content_type);
        if let Some(bytes) = answer.stream {
            assert!(request.upgrade, "{}: a raw stream that nobody asked for", request.line);
            head.push_str("Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
            // In one piece: a client must keep what comes together with the head.
            let _ = stream.write_all(&[head.as_bytes(), &bytes].concat());
            let mut typed = Vec::new();
            let _ = reader.read_to_end(&mut typed);
            input.lock().unwrap().extend_from_slice(&typed);
            return;
        }
        if status != 204 && status != 304 {
            head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
        }
        head.push_str("\r\n");
        if stream.write_all(&[head.as_bytes(), &answer.body].concat()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<UnixStream>) -> Option<Request> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let (mut length, mut chunked, mut upgrade) = (0, false, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_lowercase();
        match line.split_once(": ") {
            None if line.is_empty() => break,
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(("upgrade", _)) => upgrade = true,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Some(Request { line, body, upgrade })
}
