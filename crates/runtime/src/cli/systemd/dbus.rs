//! As much of D-Bus as it takes to ask systemd for a scope: one connection, calls, the signals that answer them.
//!
//! Blocking, with a deadline for everything that is received. Of received bodies only leading numbers and strings are
//! read, which is all that systemd's answers consist of.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for an answer, or for a job to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest message that is read; the specification allows more, systemd's answers are far smaller.
const MAX_MESSAGE: usize = 1024 * 1024;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A value of a call's body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    U32(u32),
    U64(u64),
    Str(String),
    Bytes(Vec<u8>),
    U32s(Vec<u32>),
    /// `a(sv)`.
    Properties(Vec<(&'static str, Value)>),
    /// `a(sa(sv))`, empty.
    NoUnits,
}

impl Value {
    pub(crate) fn str(text: impl Into<String>) -> Self {
        Self::Str(text.into())
    }

    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::U32(_) => "u",
            Self::U64(_) => "t",
            Self::Str(_) => "s",
            Self::Bytes(_) => "ay",
            Self::U32s(_) => "au",
            Self::Properties(_) => "a(sv)",
            Self::NoUnits => "a(sa(sv))",
        }
    }
}

/// What is sent, little-endian, aligned from its beginning.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn u32(&mut self, value: usize) {
        self.align(4);
        // Nothing here comes near 4 GiB.
        self.0.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.u32(text.len());
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        self.value(value);
    }

    /// An array: its length does not count the padding before the first element.
    fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let at = self.0.len() - 4;
        self.align(alignment);
        let start = self.0.len();
        elements(self);
        let length = u32::try_from(self.0.len() - start).unwrap_or(u32::MAX);
        self.0[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.u32(usize::from(*value)),
            Value::U32(value) => {
                self.align(4);
                self.0.extend(value.to_le_bytes());
            }
            Value::U64(value) => {
                self.align(8);
                self.0.extend(value.to_le_bytes());
            }
            Value::Str(text) => self.string(text),
            Value::Bytes(bytes) => self.array(1, |writer| writer.0.extend(bytes)),
            Value::U32s(values) => self.array(4, |writer| {
                values.iter().for_each(|value| writer.0.extend(value.to_le_bytes()));
            }),
            Value::Properties(properties) => self.array(8, |writer| {
                for (name, value) in properties {
                    writer.align(8);
                    writer.string(name);
                    writer.variant(value);
                }
            }),
            Value::NoUnits => self.array(8, |_| {}),
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) destination: &'static str,
    pub(crate) path: &'static str,
    pub(crate) interface: &'static str,
}

/// The bus itself.
const BUS: Target = Target {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

fn call_message(serial: u32, target: Target, member: &str, body: &[Value]) -> Vec<u8> {
    let mut content = Writer::default();
    body.iter().for_each(|value| content.value(value));
    let signature: String = body.iter().map(Value::signature).collect();
    let mut message = Writer(vec![b'l', METHOD_CALL, 0, 1]);
    message.u32(content.0.len());
    message.value(&Value::U32(serial));
    message.array(8, |writer| {
        let fields = [
            (1, "o", target.path),
            (2, "s", target.interface),
            (3, "s", member),
            (6, "s", target.destination),
            (8, "g", signature.as_str()),
        ];
        for (code, kind, text) in fields.into_iter().filter(|(.., text)| !text.is_empty()) {
            writer.align(8);
            writer.0.push(code);
            writer.signature(kind);
            if kind == "g" {
                writer.signature(text);
            } else {
                writer.string(text);
            }
        }
    });
    message.align(8);
    message.0.extend(content.0);
    message.0
}

/// What is received.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or_else(malformed)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.align(4);
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| malformed())?))
    }

    fn length(&mut self) -> io::Result<usize> {
        usize::try_from(self.u32()?).map_err(|_| malformed())
    }

    fn text(&mut self, length: usize) -> io::Result<String> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    fn string(&mut self) -> io::Result<String> {
        let length = self.length()?;
        self.text(length)
    }

    fn signature(&mut self) -> io::Result<String> {
        let length = self.take(1)?[0].into();
        self.text(length)
    }
}

/// A received message.
#[derive(Debug, Default, PartialEq)]
struct Message {
    kind: u8,
    reply_to: u32,
    member: String,
    error: String,
    /// Leading numbers and strings of the body, as text.
    words: Vec<String>,
}

