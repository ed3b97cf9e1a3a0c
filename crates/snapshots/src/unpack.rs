//! One archive into one directory, and nothing outside it.
//!
//! Every path is resolved by the kernel with the directory as its root (`openat2`, `RESOLVE_IN_ROOT`), as if
//! unpacking ran in a chroot: a symbolic link that the archive made itself may lead anywhere inside, never out.
//! A name whose `..` lead out is refused. Whiteouts of the archive become overlayfs' own.

mod attributes;
mod budget;
mod entry;
mod sink;

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use archive::compression::Decompressor;
use archive::tar::{Reader, TarError};
use oci::digest::{Algorithm, Digest};

use crate::settings::Settings;
use entry::Unpacker;
use sink::Tap;

/// Why an archive was not unpacked. The directory holds a part of it then, and is for the caller to remove.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream is not an archive, or only a part of one.
    #[error("{0}")]
    Archive(#[from] TarError),
    /// The compressed stream is damaged or cut off, or its source failed.
    #[error("cannot read the archive: {0}")]
    Stream(#[source] io::Error),
    /// One entry cannot be made.
    #[error("cannot unpack {name:?}: {source}")]
    Entry {
        /// Its name, as the archive has it.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// One entry must not be made. The words are Docker's.
    #[error("{reason} {name:?}")]
    Refused {
        /// Why.
        reason: &'static str,
        /// Its name or target, as the archive has it.
        name: String,
    },
    /// An entry of a type that no archive of files has.
    #[error("unhandled tar header type {kind} of {name:?}")]
    UnknownKind {
        /// Its name.
        name: String,
        /// The type byte.
        kind: u8,
    },
    /// The archive is larger than allowed.
    #[error("the archive unpacks to more than the configured maximum of {maximum} bytes")]
    TooLarge {
        /// The maximum.
        maximum: u64,
    },
    /// The file system would be full.
    #[error("no space left on device: unpacking would leave less than {reserve} bytes or few inodes free")]
    NoSpace {
        /// What is kept free.
        reserve: u64,
    },
    /// The store itself failed.
    #[error("cannot write to the layer store")]
    Store(#[source] io::Error),
}

/// What an archive was, now that it is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Bytes of file contents and link targets.
    pub size: u64,
    /// Length of the uncompressed archive.
    pub archive_size: u64,
}

/// Unpacks `source` into the empty directory `root`, digesting every byte of it to the end of the stream.
///
/// `recipe` gets the recipe of the archive, and `shadowed` is the directory for files that the archive replaces
/// itself.
pub(crate) fn unpack<R: Read>(
    source: R,
    algorithm: Algorithm,
    root: BorrowedFd<'_>,
    shadowed: BorrowedFd<'_>,
    recipe: crate::recipe::Writer,
    settings: &Settings,
) -> Result<Unpacked, UnpackError> {
    let plain = Decompressor::new(source).map_err(UnpackError::Stream)?;
    let budget = budget::Budget::new(root, settings)?;
    let mut reader = Reader::new(Tap::new(plain, algorithm, budget, recipe));
    let mut unpacker = Unpacker::new(root, shadowed, settings)?;
    let outcome = unpack_entries(&mut reader, &mut unpacker);
    let tap = reader.into_source();
    // The tap knows why it refused to read on; through the reader that is only an I/O error.
    if let Some(refusal) = tap.refusal() {
        return Err(refusal);
    }
    outcome?;
    let size = unpacker.finish()?;
    let (diff_id, archive_size) = tap.finish()?;
    Ok(Unpacked { diff_id, size, archive_size })
}

fn unpack_entries<R: Read>(
    reader: &mut Reader<Tap<R>>,
    unpacker: &mut Unpacker<'_>,
) -> Result<(), UnpackError> {
    while let Some(header) = reader.next()? {
        reader.source().entry()?;
        unpacker.entry(&header, reader)?;
    }
    Ok(reader.drain()?)
}
