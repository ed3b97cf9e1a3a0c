//! The wire protocol between the daemon and a shim: `SOCK_SEQPACKET`, one record a packet, little-endian.
//!
//! ```text
//! offset 0  u16  kind       Request: 1…; Reply: 0x8001…; Event: 0xc001…
//!        2  u16  reserved   0
//!        4  u32  sequence   chosen by the client, repeated in the reply; 0 in events
//!        8  …    body       fields in order; integers little-endian, strings and bytes as u32 length + data
//! ```
//!
//! File descriptors travel with the packet as `SCM_RIGHTS`. Documents that may be large (the plan, an exec's
//! process) come as a memfd. The first request is [`Request::Hello`]; a request of a kind the shim does not know
//! is answered with [`Reply::Error`] and the connection stays open. Several daemons' connections may exist at
//! once (the old one's is closed by the kernel when it dies); every connection that said hello gets every event.
//!
//! Fields are only ever added at the end of a body, so a decoder ignores what follows the fields it knows. How the
//! bytes are made is in `codec`: [`Request::encode`], [`Request::decode`], [`FromShim::decode`] and the like.

/// Major version: a client and a shim with different majors do not talk.
pub const MAJOR: u16 = 1;
/// Minor version: grows with every added kind or trailing field.
pub const MINOR: u16 = 0;
/// Largest packet; larger documents go through a memfd.
pub const MAX_PACKET: usize = 64 * 1024;

/// Which process a request or an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The container's first process.
    Init,
    /// A process started with [`Request::Exec`], by its exec id.
    Exec(String),
}

/// How attached bytes are framed on the client's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Bytes as they are (a terminal, or `raw-stream` without a TTY when only one stream is asked for).
    Raw,
    /// Docker's 8-byte header per frame: stream number 1 or 2, three zeros, big-endian length.
    Multiplexed,
}

/// What a client of attach or exec wants to see and send. The client's socket travels with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Forward what the client sends to the process's standard input.
    pub stdin: bool,
    /// Send standard output.
    pub stdout: bool,
    /// Send standard error.
    pub stderr: bool,
    /// Framing of output.
    pub framing: Framing,
    /// Key sequence, as bytes, that detaches a terminal client; empty: none.
    pub detach_keys: Vec<u8>,
    /// Bytes the HTTP layer had already read from the client after the request's head: early standard input.
    pub early_input: Vec<u8>,
}

/// What a client asks of the shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// First message of a connection. Answer: [`Reply::Hello`].
    Hello {
        /// Client's [`MAJOR`].
        major: u16,
        /// Client's [`MINOR`].
        minor: u16,
    },
    /// Set the container up as the plan says, up to the user's program. fd 0: memfd with the plan
    /// (`plan::Plan`). Only once. Answer: [`Reply::Created`] or [`Reply::Error`], after which the shim exits.
    Create,
    /// Run the user's program. Answer: [`Reply::Ok`], or [`Reply::Error`], after which the sockets of attached clients
    /// are closed, nothing of the container is left, no exit record either, and the shim exits.
    Start,
    /// Attach a client. fd 0: the client's socket, a stream socket. Answer: [`Reply::Ok`] or [`Reply::Error`] (the fd
    /// is closed then). Allowed from create on: who attaches before start gets everything from the first byte.
    ///
    /// When a client that forwards standard input ends its input (`shutdown(SHUT_WR)`), the process's input is closed
    /// if the plan says `stdin_once` (for an exec always) and there is no terminal; otherwise the client is closed, as
    /// Docker does. When the process ends, the client's socket is closed after [`Event::Exited`] was sent and
    /// everything was delivered.
    Attach {
        /// Whose streams.
        target: Target,
        /// Which streams, and how.
        attach: Attach,
    },
    /// Start a process in the running container. fd 0: memfd with `plan::ExecPlan`; fd 1, when `attach` is
    /// given: the client's socket. Answer: [`Reply::Started`] or [`Reply::Error`], whose text starts with Docker's
    /// `OCI runtime exec failed: exec failed: `; on an error the text is also written to the client's socket, framed
    /// as standard output and ended with CRLF, before it is closed. Without a client that forwards standard input
    /// the process's input is at its end from the start.
    Exec {
        /// Exec id, unique in this container, 1 to 64 bytes.
        exec_id: String,
        /// The client, if one is attached from the start.
        attach: Option<Attach>,
    },
    /// Send a signal. Answer: [`Reply::Ok`], or [`Reply::Error`] with `ESRCH` text when it has ended.
    Signal {
        /// Which process.
        target: Target,
        /// Signal number.
        signal: i32,
    },
    /// Set the terminal's size. Answer: [`Reply::Ok`] or [`Reply::Error`].
    Resize {
        /// Which process.
        target: Target,
        /// Rows.
        height: u16,
        /// Columns.
        width: u16,
    },
    /// Ask for the state. Answer: [`Reply::Hello`] again, with everything as of now.
    State,
    /// Ask for the container's root as a file descriptor (the detached overlay). Answer: [`Reply::Ok`] with fd 0.
    Root,
    /// Wait until the log is on disk. Answer: [`Reply::Ok`].
    FlushLog,
}

