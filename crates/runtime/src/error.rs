//! Why a process could not be started.

use std::fmt;
use std::io;

/// Why a process could not be started: the step, what it was about, and the kernel's answer.
///
/// `Display` is what the daemon reports, so it contains the phrases that clients look for (`executable file not
/// found in $PATH`, `no such file or directory`, `permission denied`, `is a directory`).
#[derive(Debug)]
pub struct StartError {
    step: String,
    source: io::Error,
}

impl StartError {
    /// An error of `step` (a phrase like `mount proc at /proc`).
    pub fn new(step: impl Into<String>, source: io::Error) -> Self {
        Self { step: step.into(), source }
    }

    /// What `docker run` exits with: 127 not found, 126 found but not executable, else 125.
    pub fn exit_code(&self) -> i32 {
        125
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.source)
    }
}

impl std::error::Error for StartError {}
