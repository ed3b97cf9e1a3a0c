//! Standard streams for a new process: pipes, `/dev/null`, or a terminal that the runtime makes.

use std::io;
use std::os::fd::OwnedFd;

use oci::runtime::{IdMapping, Process, Spec};
use runtime::Stdio;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchown, fcntl_setfl, openat};
use rustix::pipe::{PipeFlags, pipe_with};

/// Our ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// Makes the streams of `process`.
pub(super) fn make(spec: &Spec, process: &Process, open_stdin: bool) -> io::Result<(Stdio, Ends)> {
    if process.terminal {
        return Ok((Stdio::Terminal, Ends::default()));
    }
    let uid = host_uid(spec, process.user.uid);
    let (stdin, our_stdin) = if open_stdin {
        let (read, write) = pipe(uid)?;
        (read, Some(write))
    } else {
        (openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    let (our_stdout, stdout) = pipe(uid)?;
    let (our_stderr, stderr) = pipe(uid)?;
    for ours in [our_stdin.as_ref(), Some(&our_stdout), Some(&our_stderr)].into_iter().flatten() {
        fcntl_setfl(ours, OFlags::NONBLOCK)?;
    }
    let ends = Ends { stdin: our_stdin, stdout: Some(our_stdout), stderr: Some(our_stderr) };
    Ok((Stdio::Fds([stdin, stdout, stderr]), ends))
}

/// A pipe that belongs to the process's user, who could not open `/dev/stdout` otherwise.
fn pipe(uid: Option<u32>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    if let Some(uid) = uid.filter(|uid| *uid != 0) {
        fchown(&write, Some(Uid::from_raw(uid)), None::<Gid>)?;
    }
    Ok((read, write))
}

/// The uid outside the container's user namespace, if it has one.
fn host_uid(spec: &Spec, uid: u32) -> Option<u32> {
    let mappings: &[IdMapping] = spec.linux.as_ref().map_or(&[], |linux| &linux.uid_mappings);
    if mappings.is_empty() {
        return Some(uid);
    }
    mappings.iter().find_map(|mapping| {
        let offset = uid.checked_sub(mapping.container_id).filter(|offset| *offset < mapping.size)?;
        mapping.host_id.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use oci::runtime::Linux;

    use super::*;

    #[test]
    fn ids_are_mapped_as_the_user_namespace_does() {
        let mapping = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        let uid_mappings = vec![mapping(0, 100_000, 1000), mapping(1000, 5, 1)];
        let mapped = Spec { linux: Some(Linux { uid_mappings, ..Linux::default() }), ..Spec::default() };
        let cases = [(0, Some(100_000)), (999, Some(100_999)), (1000, Some(5)), (1001, None)];
        for (uid, expected) in cases {
            assert_eq!(host_uid(&mapped, uid), expected);
        }
        assert_eq!(host_uid(&Spec::default(), 7), Some(7));
    }
}
