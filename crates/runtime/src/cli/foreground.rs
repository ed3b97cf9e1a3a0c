//! Staying with a process until it ends: signals go to it, a terminal is relayed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::console::{Raw, copy_size};
use super::{Failure, Naming};

/// Signals that are the process's business. Not those about ourselves: a child, our terminal's job control, our own
/// faults.
const FORWARDED: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGCONT,
    libc::SIGWINCH,
    libc::SIGPWR,
];

/// Size of `struct signalfd_siginfo`, which begins with the signal's number.
const SIGNAL_INFO: usize = 128;

/// What has to be in place before the process starts, so that no signal is lost.
pub(crate) struct Foreground {
    signals: OwnedFd,
}

impl Foreground {
    pub(crate) fn new() -> Result<Self, Failure> {
        let signals =
            linux::event::signal_fd(&FORWARDED, &FORWARDED).naming(|| "block signals".to_owned())?;
        Ok(Self { signals })
    }

    /// Waits for the process to end: its exit code, or 128 + signal.
    pub(crate) fn wait(self, pidfd: &OwnedFd, console: Option<OwnedFd>) -> Result<u8, Failure> {
        let relayed = match &console {
            Some(master) => {
                let _raw = Raw::enter(master.as_fd());
                self.relay(pidfd, master)
            }
            None => self.watch(pidfd),
        };
        relayed.naming(|| "wait for the container".to_owned())?;
        let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
            .naming(|| "wait for the container".to_owned())?;
        let code = status.map_or(255, |status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, signal) => 128 + signal.unwrap_or_default(),
        });
        Ok(u8::try_from(code & 0xff).unwrap_or(255))
    }

    fn watch(&self, pidfd: &OwnedFd) -> io::Result<()> {
        loop {
            let mut fds = [PollFd::new(pidfd, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            if !fds[1].revents().is_empty() {
                self.forward(pidfd, None)?;
            }
            if !fds[0].revents().is_empty() {
                return Ok(());
            }
        }
    }

    fn relay(&self, pidfd: &OwnedFd, master: &OwnedFd) -> io::Result<()> {
        let mut input = Some(rustix::stdio::stdin());
        let mut pending: Vec<u8> = Vec::new();
        let mut buffer = [0_u8; 8192];
        loop {
            let wanted = if pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            let mut fds = vec![
                PollFd::new(pidfd, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(master, wanted),
            ];
            // What cannot be passed on yet is not taken.
            if let (Some(input), true) = (&input, pending.is_empty()) {
                fds.push(PollFd::new(input, PollFlags::IN));
            }
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);
            if !ready[1].is_empty() {
                self.forward(pidfd, Some(master))?;
            }
            if ready[2].contains(PollFlags::OUT) {
                let written = rustix::io::write(master, &pending)?;
                pending.drain(..written);
            }
            let output = ready[2].intersects(PollFlags::IN | PollFlags::HUP);
            if output {
                match rustix::io::read(master, &mut buffer) {
                    Ok(length @ 1..) => write_all(&buffer[..length])?,
                    // EIO: the last program of the terminal is gone. What was written has been read.
                    Ok(0) | Err(Errno::IO) => return wait_for_end(pidfd),
                    Err(error) => return Err(error.into()),
                }
            } else if !ready[0].is_empty() {
                return Ok(());
            }
            if ready.get(3).is_some_and(|ready| !ready.is_empty()) {
                match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                    Ok(length @ 1..) => pending.extend(&buffer[..length]),
                    _ => input = None,
                }
            }
        }
    }

    fn forward(&self, pidfd: &OwnedFd, master: Option<&OwnedFd>) -> io::Result<()> {
        let mut info = [0_u8; SIGNAL_INFO];
        loop {
            match rustix::io::read(&self.signals, &mut info) {
                Ok(SIGNAL_INFO) => {}
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let number = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            match (number, master) {
                (libc::SIGWINCH, Some(master)) => copy_size(master.as_fd()),
                (libc::SIGWINCH, None) => {}
                // It may have ended; that is seen next.
                _ => drop(linux::event::send_signal(pidfd.as_fd(), number)),
            }
        }
    }
}

fn wait_for_end(pidfd: &OwnedFd) -> io::Result<()> {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
    Ok(())
}

fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stdout(), bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}
