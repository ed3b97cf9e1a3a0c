//! Descriptors that a service manager passes to a process it starts.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::FdFlags;

/// The first of them, `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;

/// Takes the sockets that `sd_listen_fds(3)` would name, close-on-exec from now on.
///
/// Only for the first call of a process whose environment says that it has them, before it opens anything of its own;
/// a second call is refused.
pub fn inherited_sockets(count: u32) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "already taken"));
    }
    let count = RawFd::try_from(count).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    (FIRST..FIRST.saturating_add(count)).map(inherited_socket).collect()
}

fn inherited_socket(number: RawFd) -> io::Result<OwnedFd> {
    // The link tells what the number is without touching it: it could be a file of our own if we were called wrongly.
    let target = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
    if !target.to_string_lossy().starts_with("socket:") {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("descriptor {number} is not a socket"),
        ));
    }
    // SAFETY: `number` is open, as just seen. The service manager made it for this process and nothing here owns it
    // yet: `TAKEN` lets this run once.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    Ok(socket)
}
