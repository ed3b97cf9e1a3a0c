//! Namespaces beyond `setns(2)`, which `rustix::thread` has.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::ThreadNameSpaceType;

use crate::clone::{CloneArgs, spawn};

/// Moves this process to new namespaces of the given kinds (pid and time: its future children).
pub fn unshare(kinds: ThreadNameSpaceType) -> io::Result<()> {
    let known = kinds & ThreadNameSpaceType::all();
    // SAFETY: only namespace bits are passed; CLONE_FILES and CLONE_VM, which would pull resources from under
    // other threads, are not among them.
    let ret = unsafe { libc::unshare(known.bits().cast_signed()) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Brings the loopback interface of the current network namespace up.
pub fn bring_up_loopback() -> io::Result<()> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `ifreq` is plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = (*from).cast_signed();
    }
    let up = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`; `request` is on our stack, `socket` open during the call.
    let ret = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A user namespace with these mappings (`uid_map` and `gid_map` as the kernel reads them), held by nothing but
/// the descriptor: what an id-mapped mount needs.
pub fn user_namespace(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let args = CloneArgs { namespaces: libc::CLONE_NEWUSER, ..CloneArgs::default() };
    let child = spawn(&args, |forked| {
        // Keeps the namespace alive until the parent's end of the pipe closes, whatever happens to the parent.
        let _ = forked.close_all_except(3, &[std::os::fd::AsFd::as_fd(&reader)]);
        let _ = rustix::io::read(&reader, &mut [0_u8; 1]);
        0
    })?;
    let proc = format!("/proc/{}", child.pid);
    let made = write_map(&format!("{proc}/uid_map"), uid_map)
        .and_then(|()| write_map(&format!("{proc}/gid_map"), gid_map))
        .and_then(|()| std::fs::File::open(format!("{proc}/ns/user")));
    drop(writer);
    let _ = rustix::process::waitid(
        rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&child.pidfd)),
        rustix::process::WaitIdOptions::EXITED,
    );
    Ok(made?.into())
}

/// Writes a `uid_map` or `gid_map`: one `write`, as the kernel wants it.
pub fn write_map(path: &str, map: &str) -> io::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    rustix::io::write(&file, map.as_bytes())?;
    Ok(())
}
