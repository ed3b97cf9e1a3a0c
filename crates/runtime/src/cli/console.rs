//! Terminals: handing one to whoever asked for it, or relaying it to our own.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::{Failure, Naming};

/// Connects to `--console-socket`, before anything is started: a wrong path is a cheap error then.
pub(crate) fn connect(path: &OsStr) -> Result<UnixStream, Failure> {
    UnixStream::connect(path).naming(|| format!("connect to console socket {}", path.display()))
}

/// Sends the master of a terminal, as runc does: the descriptor, with a name as its company.
pub(crate) fn send(socket: &UnixStream, master: BorrowedFd<'_>) -> Result<(), Failure> {
    let fds = [master];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let name = IoSlice::new(b"/dev/ptmx");
    rustix::net::sendmsg(socket, &[name], &mut control, SendFlags::NOSIGNAL)
        .naming(|| "send the terminal to the console socket".to_owned())?;
    Ok(())
}

/// Our own terminal in raw mode; as it was, on drop.
pub(crate) struct Raw {
    saved: Option<Termios>,
}

impl Raw {
    /// Changes standard input, when that is a terminal, and gives `master` its size.
    pub(crate) fn enter(master: BorrowedFd<'_>) -> Self {
        let stdin = rustix::stdio::stdin();
        let saved = tcgetattr(stdin).ok();
        if let Some(saved) = &saved {
            let mut raw = saved.clone();
            raw.make_raw();
            // Without raw mode the terminal still works, line by line.
            let _ = tcsetattr(stdin, OptionalActions::Now, &raw);
            copy_size(master);
        }
        Self { saved }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, saved);
        }
    }
}

/// Gives `master` the size of our own terminal.
pub(crate) fn copy_size(master: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(master.as_fd(), size);
    }
}
