//! The runtime against the real kernel.

mod cgroup;
mod seccomp;
