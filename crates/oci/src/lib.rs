//! OCI data, as the specifications write it: no I/O, no kernel, no policy.
//!
//! - [`digest`]: content addresses (`sha256:…`)
//! - [`reference`]: image names and their normal form (`busybox` → `docker.io/library/busybox:latest`)
//! - [`nearest`]: the name that was probably meant
//! - [`platform`]: operating system, architecture, variant
//! - [`image`]: image configuration, manifest, index, descriptor
//! - [`runtime`]: the runtime specification (`config.json`)

#![forbid(unsafe_code)]

pub mod digest;
pub mod image;
pub mod nearest;
pub mod platform;
pub mod reference;
pub mod runtime;
