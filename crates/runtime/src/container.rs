//! The container's first process.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime::Spec;

use crate::cgroup::Cgroup;
use crate::error::StartError;
use crate::seccomp::Program;

/// Where the root file system comes from.
#[derive(Debug)]
pub enum Rootfs<'a> {
    /// A directory, bind-mounted onto itself in the container's mount namespace.
    Path(&'a Path),
    /// A detached mount (`fsmount`, `open_tree`), moved into the container's mount namespace.
    Detached(BorrowedFd<'a>),
}

/// Standard input, output and error of a process.
#[derive(Debug)]
pub enum Stdio {
    /// These three, in order.
    Fds([OwnedFd; 3]),
    /// A new pseudo-terminal of the container's own devpts; the master comes back in [`Init::console`].
    Terminal,
}

/// What [`create`] needs.
#[derive(Debug)]
pub struct InitRequest<'a> {
    /// The specification. `linux.seccomp` is used only when `seccomp` below is none.
    pub spec: &'a Spec,
    /// Directory that relative paths in the specification start from.
    pub bundle: &'a Path,
    /// The root file system.
    pub rootfs: Rootfs<'a>,
    /// Standard streams.
    pub stdio: Stdio,
    /// Compiled filter, in place of the specification's.
    pub seccomp: Option<&'a Program>,
    /// The container's cgroup: made, limits set. The process is in it before it runs a line of its own.
    pub cgroup: Option<&'a Cgroup>,
}

/// A container's first process, set up and waiting for [`Init::start`].
#[derive(Debug)]
pub struct Init {
    /// Host pid.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Master of its terminal, with [`Stdio::Terminal`].
    pub console: Option<OwnedFd>,
    /// The gate and the error pipe.
    #[expect(dead_code, reason = "used by start")]
    gate: OwnedFd,
}

/// Sets a container up: namespaces, mounts, root, devices, limits; everything up to `execve` of the program.
///
/// The caller becomes the parent of the new process. On an error nothing is left behind.
pub fn create(_request: InitRequest<'_>) -> Result<Init, StartError> {
    Err(StartError::new("create", std::io::Error::from_raw_os_error(38)))
}

impl Init {
    /// Runs the user's program. Returns when `execve` has succeeded or failed; after a failure the process is
    /// gone and reaped.
    pub fn start(&mut self) -> Result<(), StartError> {
        Err(StartError::new("start", std::io::Error::from_raw_os_error(38)))
    }
}
