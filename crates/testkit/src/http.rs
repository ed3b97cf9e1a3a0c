//! The smallest HTTP/1.1 client that can ask the Engine API: one request, one connection, whole answers.
//!
//! Tests look at what is on the wire, so nothing here hides it: no redirects, no retries, no JSON types.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::wait;

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Head as it came, line ends included.
    pub head: String,
    /// Body, with chunked coding taken off.
    pub body: Vec<u8>,
}

impl Answer {
    /// Checks the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }

    /// Value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Sends one request and reads the answer to its end; an error text when that fails.
pub fn request(socket: &Path, method: &str, target: &str, body: Option<&Value>) -> Result<Answer, String> {
    let fail = |what: &str, error: &dyn std::fmt::Display| format!("{method} {target}: {what}: {error}");
    let mut stream = UnixStream::connect(socket).map_err(|error| fail("connect", &error))?;
    stream.set_read_timeout(Some(wait::PATIENCE)).map_err(|error| fail("timeout", &error))?;
    let body = body.map(Value::to_string);
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    if let Some(body) = &body {
        text += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    text += body.as_deref().unwrap_or_default();
    stream.write_all(text.as_bytes()).map_err(|error| fail("write", &error))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|error| fail("read", &error))?;
    parse(&bytes).ok_or_else(|| fail("not an HTTP answer", &String::from_utf8_lossy(&bytes)))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut answer = Answer { status, head, body: bytes[end..].to_vec() };
    if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        answer.body = unchunk(&answer.body)?;
    }
    Some(answer)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|part| part == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_a_cut_answer_is_no_answer() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = parse(format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abcde"[..]));
        assert!(parse(format!("{head}3\r\nab").as_bytes()).is_none());
    }
}
