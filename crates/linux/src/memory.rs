//! The memory of this process.

/// Gives memory that was freed back to the kernel.
///
/// The C library keeps up to 128 KiB of freed heap; in a process that there is one of per container, that is worth
/// a system call after a burst.
pub fn release() {
    // SAFETY: malloc_trim takes no pointer and touches only memory that the allocator owns.
    unsafe { libc::malloc_trim(0) };
}
