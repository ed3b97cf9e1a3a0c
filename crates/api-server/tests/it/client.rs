//! Raw requests: what is on the wire is what is tested.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the daemon.
pub(crate) struct Connection(UnixStream);

impl Connection {
    pub(crate) fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as much as the daemon takes.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Sends a request with a JSON body.
    pub(crate) fn post(&mut self, target: &str, headers: &str, body: &str) {
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: d\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ));
    }

    pub(crate) fn half_close(&self) {
        // The daemon may have closed already.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Reads until `end` has come.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                other => panic!("{other:?} after {:?}, waiting for {end:?}", String::from_utf8_lossy(&bytes)),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until the daemon closes.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

/// What comes until the daemon closes, or resets because it has not read everything.
pub(crate) fn read_to_close(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is there.
    let _ = connection.0.read_to_end(&mut bytes);
    bytes
}

/// One request with any body; the answer's status and body as text.
pub(crate) fn ask(socket: &Path, method: &str, target: &str, body: Option<&Value>) -> (u16, String) {
    let answer = testkit::http::request(socket, method, target, body).unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// Imports a root file system as the image `name`; its id.
pub(crate) fn import(socket: &Path, name: &str, tar: &[u8]) -> String {
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let mut connection = Connection::open(socket);
    let length = tar.len();
    connection.send(format!(
        "POST /images/create?fromSrc=-&repo={repository}&tag={tag} HTTP/1.0\r\n\
         Content-Type: application/x-tar\r\nContent-Length: {length}\r\n\r\n"
    ));
    connection.send(tar);
    let answer = String::from_utf8(connection.rest()).unwrap();
    let document = answer.split_once("\r\n\r\n").unwrap().1;
    let document: Value = serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}: {answer}"));
    document["status"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}
