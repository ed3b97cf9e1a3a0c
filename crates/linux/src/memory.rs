//! The memory of this process.

/// How far below the stack pointer stack pages are given back. The kernel keeps this much free below the part of the
/// main thread's stack that is in use, whatever its size.
const BELOW: usize = 1024 * 1024;

/// Page size of x86-64; where pages are larger, the kernel refuses and nothing is lost.
const PAGE: usize = 4096;

/// Left alone below the stack pointer: the frames of the calls made here.
const MARGIN: usize = 16 * 1024;

/// Gives memory that is not in use back to the kernel: freed heap, and in the main thread stack that deep calls once
/// needed.
///
/// The C library keeps up to 128 KiB of freed heap, and nobody ever gives back a stack. In a process that there is
/// one of per container, both are worth a system call after a burst.
pub fn release() {
    // SAFETY: malloc_trim takes no pointer and touches only memory that the allocator owns.
    unsafe { libc::malloc_trim(0) };
    if rustix::thread::gettid() == rustix::process::getpid() {
        release_stack();
    }
}

/// Only for the main thread: below other stacks there may be foreign memory.
#[inline(never)]
fn release_stack() {
    let here = 0_u8;
    let end = (&raw const here).addr().saturating_sub(MARGIN) / PAGE * PAGE;
    let start = end.saturating_sub(BELOW);
    // SAFETY: the range lies below this frame and its callees', so nothing in it is in use; there is no signal
    // handler that could be running there. It is the main thread's stack as far as that is mapped, and below it the
    // kernel maps nothing within its stack guard gap of 1 MiB (ENOMEM then, after the mapped part was done). The
    // address is only passed on, never dereferenced.
    unsafe { libc::madvise(std::ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses some stack, and returns something that depends on it.
    fn deep(rounds: u32) -> u64 {
        let block = std::hint::black_box([u64::from(rounds); 512]);
        if rounds == 0 { block[0] } else { deep(rounds - 1) + block[511] }
    }

    #[test]
    fn what_is_in_use_survives() {
        // The tests' threads are not the main thread: that part is called by itself, on a stack that is large
        // enough to hold the range.
        let thread = std::thread::Builder::new().stack_size(4 * BELOW);
        let result = thread.spawn(|| {
            let values: Vec<u64> = (0..1000).collect();
            let on_stack = std::hint::black_box([7_u64; 1000]);
            assert_eq!(deep(100), 5050);
            release();
            release_stack();
            assert_eq!(deep(100), 5050);
            values.iter().sum::<u64>() + on_stack.iter().sum::<u64>()
        });
        assert_eq!(result.unwrap().join().unwrap(), 499_500 + 7000);
    }
}
