//! One more process in a running container.

use std::os::fd::{BorrowedFd, OwnedFd};

use oci::runtime::Process;

use crate::cgroup::Cgroup;
use crate::container::Stdio;
use crate::error::StartError;
use crate::seccomp::Program;

/// What [`exec`] needs.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// Pidfd of the container's init: its namespaces are joined through it.
    pub init: BorrowedFd<'a>,
    /// Host pid of the container's init.
    pub init_pid: i32,
    /// The process.
    pub process: &'a Process,
    /// Standard streams.
    pub stdio: Stdio,
    /// Compiled filter.
    pub seccomp: Option<&'a Program>,
    /// The container's cgroup, joined before the program runs.
    pub cgroup: Option<&'a Cgroup>,
}

/// A running exec'd process; a child of the caller.
#[derive(Debug)]
pub struct ExecProcess {
    /// Host pid.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Master of its terminal, with [`Stdio::Terminal`].
    pub console: Option<OwnedFd>,
}

/// Starts a process in a container. Returns when `execve` has succeeded or failed.
pub fn exec(_request: ExecRequest<'_>) -> Result<ExecProcess, StartError> {
    Err(StartError::new("exec", std::io::Error::from_raw_os_error(38)))
}
