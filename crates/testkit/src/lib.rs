//! Test kit: a whole Corten of its own for every test, and proof that nothing is left of it.
//!
//! [`Host`] gives a test its own root directory, network and mount namespace and daemon. Tests read like a user's
//! session: `host.run("corten run --rm busybox true").exits(0)`.
//!
//! **Invariant:** when a `Host` is dropped, everything it made is gone; when something of the engine was left
//! behind (a mount, cgroup, process, link, file, …), the test fails with the list. Parallel tests, in one process or
//! in several, do not see each other: everything is attributed by namespace, cgroup path or root directory.
//!
//! Knows Corten only by its command line, its socket and the kernel: no crate of the engine is linked in.
#![forbid(unsafe_code)]

pub mod binaries;
pub mod busybox;
mod command;
mod daemon;
mod host;
pub mod http;
pub mod leaks;
mod output;
pub mod pattern;
mod sandbox;
mod session;
pub mod wait;

pub use host::Host;
pub use output::Output;
pub use sandbox::Sandbox;
pub use session::Session;
