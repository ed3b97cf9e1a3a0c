//! What a process does to itself on the way to another program.

use std::ffi::{CStr, CString};
use std::io;

/// Replaces the program of this process; returns only on failure.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end in a null pointer and, with the NUL-terminated strings they point to, outlive the
    // call. When it succeeds this memory is gone as a whole.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces the program of this process by the file behind `file`; returns only on failure.
pub fn execve_fd(file: std::os::fd::BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Error {
    use std::os::fd::AsRawFd;
    let pointers = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: as in `execve`; `file` is borrowed and the empty path is static.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Installs a system call filter for this thread: `struct sock_filter[]` in native byte order, 8 bytes each.
///
/// `seccomp(2)`. `EACCES`: neither `no_new_privs` is set nor `CAP_SYS_ADMIN` held.
pub fn install_seccomp_filter(instructions: &[u8], flags: u32) -> io::Result<()> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    if !instructions.len().is_multiple_of(size_of::<libc::sock_filter>()) {
        return Err(invalid());
    }
    let mut filter: Vec<libc::sock_filter> = instructions
        .chunks_exact(size_of::<libc::sock_filter>())
        .map(|chunk| libc::sock_filter {
            code: u16::from_ne_bytes([chunk[0], chunk[1]]),
            jt: chunk[2],
            jf: chunk[3],
            k: u32::from_ne_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]),
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| invalid())?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` points to `filter`, whose length it states; both outlive the call, the kernel copies them.
    let ret =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match ret {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        // With SECCOMP_FILTER_FLAG_TSYNC: the thread that could not be synchronised.
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Joins a new, anonymous session keyring, so that the program does not see the keys of whoever started us.
///
/// A kernel without keyrings has nothing to hide: no error.
pub fn join_new_session_keyring() -> io::Result<()> {
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING with a null name makes an anonymous keyring; nothing is dereferenced.
    let ret = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0_usize) };
    match ret {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// Sets the file mode creation mask of this process.
pub fn set_umask(mask: u32) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}