impl Message {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut message = Self { kind: bytes[1], ..Self::default() };
        let mut reader = Reader { bytes, at: 12 };
        let end = reader.length()?.checked_add(16).ok_or_else(malformed)?;
        let mut signature = String::new();
        while reader.at < end {
            reader.align(8);
            let code = reader.take(1)?[0];
            match (&*reader.signature()?, code) {
                ("u", 5) => message.reply_to = reader.u32()?,
                ("u", _) => drop(reader.u32()?),
                ("g", _) => signature = reader.signature()?,
                ("s", 3) => message.member = reader.string()?,
                ("s", 4) => message.error = reader.string()?,
                ("s" | "o", _) => drop(reader.string()?),
                _ => return Err(malformed()),
            }
        }
        reader.align(8);
        for kind in signature.chars() {
            message.words.push(match kind {
                'u' => reader.u32()?.to_string(),
                's' | 'o' => reader.string()?,
                _ => break,
            });
        }
        Ok(message)
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed D-Bus message")
}

/// Why a call did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{text}")]
    Refused { name: String, text: String },
}

/// A connection to a bus, or to systemd itself.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    serial: u32,
    /// Signals that came while something else was waited for.
    signals: Vec<Message>,
}

impl Connection {
    /// Connects to the system bus.
    pub(crate) fn bus(path: &Path) -> Result<Self, CallError> {
        let mut connection = Self::direct(path)?;
        connection.call(BUS, "Hello", &[])?;
        Ok(connection)
    }

    /// Connects to a program that speaks D-Bus without a bus between.
    pub(crate) fn direct(path: &Path) -> Result<Self, CallError> {
        let mut connection = Self { stream: UnixStream::connect(path)?, serial: 0, signals: Vec::new() };
        connection.stream.set_write_timeout(Some(PATIENCE))?;
        connection.authenticate()?;
        Ok(connection)
    }

    /// Asks the bus for a sender's signals.
    pub(crate) fn listen(&mut self, rule: &str) -> Result<(), CallError> {
        self.call(BUS, "AddMatch", &[Value::str(rule)]).map(drop)
    }

