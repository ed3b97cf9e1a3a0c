//! Programs of our own that outlive us: opened once, executed without a copy of our page tables, detached.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::mount::MountAttrFlags;

use crate::mount::{Attributes, clone_tree, set_attributes};

/// Opens a program for [`spawn_detached`], from a read-only detached clone of its mount.
///
/// Through such a descriptor (a process finds it as `/proc/<pid>/exe`) nobody can write to the program, which is
/// what CVE-2019-5736 was about, and a file that is replaced later leaves it as it was. Where the kernel or the
/// privileges do not allow the clone (Linux 5.12, `CAP_SYS_ADMIN`), it is a plain `O_PATH` descriptor.
pub fn open_executable(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match read_only_clone(path) {
        Ok(fd) => Ok(fd),
        Err(error) => match openat(CWD, path, flags, Mode::empty()) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT) => Err(Errno::NOENT.into()),
            Err(_) => Err(error),
        },
    }
}

fn read_only_clone(path: &Path) -> io::Result<OwnedFd> {
    let clone = clone_tree(CWD, path, false)?;
    let attributes = Attributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY, ..Attributes::default() };
    set_attributes(&clone, false, &attributes)?;
    Ok(clone)
}

/// A child of ours: `waitid` has to be called for it, once its pidfd is readable.
#[derive(Debug)]
pub struct Child {
    /// Pid.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

/// Starts `executable` in a session of its own, with these standard streams and no other descriptor, in `/`, umask
/// 022, no signal blocked or ignored.
///
/// `clone(CLONE_VM | CLONE_VFORK)`: the calling thread waits until the program runs, other threads do not, and the
/// time does not depend on how large the caller is. An `execveat` that fails is an error here.
pub fn spawn_detached(
    executable: BorrowedFd<'_>,
    arguments: &[&CStr],
    environment: &[&CStr],
    stdio: [BorrowedFd<'_>; 3],
) -> io::Result<Child> {
    // Copies above 2, so that no dup2 in the child overwrites what a later one needs.
    let mut copies = Vec::with_capacity(3);
    for fd in stdio {
        copies.push(fcntl_dupfd_cloexec(fd, 3)?);
    }
    let executable = fcntl_dupfd_cloexec(executable, 3)?;
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    let mut start = Start {
        executable: executable.as_raw_fd(),
        stdio: [copies[0].as_raw_fd(), copies[1].as_raw_fd(), copies[2].as_raw_fd()],
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        errno: 0,
    };
    let (pid, pidfd) = with_signals_blocked(|| clone_and_execute(&mut start))?;
    let child = Child { pid, pidfd };
    if start.errno != 0 {
        let flags = rustix::process::WaitIdOptions::EXITED;
        let _ = rustix::process::waitid(rustix::process::WaitId::PidFd(child.pidfd.as_fd()), flags);
        return Err(io::Error::from_raw_os_error(start.errno));
    }
    Ok(child)
}

/// What the child works with. It lives in the parent's frame, which stands still until the child has executed.
struct Start {
    executable: c_int,
    stdio: [c_int; 3],
    arguments: *const *const c_char,
    environment: *const *const c_char,
    /// Why the program does not run; 0 if it does.
    errno: c_int,
}

const STACK_SIZE: usize = 32 * 1024;

fn clone_and_execute(start: &mut Start) -> io::Result<(i32, OwnedFd)> {
    let mut stack = vec![MaybeUninit::<u128>::uninit(); STACK_SIZE / size_of::<u128>()];
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the stack is ours, 16-byte aligned, and outlives the child's use of it, as do `start` and `pidfd`:
    // with CLONE_VFORK this thread stops until the child has executed or exited. `execute` keeps to what is
    // allowed in a child that shares our memory.
    let pid = unsafe {
        libc::clone(
            execute,
            stack.as_mut_ptr().add(stack.len()).cast::<c_void>(),
            flags,
            ptr::from_mut(start).cast::<c_void>(),
            &raw mut pidfd,
        )
    };
    if pid == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: CLONE_PIDFD has just stored a new descriptor there, and nothing else owns it.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Runs in the child, in the parent's memory: system calls only. No allocation, no lock, no panic, no destructor.
extern "C" fn execute(start: *mut c_void) -> c_int {
    // SAFETY: `start` is the `Start` of `clone_and_execute`, which nobody else touches while the parent stands
    // still. Every pointer in it is to NUL-terminated data of the parent. The descriptor table, the file system
    // context and the signal dispositions are copies (no CLONE_FILES, CLONE_FS, CLONE_SIGHAND), so changing them
    // does not reach the parent.
    unsafe {
        let start = &mut *start.cast::<Start>();
        libc::setsid();
        for (source, target) in start.stdio.into_iter().zip(0..) {
            if libc::dup2(source, target) == -1 {
                start.errno = *libc::__errno_location();
                libc::_exit(127);
            }
        }
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::chdir(c"/".as_ptr());
        libc::umask(0o022);
        // By the bare system call, because the C library keeps signals 32 and 33 to itself. An all-zero `struct
        // sigaction` of the kernel is SIG_DFL without flags.
        let default = [0 as libc::c_ulong; 4];
        for signal in 1..=64 {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0, size_of::<u64>());
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::syscall(
            libc::SYS_execveat,
            start.executable,
            c"".as_ptr(),
            start.arguments,
            start.environment,
            libc::AT_EMPTY_PATH,
        );
        start.errno = *libc::__errno_location();
        libc::_exit(127)
    }
}

/// A handler of ours that ran in the child would run on our memory: no signal is let in until it has executed.
fn with_signals_blocked<T>(action: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`; pthread_sigmask reads it and initialises `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = action();
    // SAFETY: `before` was initialised above and is only read.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

fn pointers(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Read;

    use super::*;

    fn status_of(child: &Child) -> Option<i32> {
        let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
        let status = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED).unwrap().unwrap();
        status.exit_status()
    }

    #[test]
    fn the_program_runs_detached_and_with_nothing_else_open() {
        let shell = open_executable(Path::new("/bin/sh")).unwrap();
        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        // No O_CLOEXEC, to see that it is closed all the same.
        let leak = rustix::io::dup(&null).unwrap();
        let script =
            c"echo $0 $V $(cut -d' ' -f5,6 /proc/$$/stat) $$ $$ $PWD $(umask); ls /proc/$$/fd | wc -l; \
            grep -E '^Sig(Blk|Ign)' /proc/$$/status; exit 7";
        let stdio = [null.as_fd(), writer.as_fd(), null.as_fd()];
        let child =
            spawn_detached(shell.as_fd(), &[c"sh", c"-c", script, c"name"], &[c"V=value"], stdio).unwrap();
        drop((writer, leak));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let pid = child.pid;
        assert_eq!(
            text,
            format!(
                "name value {pid} {pid} {pid} {pid} / 0022\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
            )
        );
        assert_eq!(status_of(&child), Some(7));
    }

    #[test]
    fn a_program_that_cannot_run_is_an_error_and_leaves_no_child() {
        let directory = open_executable(Path::new("/tmp")).unwrap();
        let null = File::open("/dev/null").unwrap();
        let stdio = [null.as_fd(); 3];
        let error = spawn_detached(directory.as_fd(), &[c"x"], &[], stdio).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn nobody_writes_to_a_program_through_its_descriptor() {
        let path = std::env::temp_dir().join(format!("corten-executable-{}", std::process::id()));
        // Copied by another process: a child of a test beside this one could hold our descriptor for writing a
        // moment longer (ETXTBSY).
        assert!(std::process::Command::new("cp").arg("/bin/true").arg(&path).status().unwrap().success());
        let program = open_executable(&path).unwrap();
        let through = format!("/proc/self/fd/{}", program.as_raw_fd());
        let error = OpenOptions::new().write(true).open(&through).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EROFS));
        // A new version in its place does not change what runs.
        std::fs::remove_file(&path).unwrap();
        let null = File::open("/dev/null").unwrap();
        let child = spawn_detached(program.as_fd(), &[c"true"], &[], [null.as_fd(); 3]).unwrap();
        assert_eq!(status_of(&child), Some(0));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_as_that() {
        let error = open_executable(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
