//! The OCI runtime as a library: plan and start a process from a runtime specification.
//!
//! Synchronous and small: no tokio, no HTTP, for it is linked into the shim. The binary `corten-runtime` is a thin
//! command line over the same functions.
//!
//! - [`container`]: [`create`] a container's first process, [`Init::start`] it
//! - [`exec`]: start one more process in a running container
//! - [`beneath`]: paths inside a container's root, from outside
//! - [`cgroup`]: limits, freezing, killing and accounting on cgroup v1, hybrid and v2
//! - [`seccomp`]: compile a filter to a BPF program
//! - [`users`]: Docker's `user[:group]` strings, resolved in a container's root
//! - [`failpoints`]: where a test makes a start die
//! - [`reaper`]: the first process of a container that asks for one (`--init`)
//! - [`shared_mount`]: a copy of what another process has mounted
//! - [`error`]: [`StartError`], which says what failed on what, in the words clients look for
//!
//! Inside, in the order in which a start passes them: `plan` (pure: what will be done; with `mount_options`),
//! `sources` and `cgroup_mount` (what is taken from the host, as descriptors), `namespaces`, `init` (the new process;
//! `channel` is its line to the runtime), `beneath` (paths that stay inside), `mounts`, `copy_up`, `devices`, `masks`,
//! `hooks`, `identity` (from a runtime's process to the container's own; with `scheduling`), `program` (what to run, and why it does not).

#![forbid(unsafe_code)]

pub mod beneath;
pub mod cgroup;
mod cgroup_mount;
mod channel;
pub mod container;
mod copy_up;
mod devices;
pub mod error;
pub mod exec;
pub mod failpoints;
mod hooks;
mod identity;
mod init;
mod masks;
mod mount_options;
mod mounts;
mod namespaces;
mod plan;
mod program;
pub mod reaper;
mod scheduling;
pub mod seccomp;
pub mod shared_mount;
mod sources;
pub mod users;

pub use container::{CreateOptions, Init, InitRequest, Rootfs, Stdio, create, create_with, start_by};
pub use error::{ErrorKind, StartError};
pub use exec::{ExecProcess, ExecRequest, exec, exec_with};
pub use hooks::run as run_hooks;
