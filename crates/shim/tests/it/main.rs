//! The real program `corten-shim`, driven over its protocol, with containers of busybox. Needs root.

mod attach;
mod control;
mod exec;
mod exit;
mod idle;
mod log;
mod rig;
mod terminal;
