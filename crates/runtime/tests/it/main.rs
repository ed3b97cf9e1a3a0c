//! The runtime against the real kernel.

mod bundle;
mod cgroup;
mod lifecycle;
mod namespaces;
mod process;
mod rootfs;
mod seccomp;
mod systemd;
