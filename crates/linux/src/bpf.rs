//! `seccomp(2)` and `bpf(2)`: filters for system calls and for device access.

use std::io;

/// `struct sock_fprog`.
#[repr(C)]
struct SeccompProgram {
    length: u16,
    instructions: *const u8,
}

/// Installs a filter (`struct sock_filter[]`) on the calling thread; it stays until the thread ends and is kept over
/// `fork` and `execve`.
///
/// `seccomp(2)`. Needs `no_new_privs` or CAP_SYS_ADMIN in the thread's user namespace. Allocates nothing, so it may
/// be called between `clone` and `execve`.
pub fn install_seccomp(instructions: &[u8], flags: u32) -> io::Result<()> {
    const INSTRUCTION_BYTES: usize = 8;
    let length = u16::try_from(instructions.len() / INSTRUCTION_BYTES)
        .map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = SeccompProgram { length, instructions: instructions.as_ptr() };
    // SAFETY: `program` and the `length` instructions it points to are borrowed for the call; the kernel copies
    // them, at any alignment, and keeps no pointer.
    let ret =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match ret {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        // With TSYNC: the id of a thread that could not take the filter.
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}
