//! `seccomp(2)` and `bpf(2)`: filters for system calls and for device access.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

// Commands, program and attach types, flags: linux/bpf.h.
const BPF_PROG_LOAD: u32 = 5;
const BPF_PROG_ATTACH: u32 = 8;
const BPF_PROG_DETACH: u32 = 9;
const BPF_PROG_GET_FD_BY_ID: u32 = 13;
const BPF_PROG_QUERY: u32 = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// Most device programs of one cgroup that are looked at; the kernel's own limit.
const MAX_PROGRAMS: usize = 64;

/// `union bpf_attr` of `BPF_PROG_LOAD`, up to the last field that is set.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// `union bpf_attr` of `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// `union bpf_attr` of `BPF_PROG_QUERY`, whole: newer kernels write to `revision` whatever size is announced.
#[repr(C)]
struct QueryAttributes {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    program_count: u32,
    padding: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// `union bpf_attr` of `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct IdAttributes {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `bpf(2)`.
///
/// # Safety
/// `A` is the kernel's layout of `command`'s attributes, and every address in it is valid for that command during the
/// call.
unsafe fn bpf<A>(command: u32, attributes: &mut A) -> io::Result<i32> {
    // SAFETY: `attributes` is exclusively borrowed and its own size is passed, so the kernel reads and writes within
    // it; the addresses inside are the caller's promise.
    let ret =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<A>()) };
    match i32::try_from(ret) {
        Ok(ret) if ret >= 0 => Ok(ret),
        _ => Err(io::Error::last_os_error()),
    }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made this fd for us, close-on-exec, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Loads a program (`struct bpf_insn[]`) that decides about device access of a cgroup's tasks.
///
/// `bpf(2)`, needs CAP_BPF or CAP_SYS_ADMIN. The verifier's refusal is `EACCES` or `EINVAL`.
pub fn load_device_program(instructions: &[u8]) -> io::Result<OwnedFd> {
    const INSTRUCTION_BYTES: usize = 8;
    const LICENSE: &CStr = c"Apache-2.0";
    let instruction_count = u32::try_from(instructions.len() / INSTRUCTION_BYTES)
        .map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let mut attributes = LoadAttributes {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: LICENSE.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"corten_devices\0\0",
    };
    // SAFETY: `instructions` (of which `instruction_count` whole ones are announced) and `LICENSE` are borrowed for
    // the call and only read; no log buffer is given.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &mut attributes) }?;
    Ok(owned(fd))
}

/// Attaches a device program to a v2 cgroup, in place of `replaced` or beside those that are there: access needs the
/// consent of all of them.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let flags = BPF_F_ALLOW_MULTI | if replaced.is_some() { BPF_F_REPLACE } else { 0 };
    let mut attributes = AttachAttributes {
        target: raw(cgroup),
        program: raw(program),
        kind: BPF_CGROUP_DEVICE,
        flags,
        replaced: replaced.map_or(0, raw),
    };
    // SAFETY: the attributes hold fds, all borrowed for the call, and no address.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attributes) }.map(|_| ())
}

/// Takes a device program off a cgroup.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = AttachAttributes {
        target: raw(cgroup),
        program: raw(program),
        kind: BPF_CGROUP_DEVICE,
        flags: 0,
        replaced: 0,
    };
    // SAFETY: the attributes hold fds, both borrowed for the call, and no address.
    unsafe { bpf(BPF_PROG_DETACH, &mut attributes) }.map(|_| ())
}

/// The device programs attached to a cgroup itself, not those of its parents.
pub fn device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut attributes = QueryAttributes {
        target: raw(cgroup),
        kind: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        program_ids: ids.as_mut_ptr().expose_provenance() as u64,
        program_count: u32::try_from(MAX_PROGRAMS).unwrap_or(0),
        padding: 0,
        program_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `ids` lives through the call, is written by nobody else, and has room for the announced number of ids.
    unsafe { bpf(BPF_PROG_QUERY, &mut attributes) }?;
    let count = usize::try_from(attributes.program_count).unwrap_or(0).min(MAX_PROGRAMS);
    let mut programs = Vec::with_capacity(count);
    for &id in ids.iter().take(count) {
        let mut attributes = IdAttributes { id, next_id: 0, open_flags: 0 };
        // SAFETY: the attributes hold numbers only.
        match unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes) } {
            Ok(fd) => programs.push(owned(fd)),
            // Detached meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(programs)
}
