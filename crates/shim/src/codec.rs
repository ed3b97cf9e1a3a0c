//! Bytes of the [`protocol`](crate::protocol): messages to packets and back.
//!
//! Decoding never panics, whatever the bytes; a packet of an unknown kind is [`Received::Unknown`]. A test holds the
//! golden bytes of version 1: a change there breaks daemons that drive shims of another release.

use crate::protocol::{
    Attach, DecodeError, Event, Exit, Framing, FromShim, ProcessState, Received, Reply, Request, Target,
};

const HEADER: usize = 8;

mod kind {
    pub(super) const HELLO: u16 = 1;
    pub(super) const CREATE: u16 = 2;
    pub(super) const START: u16 = 3;
    pub(super) const ATTACH: u16 = 4;
    pub(super) const EXEC: u16 = 5;
    pub(super) const SIGNAL: u16 = 6;
    pub(super) const RESIZE: u16 = 7;
    pub(super) const STATE: u16 = 8;
    pub(super) const ROOT: u16 = 9;
    pub(super) const FLUSH_LOG: u16 = 10;

    pub(super) const REPLY_HELLO: u16 = 0x8001;
    pub(super) const REPLY_OK: u16 = 0x8002;
    pub(super) const REPLY_CREATED: u16 = 0x8003;
    pub(super) const REPLY_STARTED: u16 = 0x8004;
    pub(super) const REPLY_ERROR: u16 = 0x8005;

    pub(super) const EVENT_EXITED: u16 = 0xc001;
    pub(super) const EVENT_DETACHED: u16 = 0xc002;
}

impl Request {
    /// The packet of this request.
    pub fn encode(&self, sequence: u32) -> Vec<u8> {
        match self {
            Self::Hello { major, minor } => Writer::new(kind::HELLO, sequence).u16(*major).u16(*minor),
            Self::Create => Writer::new(kind::CREATE, sequence),
            Self::Start => Writer::new(kind::START, sequence),
            Self::Attach { target, attach } => {
                Writer::new(kind::ATTACH, sequence).target(target).attach(attach)
            }
            Self::Exec { exec_id, attach } => {
                let writer = Writer::new(kind::EXEC, sequence).text(exec_id);
                match attach {
                    None => writer.u8(0),
                    Some(attach) => writer.u8(1).attach(attach),
                }
            }
            Self::Signal { target, signal } => {
                Writer::new(kind::SIGNAL, sequence).target(target).i32(*signal)
            }
            Self::Resize { target, height, width } => {
                Writer::new(kind::RESIZE, sequence).target(target).u16(*height).u16(*width)
            }
            Self::State => Writer::new(kind::STATE, sequence),
            Self::Root => Writer::new(kind::ROOT, sequence),
            Self::FlushLog => Writer::new(kind::FLUSH_LOG, sequence),
        }
        .0
    }

    /// Reads a request. After an error the sequence number can still be had with [`sequence_of`].
    pub fn decode(packet: &[u8]) -> Result<Received<Self>, DecodeError> {
        let mut reader = Reader(packet);
        let (kind, sequence) = reader.header()?;
        let message = match kind {
            kind::HELLO => Self::Hello { major: reader.u16("major")?, minor: reader.u16("minor")? },
            kind::CREATE => Self::Create,
            kind::START => Self::Start,
            kind::ATTACH => Self::Attach { target: reader.target()?, attach: reader.attach()? },
            kind::EXEC => {
                let exec_id = reader.text("exec id")?;
                let attach = if reader.flag("attach")? { Some(reader.attach()?) } else { None };
                Self::Exec { exec_id, attach }
            }
            kind::SIGNAL => Self::Signal { target: reader.target()?, signal: reader.i32("signal")? },
            kind::RESIZE => Self::Resize {
                target: reader.target()?,
                height: reader.u16("height")?,
                width: reader.u16("width")?,
            },
            kind::STATE => Self::State,
            kind::ROOT => Self::Root,
            kind::FLUSH_LOG => Self::FlushLog,
            kind => return Ok(Received::Unknown { kind, sequence }),
        };
        Ok(Received::Known { sequence, message })
    }
}

