//! Archives: tar read and written without trust, and what lies between an archive and a directory.
//!
//! **Invariant:** no path of an archive, and no link in the directory, leads out of the directory that was given,
//! whoever changes it meanwhile.
//!
//! - [`tar`]: entries from and to a stream
//! - [`compression`]: compressed streams, told apart by their first bytes
//! - [`walk`]: everything below a directory, in order
//! - [`pack`]: files as entries of an archive
//! - [`extract`]: an archive into a directory that is in use (`docker cp`)
//! - [`path`], [`parents`]: names in archives, and the directories that they are made in
//!
//! Knows nothing of layers, images and containers.

#![forbid(unsafe_code)]

pub mod compression;
pub mod extract;
pub mod pack;
pub mod parents;
pub mod path;
pub mod tar;
pub mod walk;

/// Whether an extended attribute is overlayfs' own, in either namespace. An archive must not bring such marks along:
/// they would redirect look-ups in a mounted tree.
pub fn is_overlays_own(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}