    fn authenticate(&mut self) -> io::Result<()> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let (deadline, mut line) = (Instant::now() + PATIENCE, Vec::new());
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.receive(&mut byte, deadline)?;
            line.push(byte[0]);
            if line.len() > 512 {
                return Err(malformed());
            }
        }
        if !line.starts_with(b"OK") {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("we are refused: {line}")));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    /// Calls a method; the leading numbers and strings of the answer.
    pub(crate) fn call(
        &mut self,
        target: Target,
        member: &str,
        body: &[Value],
    ) -> Result<Vec<String>, CallError> {
        self.serial += 1;
        let serial = self.serial;
        self.stream.write_all(&call_message(serial, target, member, body))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next(deadline)?;
            match message.kind {
                SIGNAL => self.signals.push(message),
                METHOD_RETURN if message.reply_to == serial => return Ok(message.words),
                ERROR if message.reply_to == serial => {
                    let text = message.words.into_iter().next().unwrap_or_else(|| message.error.clone());
                    return Err(CallError::Refused { name: message.error, text });
                }
                _ => {}
            }
        }
    }

    /// Waits for a signal that `wanted` takes.
    pub(crate) fn signal<T>(
        &mut self,
        member: &str,
        wanted: impl Fn(&[String]) -> Option<T>,
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + PATIENCE;
        let mut early = std::mem::take(&mut self.signals).into_iter();
        loop {
            let message = match early.next() {
                Some(message) => message,
                None => self.next(deadline)?,
            };
            if message.kind == SIGNAL
                && message.member == member
                && let Some(found) = wanted(&message.words)
            {
                return Ok(found);
            }
        }
    }

    fn next(&mut self, deadline: Instant) -> io::Result<Message> {
        let mut bytes = vec![0; 16];
        self.receive(&mut bytes, deadline)?;
        let number = |at: usize| {
            let four = bytes[at..at + 4].try_into().unwrap_or_default();
            usize::try_from(u32::from_le_bytes(four)).unwrap_or(usize::MAX)
        };
        let (body, fields) = (number(4), number(12));
        if bytes[0] != b'l' || body > MAX_MESSAGE || fields > MAX_MESSAGE {
            return Err(malformed());
        }
        let length = (16 + fields).next_multiple_of(8) + body;
        bytes.resize(length, 0);
        self.receive(&mut bytes[16..], deadline)?;
        Message::parse(&bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer within 30 s");
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let target = Target { destination: "d.e", path: "/p", interface: "i.f" };
        let body = [
            Value::str("ab"),
            Value::Properties(vec![
                ("X", Value::Bool(true)),
                ("Y", Value::U64(7)),
                ("Z", Value::U32s(vec![9])),
            ]),
            Value::NoUnits,
        ];
        let message = call_message(5, target, "M", &body);
        let mut wanted = b"l\x01\0\x01\x50\0\0\0\x05\0\0\0\x55\0\0\0".to_vec();
        wanted.extend(b"\x01\x01o\0\x02\0\0\0/p\0\0\0\0\0\0");
        wanted.extend(b"\x02\x01s\0\x03\0\0\0i.f\0\0\0\0\0");
        wanted.extend(b"\x03\x01s\0\x01\0\0\0M\0\0\0\0\0\0\0");
        wanted.extend(b"\x06\x01s\0\x03\0\0\0d.e\0\0\0\0\0");
        wanted.extend(b"\x08\x01g\0\x0fsa(sv)a(sa(sv))\0\0\0\0");
        // Body: the string, padding to the array, three properties, the empty array.
        wanted.extend(b"\x02\0\0\0ab\0\0");
        wanted.extend(b"\x3c\0\0\0\0\0\0\0");
        assert_eq!(&message[..wanted.len()], &wanted[..]);
    }

    /// A bus that answers each call of a connection with the next of `answers`.
    fn bus(answers: Vec<Vec<u8>>) -> (std::path::PathBuf, std::thread::JoinHandle<()>) {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("corten-bus-{}-{number}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = [0; 64];
            let read = stream.read(&mut line).unwrap();
            assert!(line[..read].starts_with(b"\0AUTH EXTERNAL "), "{line:?}");
            stream.write_all(b"OK 0123\r\n").unwrap();
            stream.read_exact(&mut [0; 7]).unwrap();
            for answer in answers {
                let mut head = [0; 16];
                stream.read_exact(&mut head).unwrap();
                let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
                let rest = (16 + number(12)).next_multiple_of(8) - 16 + number(4);
                stream.read_exact(&mut vec![0; rest]).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        (path, server)
    }

    fn message(
        kind: u8,
        fields: &[(u8, &str, &str)],
        reply_to: u32,
        signature: &str,
        body: &Writer,
    ) -> Vec<u8> {
        let mut message = Writer(vec![b'l', kind, 0, 1]);
        message.u32(body.0.len());
        message.value(&Value::U32(77));
        message.array(8, |writer| {
            for (code, kind, text) in fields {
                writer.align(8);
                writer.0.push(*code);
                writer.signature(kind);
                writer.string(text);
            }
            writer.align(8);
            writer.0.push(5);
            writer.variant(&Value::U32(reply_to));
            writer.align(8);
            writer.0.push(8);
            writer.signature("g");
            writer.signature(signature);
        });
        message.align(8);
        message.0.extend(&body.0);
        message.0
    }

    #[test]
    fn answers_errors_and_signals_are_told_apart() {
        let mut job = Writer::default();
        job.value(&Value::U32(3));
        job.string("/job/3");
        job.string("x.scope");
        job.string("done");
        let mut text = Writer::default();
        text.string("no such thing");
        let mut answer = Writer::default();
        answer.string("/job/3");
        let mut first = message(SIGNAL, &[(3, "s", "JobRemoved")], 0, "uoss", &job);
        first.extend(message(METHOD_RETURN, &[], 1, "o", &answer));
        let second = message(ERROR, &[(4, "s", "org.x.No")], 2, "s", &text);
        let (path, server) = bus(vec![first, second]);
        let mut connection = Connection::direct(&path).unwrap();
        assert_eq!(connection.call(BUS, "Start", &[]).unwrap(), ["/job/3"]);
        match connection.call(BUS, "Stop", &[]).unwrap_err() {
            CallError::Refused { name, text } => assert_eq!((&*name, &*text), ("org.x.No", "no such thing")),
            CallError::Io(error) => panic!("{error}"),
        }
        let result =
            connection.signal("JobRemoved", |words| (words[1] == "/job/3").then(|| words[3].clone()));
        assert_eq!(result.unwrap(), "done");
        server.join().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