/// The sequence number in a packet's header, also of a packet that does not decode; 0 if it has no header.
pub fn sequence_of(packet: &[u8]) -> u32 {
    Reader(packet).header().map_or(0, |(_, sequence)| sequence)
}

impl Reply {
    /// The packet of this reply.
    pub fn encode(&self, sequence: u32) -> Vec<u8> {
        match self {
            Self::Hello { major, minor, shim_pid, plan_digest, init, execs } => {
                let mut writer = Writer::new(kind::REPLY_HELLO, sequence)
                    .u16(*major)
                    .u16(*minor)
                    .i32(*shim_pid)
                    .text(plan_digest)
                    .state(init.as_ref())
                    .len(execs.len());
                for (exec_id, state) in execs {
                    writer = writer.text(exec_id).state(Some(state));
                }
                writer
            }
            Self::Ok => Writer::new(kind::REPLY_OK, sequence),
            Self::Created { pid } => Writer::new(kind::REPLY_CREATED, sequence).i32(*pid),
            Self::Started { pid } => Writer::new(kind::REPLY_STARTED, sequence).i32(*pid),
            Self::Error { exit_code, message } => {
                Writer::new(kind::REPLY_ERROR, sequence).i32(*exit_code).text(message)
            }
        }
        .0
    }

    fn decode_body(kind: u16, reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            kind::REPLY_HELLO => Self::Hello {
                major: reader.u16("major")?,
                minor: reader.u16("minor")?,
                shim_pid: reader.i32("shim pid")?,
                plan_digest: reader.text("plan digest")?,
                init: reader.state()?,
                execs: reader.execs()?,
            },
            kind::REPLY_OK => Self::Ok,
            kind::REPLY_CREATED => Self::Created { pid: reader.i32("pid")? },
            kind::REPLY_STARTED => Self::Started { pid: reader.i32("pid")? },
            kind::REPLY_ERROR => {
                Self::Error { exit_code: reader.i32("exit code")?, message: reader.text("message")? }
            }
            _ => return Ok(None),
        }))
    }
}

impl Event {
    /// The packet of this event.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Exited { target, exit } => Writer::new(kind::EVENT_EXITED, 0).target(target).exit(exit),
            Self::Detached { target } => Writer::new(kind::EVENT_DETACHED, 0).target(target),
        }
        .0
    }

    fn decode_body(kind: u16, reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            kind::EVENT_EXITED => Self::Exited { target: reader.target()?, exit: reader.exit()? },
            kind::EVENT_DETACHED => Self::Detached { target: reader.target()? },
            _ => return Ok(None),
        }))
    }
}

impl FromShim {
    /// Reads what a shim sent.
    pub fn decode(packet: &[u8]) -> Result<Received<Self>, DecodeError> {
        let mut reader = Reader(packet);
        let (kind, sequence) = reader.header()?;
        if let Some(reply) = Reply::decode_body(kind, &mut reader)? {
            return Ok(Received::Known { sequence, message: Self::Reply(reply) });
        }
        if let Some(event) = Event::decode_body(kind, &mut reader)? {
            return Ok(Received::Known { sequence, message: Self::Event(event) });
        }
        Ok(Received::Unknown { kind, sequence })
    }
}

/// Appends fields to a packet.
struct Writer(Vec<u8>);

