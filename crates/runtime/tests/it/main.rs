//! The runtime against the real kernel.

mod seccomp;
