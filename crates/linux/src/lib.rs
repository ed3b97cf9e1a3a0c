//! Safe wrappers of the Linux system calls that Corten stands on, and the only crate with `unsafe`.
//!
//! **Invariant:** a function here cannot make the process misbehave in ways the type system forbids: file
//! descriptors are `OwnedFd`/`BorrowedFd`, pointers never leave a call. Where `rustix` has the call, callers use
//! `rustix` and nothing stands here. Knows nothing of containers.

pub mod activation;
pub mod bpf;
pub mod caps;
pub mod clone;
pub mod event;
pub mod executable;
pub mod fs;
pub mod memfd;
pub mod memory;
pub mod mount;
pub mod namespaces;
pub mod process;
pub mod scheduling;
pub mod socket;