impl Writer {
    fn new(kind: u16, sequence: u32) -> Self {
        let mut packet = Vec::with_capacity(32);
        packet.extend_from_slice(&kind.to_le_bytes());
        packet.extend_from_slice(&[0, 0]);
        packet.extend_from_slice(&sequence.to_le_bytes());
        Self(packet)
    }

    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn i32(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn i64(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn len(mut self, length: usize) -> Self {
        let length = u32::try_from(length).expect("a packet's parts are far below 4 GiB");
        self.0.extend_from_slice(&length.to_le_bytes());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut writer = self.len(bytes.len());
        writer.0.extend_from_slice(bytes);
        writer
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn target(self, target: &Target) -> Self {
        match target {
            Target::Init => self.u8(0),
            Target::Exec(exec_id) => self.u8(1).text(exec_id),
        }
    }

    fn attach(self, attach: &Attach) -> Self {
        self.u8(u8::from(attach.stdin))
            .u8(u8::from(attach.stdout))
            .u8(u8::from(attach.stderr))
            .u8(match attach.framing {
                Framing::Raw => 0,
                Framing::Multiplexed => 1,
            })
            .bytes(&attach.detach_keys)
            .bytes(&attach.early_input)
    }

    fn state(self, state: Option<&ProcessState>) -> Self {
        match state {
            None => self.u8(0),
            Some(ProcessState::Created { pid }) => self.u8(1).i32(*pid),
            Some(ProcessState::Running { pid }) => self.u8(2).i32(*pid),
            Some(ProcessState::Exited(exit)) => self.u8(3).exit(exit),
        }
    }

    fn exit(self, exit: &Exit) -> Self {
        self.i32(exit.code).u8(u8::from(exit.oom_killed)).i64(exit.at)
    }
}

/// Takes fields off the front of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn header(&mut self) -> Result<(u16, u32), DecodeError> {
        if self.0.len() < HEADER {
            return Err(DecodeError::Truncated("the header"));
        }
        let kind = self.u16("the header")?;
        self.u16("the header")?;
        Ok((kind, self.u32("the header")?))
    }

    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(field)?[0])
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.array(field)?))
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array(field)?))
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Invalid { field, value: value.into() }),
        }
    }

    fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u32(field)?;
        let length = usize::try_from(length).map_err(|_| DecodeError::Truncated(field))?;
        self.take(length, field)
    }

    fn text(&mut self, field: &'static str) -> Result<String, DecodeError> {
        let bytes = self.bytes(field)?;
        Ok(str::from_utf8(bytes).map_err(|_| DecodeError::NotText(field))?.to_owned())
    }

    fn target(&mut self) -> Result<Target, DecodeError> {
        if self.flag("target")? { Ok(Target::Exec(self.text("exec id")?)) } else { Ok(Target::Init) }
    }

    fn attach(&mut self) -> Result<Attach, DecodeError> {
        Ok(Attach {
            stdin: self.flag("stdin")?,
            stdout: self.flag("stdout")?,
            stderr: self.flag("stderr")?,
            framing: if self.flag("framing")? { Framing::Multiplexed } else { Framing::Raw },
            detach_keys: self.bytes("detach keys")?.to_vec(),
            early_input: self.bytes("early input")?.to_vec(),
        })
    }

    fn state(&mut self) -> Result<Option<ProcessState>, DecodeError> {
        Ok(Some(match self.u8("process state")? {
            0 => return Ok(None),
            1 => ProcessState::Created { pid: self.i32("pid")? },
            2 => ProcessState::Running { pid: self.i32("pid")? },
            3 => ProcessState::Exited(self.exit()?),
            value => return Err(DecodeError::Invalid { field: "process state", value: value.into() }),
        }))
    }

    fn exit(&mut self) -> Result<Exit, DecodeError> {
        Ok(Exit {
            code: self.i32("exit code")?,
            oom_killed: self.flag("oom killed")?,
            at: self.i64("exit time")?,
        })
    }

    fn execs(&mut self) -> Result<Vec<(String, ProcessState)>, DecodeError> {
        let count = self.u32("execs")?;
        // No capacity from a number that came over the wire: the vector grows as entries are really there.
        let mut execs = Vec::new();
        for _ in 0..count {
            let exec_id = self.text("exec id")?;
            let state = self.state()?.ok_or(DecodeError::Invalid { field: "process state", value: 0 })?;
            execs.push((exec_id, state));
        }
        Ok(execs)
    }
}

#[cfg(test)]
mod tests;