/// Where a process of the container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessState {
    /// Set up, the user's program not running yet.
    Created {
        /// Host pid.
        pid: i32,
    },
    /// Running.
    Running {
        /// Host pid.
        pid: i32,
    },
    /// Ended.
    Exited(Exit),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// 0 … 255; 128 + n for signal n.
    pub code: i32,
    /// The kernel's OOM killer struck in the container's cgroup since it started.
    pub oom_killed: bool,
    /// Nanoseconds since the Unix epoch.
    pub at: i64,
}

/// What the shim answers. A reply repeats the request's sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Who the shim is and how its processes stand.
    Hello {
        /// Shim's [`MAJOR`].
        major: u16,
        /// Shim's [`MINOR`].
        minor: u16,
        /// Pid of the shim itself.
        shim_pid: i32,
        /// SHA-256 of the plan document, hexadecimal; empty before create.
        plan_digest: String,
        /// The init process; none before create.
        init: Option<ProcessState>,
        /// Exec'd processes, ended ones included (the last 64 of those).
        execs: Vec<(String, ProcessState)>,
    },
    /// Done.
    Ok,
    /// The container is set up.
    Created {
        /// Host pid of init.
        pid: i32,
    },
    /// An exec'd process runs.
    Started {
        /// Host pid.
        pid: i32,
    },
    /// It failed, and nothing of the request was left behind.
    Error {
        /// What `docker run` would exit with: 125, 126 or 127.
        exit_code: i32,
        /// For people; contains Docker's phrase where clients look for one.
        message: String,
    },
}

/// What the shim tells on its own, with sequence number 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A process ended. For init the exit record is on disk by then, its output in the log, and its cgroup gone.
    Exited {
        /// Which process.
        target: Target,
        /// How.
        exit: Exit,
    },
    /// An attached client typed its detach keys; its connection is closed, the process goes on.
    Detached {
        /// Whose streams it was attached to.
        target: Target,
    },
}

/// A packet that was received: a message, or one of a kind that a later version added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received<T> {
    /// A message of a kind this version knows.
    Known {
        /// The sequence number.
        sequence: u32,
        /// The message.
        message: T,
    },
    /// A well-formed header of a kind this version does not know.
    Unknown {
        /// The kind.
        kind: u16,
        /// The sequence number.
        sequence: u32,
    },
}

/// What a client of a shim receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromShim {
    /// The answer to the request of the same sequence number.
    Reply(Reply),
    /// Something happened. Sequence number 0.
    Event(Event),
}

/// Why a packet is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It ends within a field.
    #[error("shim packet ends within {0}")]
    Truncated(&'static str),
    /// A string that is not UTF-8.
    #[error("shim packet: {0} is not UTF-8")]
    NotText(&'static str),
    /// A number that stands for nothing.
    #[error("shim packet: {field} cannot be {value}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
}
