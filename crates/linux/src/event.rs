//! Signals: as events of a descriptor (`signalfd(2)`), and sent through one (`pidfd_send_signal(2)`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, read};

/// Blocks the signals `blocked` in the calling thread; those in `reported` (a subset) make the descriptor that is
/// returned readable, the others stay pending for ever.
///
/// Children inherit the mask: whoever starts programs must reset it.
pub fn signal_fd(blocked: &[i32], reported: &[i32]) -> io::Result<OwnedFd> {
    let mask = signal_set(blocked)?;
    // SAFETY: `mask` is an initialised signal set that the call only reads; the old mask is not asked for.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, std::ptr::null_mut()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mask = signal_set(reported)?;
    // SAFETY: `mask` is an initialised signal set that the call only reads; −1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const mask, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made `fd`, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes everything that is pending in a [`signal_fd`], without waiting. Which signals they were, and how many of a
/// kind, is not told: the kernel merges them anyway.
pub fn drain_signals(signals: BorrowedFd<'_>) -> io::Result<()> {
    let mut buffer = [0u8; 4 * size_of::<libc::signalfd_siginfo>()];
    loop {
        match read(signals, &mut buffer) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a signal, real-time ones included (which rustix has no safe name for), to the process of a pidfd.
///
/// `pidfd_send_signal(2)`, Linux 5.1. `ESRCH`: it has been reaped; `EINVAL`: there is no such signal.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: `pidfd` is borrowed, so it stays open; no `siginfo_t` is passed. A signal to this very process does
    // what its disposition says, which is the caller's wish.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn signal_set(signals: &[i32]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given a valid pointer to.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: `set` is initialised; a number that is no signal is answered with EINVAL.
        if unsafe { libc::sigaddset(&raw mut set, *signal) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn a_reported_signal_makes_the_descriptor_readable_until_it_is_drained() {
        // In a thread of its own: the mask and the signal stay there.
        std::thread::spawn(|| {
            let signals = signal_fd(&[libc::SIGUSR1, libc::SIGUSR2], &[libc::SIGUSR1]).unwrap();
            let readable = || {
                let mut fds = [PollFd::new(&signals, PollFlags::IN)];
                poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
            };
            let raise = |signal| {
                // SAFETY: both signals are blocked in this thread, so nothing runs.
                assert_eq!(unsafe { libc::raise(signal) }, 0);
            };
            raise(libc::SIGUSR2);
            assert!(!readable());
            raise(libc::SIGUSR1);
            assert!(readable());
            drain_signals(signals.as_fd()).unwrap();
            assert!(!readable());
        })
        .join()
        .unwrap();
    }
}
