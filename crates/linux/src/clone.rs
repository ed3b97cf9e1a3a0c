//! New processes by `clone3(2)`.
//!
//! [`spawn`] is a `fork`: the child gets a copy of memory and runs a closure. The kernel copies only the calling
//! thread. In a process with several threads a lock that another thread held at that moment (the allocator's, for
//! one) stays locked for ever in the child; callers that allocate in the closure must be single-threaded, as the
//! shim and `corten-runtime` are.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How the new process is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneArgs<'a> {
    /// `CLONE_NEW*` flags; all other bits are ignored.
    pub namespaces: i32,
    /// Start in this cgroup (a directory of the v2 hierarchy), `CLONE_INTO_CGROUP`, Linux 5.7.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Make the caller's parent the parent of the new process, `CLONE_PARENT`.
    pub sibling: bool,
}

/// A process that was started.
#[derive(Debug)]
pub struct Child {
    /// Its pid as the caller sees it.
    pub pid: i32,
    /// Its pidfd, close-on-exec.
    pub pidfd: OwnedFd,
}

/// Proof that the code runs in a process made by [`spawn`], which ends without returning to the caller's frames:
/// what would be unsound elsewhere (closing descriptors that somebody else owns) is allowed here.
#[derive(Debug)]
pub struct Forked(());

/// In place of libc's constant, which is too narrow for its value.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// Starts a process that runs `child` and exits with what it returns (a panic: 101).
///
/// `SIGCHLD` is sent to the parent when it ends, except with [`CloneArgs::sibling`], where the kernel takes the
/// caller's own exit signal.
pub fn spawn(args: &CloneArgs<'_>, child: impl FnOnce(Forked) -> i32) -> io::Result<Child> {
    let mut pidfd: i32 = -1;
    let mut flags = u64::from((args.namespaces & NAMESPACES).unsigned_abs())
        | u64::from(libc::CLONE_PIDFD.unsigned_abs());
    if args.sibling {
        flags |= u64::from(libc::CLONE_PARENT.unsigned_abs());
    }
    if args.cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let request = libc::clone_args {
        flags,
        pidfd: (&raw mut pidfd).addr() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: if args.sibling { 0 } else { u64::from(libc::SIGCHLD.unsigned_abs()) },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: args.cgroup.map_or(0, |fd| fd.as_raw_fd().unsigned_abs().into()),
    };
    // SAFETY: without CLONE_VM the child has its own copy of this stack and continues on it (stack 0). The kernel
    // writes only `pidfd`, which lives until the end of this function, and reads `request`, whose size is given.
    let mut pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const request, size_of::<libc::clone_args>()) };
    if pid == -1
        && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS)
        && let Ok(narrow) = i32::try_from(flags)
    {
        // A system call filter cannot look into clone3's arguments, so containers' filters deny it.
        // SAFETY: as above; clone(2) takes the exit signal in the low byte of the flags and puts the pidfd where the
        // parent's tid would go. All other arguments are zero, so their order, which differs, does not matter.
        pid = unsafe {
            let flags = narrow | i32::try_from(request.exit_signal).unwrap_or_default();
            libc::syscall(
                libc::SYS_clone,
                libc::c_long::from(flags),
                0_usize,
                &raw mut pidfd,
                0_usize,
                0_usize,
            )
        };
    }
    match i32::try_from(pid) {
        Ok(0) => {
            // An unwinding panic must not run on in the copied frames of the caller.
            let code = catch_unwind(AssertUnwindSafe(|| child(Forked(())))).unwrap_or(101);
            // SAFETY: ends the process at once; no destructor or exit handler of the copied memory runs.
            unsafe { libc::_exit(code) }
        }
        Ok(pid @ 1..) => {
            // SAFETY: clone3 succeeded with CLONE_PIDFD, so the kernel put a new descriptor there, ours alone.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child { pid, pidfd })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

impl Forked {
    /// Closes every descriptor from `first` on but those of `keep`.
    ///
    /// `close_range(2)`, Linux 5.9. Whoever owned one of the others in the copied memory must not use it again.
    pub fn close_all_except(&self, first: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
        keep.sort_unstable();
        let mut first = first;
        for fd in keep {
            if fd > first {
                close_range(first, fd - 1, 0)?;
            }
            first = first.max(fd + 1);
        }
        close_range(first, u32::MAX, 0)
    }

    /// Sets every signal to its default action and unblocks all: a program must not inherit what its runtime
    /// ignored (Rust's start-up ignores `SIGPIPE`) or blocked (a signalfd needs that).
    pub fn reset_signals(&self) {
        // Kernel layout of struct sigaction with nothing in it: SIG_DFL, no flags, empty mask.
        let default = [0_u64; 4];
        let nothing_blocked = 0_u64;
        for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
            // SAFETY: `default` is at least as large as the kernel's struct sigaction (32 bytes) and outlives the
            // call; no old action is asked for. Signals 32 and 33, which libc's own call refuses, are set too.
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, 8_usize) };
        }
        // SAFETY: the mask is 8 bytes as the size says and outlives the call; no old mask is asked for.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const nothing_blocked,
                0_usize,
                8_usize,
            )
        };
    }
}

/// Marks every descriptor from `first` on close-on-exec. `close_range(2)`, Linux 5.11.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: plain integers. Closing is offered only through `Forked`, whose process owns all its descriptors.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    fn exit_code(child: &Child) -> Option<i32> {
        waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap().exit_status()
    }

    #[test]
    fn child_exits_with_what_the_closure_returns() {
        let child = spawn(&CloneArgs::default(), |_| 42).unwrap();
        assert_eq!(exit_code(&child), Some(42));
    }

    #[test]
    fn child_in_a_new_pid_namespace_is_process_one() {
        let args = CloneArgs { namespaces: libc::CLONE_NEWPID, ..CloneArgs::default() };
        let child =
            spawn(&args, |_| i32::from(rustix::process::getpid().as_raw_nonzero().get() != 1)).unwrap();
        assert_eq!(exit_code(&child), Some(0));
    }

    #[test]
    fn only_kept_descriptors_survive() {
        let kept = std::fs::File::open("/dev/null").unwrap();
        let other = std::fs::File::open("/dev/null").unwrap();
        let child = spawn(&CloneArgs::default(), |forked| {
            let closed = forked.close_all_except(3, &[kept.as_fd()]);
            let alive = rustix::io::fcntl_getfd(&kept).is_ok();
            let gone = rustix::io::fcntl_getfd(&other) == Err(rustix::io::Errno::BADF);
            i32::from(closed.is_err() || !alive || !gone)
        })
        .unwrap();
        assert_eq!(exit_code(&child), Some(0));
    }
}
