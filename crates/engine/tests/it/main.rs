//! The engine on a real kernel: images, shims and containers, without HTTP.
//!
//! Needs root, Debian's `busybox-static`, and `corten-shim` built beside the test (`cargo build -p shim`).

mod copy;
mod kit;
mod life;
mod takeover;
