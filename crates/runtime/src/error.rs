//! Why a process could not be started.
//!
//! The texts are interface: `docker run` derives its exit code from phrases in them, and people search for them.
//! So [`StartError`] keeps the parts apart and one `Display` puts them together, in runc's order and words.

use std::fmt;
use std::io;

/// Why a process could not be started: the step, what it was about, and the kernel's answer.
///
/// `Display` is what the daemon reports, so it contains the phrases that clients look for (`executable file not
/// found in $PATH`, `no such file or directory`, `permission denied`, `is a directory`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError {
    phase: Phase,
    step: String,
    object: String,
    errno: i32,
    reason: String,
}

/// Where it happened; decides how the text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In the runtime, before or beside the new process.
    Runtime,
    /// In the container's first process.
    Init,
    /// In a process that joins a container.
    Exec,
}

/// What kind of failure it was, as a shell tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A file that is not there: the program, its loader, a bind mount's source.
    NotFound,
    /// A file that is there and cannot be executed or used so.
    NotExecutable,
    /// Anything else.
    Other,
}

impl StartError {
    /// An error of `step` (a phrase like `mount proc at /proc`).
    pub fn new(step: impl Into<String>, source: io::Error) -> Self {
        Self {
            phase: Phase::Runtime,
            step: step.into(),
            object: String::new(),
            errno: source.raw_os_error().unwrap_or(0),
            reason: reason(&source),
        }
    }

    /// An error that no system call answered: `reason` says why in full.
    pub fn refused(step: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            phase: Phase::Runtime,
            step: step.into(),
            object: String::new(),
            errno: libc::EINVAL,
            reason: reason.into(),
        }
    }

    /// The same error with the name of the file, capability, limit … that it is about.
    #[must_use]
    pub fn about(mut self, object: impl Into<String>) -> Self {
        self.object = object.into();
        self
    }

    /// The same error with another explanation in place of the kernel's word.
    #[must_use]
    pub(crate) fn because(mut self, errno: i32, reason: impl Into<String>) -> Self {
        self.errno = errno;
        self.reason = reason.into();
        self
    }

    #[must_use]
    pub(crate) fn in_phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// Where it happened.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What was being done.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// What it was about; empty when the step says it all.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The error number behind it, 0 when there was none.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        match self.errno {
            libc::ENOENT => ErrorKind::NotFound,
            // As Docker: of an exec it is the program's or the directory's path, of a start rather a mount.
            libc::ENOTDIR if self.phase == Phase::Exec => ErrorKind::NotFound,
            libc::EACCES | libc::EISDIR | libc::ENOEXEC => ErrorKind::NotExecutable,
            _ => ErrorKind::Other,
        }
    }

    /// What `docker run` exits with: 127 not found, 126 found but not executable, else 125.
    pub fn exit_code(&self) -> i32 {
        match self.kind() {
            ErrorKind::NotFound => 127,
            ErrorKind::NotExecutable => 126,
            ErrorKind::Other => 125,
        }
    }

    /// As bytes, for the way from the new process to its parent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.phase as u8];
        bytes.extend(self.errno.to_le_bytes());
        for text in [&self.step, &self.object, &self.reason] {
            let text = &text.as_bytes()[..text.len().min(MAX_TEXT)];
            bytes.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
            bytes.extend(text);
        }
        bytes
    }

    /// The inverse of [`Self::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (phase, rest) = bytes.split_first()?;
        let (errno, rest) = rest.split_first_chunk()?;
        let (step, rest) = decode_text(rest)?;
        let (object, rest) = decode_text(rest)?;
        let (reason, _) = decode_text(rest)?;
        let phase = match phase {
            0 => Phase::Runtime,
            1 => Phase::Init,
            _ => Phase::Exec,
        };
        Some(Self { phase, step, object, errno: i32::from_le_bytes(*errno), reason })
    }
}

/// Bytes of one text that travel; a message fits [`crate::channel::MAX_MESSAGE`].
const MAX_TEXT: usize = 5000;

fn decode_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

/// The kernel's answer as Go prints it, for that is what clients compare with: `no such file or directory`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match (chars.next(), chars.as_str()) {
        // An abbreviation (`RPC …`) stays.
        (Some(first), rest) if !rest.starts_with(|next: char| next.is_ascii_uppercase()) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unable to start container process: ")?;
        if self.phase == Phase::Init {
            f.write_str("error during container init: ")?;
        }
        write!(f, "{}: {}", self.step, self.reason)
    }
}

impl std::error::Error for StartError {}

/// Turns the error of one step into a [`StartError`].
pub(crate) trait During<T> {
    /// Names the step.
    fn during(self, step: impl FnOnce() -> String) -> Result<T, StartError>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: impl FnOnce() -> String) -> Result<T, StartError> {
        self.map_err(|error| StartError::new(step(), error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn reasons_read_as_go_prints_them() {
        for (number, text) in [
            (libc::ENOENT, "no such file or directory"),
            (libc::EACCES, "permission denied"),
            (libc::EISDIR, "is a directory"),
            (libc::EPERM, "operation not permitted"),
            (libc::ENOEXEC, "exec format error"),
        ] {
            assert_eq!(reason(&errno(number)), text);
        }
    }

    #[test]
    fn exit_codes_follow_the_error_number() {
        for (number, code) in [
            (libc::ENOENT, 127),
            (libc::ENOTDIR, 125),
            (libc::EACCES, 126),
            (libc::EISDIR, 126),
            (libc::ENOEXEC, 126),
            (libc::EPERM, 125),
        ] {
            assert_eq!(StartError::new("step", errno(number)).exit_code(), code);
        }
        let exec = StartError::new("step", errno(libc::ENOTDIR)).in_phase(Phase::Exec);
        assert_eq!(exec.exit_code(), 127);
    }

    #[test]
    fn an_error_survives_the_way_to_the_parent() {
        let error = StartError::new("exec: \"x\"", errno(2)).about("x").in_phase(Phase::Init);
        assert_eq!(StartError::decode(&error.encode()), Some(error.clone()));
        assert_eq!(
            error.to_string(),
            "unable to start container process: error during container init: exec: \"x\": no such file or directory"
        );
        assert_eq!(StartError::decode(&error.encode()[..7]), None);
    }
}
