//! How the kernel runs the calling process: scheduler, I/O priority, execution domain.

use std::io;

/// Scheduling policy and its numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedulerAttributes {
    /// `SCHED_OTHER`, ….
    pub policy: u32,
    /// `SCHED_FLAG_RESET_ON_FORK`, ….
    pub flags: u64,
    /// −20 … 19.
    pub nice: i32,
    /// 1 … 99, of the real-time policies.
    pub priority: u32,
    /// Nanoseconds, of `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Likewise.
    pub deadline: u64,
    /// Likewise.
    pub period: u64,
}

/// `struct sched_attr` without the utilisation clamps, which is what every kernel takes.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduling policy of the calling thread. `sched_setattr(2)`, Linux 3.14.
pub fn set_scheduler(attributes: SchedulerAttributes) -> io::Result<()> {
    let SchedulerAttributes { policy, flags, nice, priority, runtime, deadline, period } = attributes;
    let size = u32::try_from(size_of::<SchedAttr>()).map_err(io::Error::other)?;
    let attributes = SchedAttr { size, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: the structure is laid out as the kernel's, says its own size and outlives the call, which only reads it.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets the calling thread's place in the queues of block devices: a class (1 real time, 2 best effort, 3 idle) and a
/// level in it, 0 to 7. `ioprio_set(2)`.
pub fn set_io_priority(class: u8, level: u8) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(class) << 13 | libc::c_int::from(level & 7);
    // SAFETY: plain integers; 0 is the calling thread.
    let ret = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Which kind of system the programs of this process are shown. `personality(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// The machine's own.
    Linux,
    /// Its 32-bit relative: `uname` says so.
    Linux32,
}

/// Sets the execution domain of the calling thread, and nothing else of its personality.
pub fn set_personality(domain: Domain) -> io::Result<()> {
    // PER_LINUX, PER_LINUX32
    let value: libc::c_ulong = match domain {
        Domain::Linux => 0,
        Domain::Linux32 => 8,
    };
    // SAFETY: a plain integer; the domains above change what uname answers and nothing about memory.
    let ret = unsafe { libc::personality(value) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
