//! Tar archives as they occur: ustar, PAX, GNU and star headers, long names, sparse files, base-256 numbers.
//!
//! - [`Reader`]: entries one after another from any stream
//! - [`Writer`]: entries one after another into any stream
//! - [`Header`]: what an entry says of itself
//! - [`TarError`]: why a stream is no such archive
//!
//! Reads without trusting: every length is bounded, nothing is allocated because a header says so. Knows nothing of
//! file systems.

mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use header::{Header, Kind, Time};
pub use reader::{Payload, Reader, looks_like_tar};
pub use sparse::{Segment, Sparse};
pub use writer::Writer;

/// Archives are made of blocks of this many bytes.
pub const BLOCK: usize = 512;
/// Longest extended header that is read: a PAX record block or a GNU long name. Go's limit as well.
const SPECIAL_MAX: u64 = 1 << 20;

/// A stream that is not a sound tar archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Not a tar header where one should be. The first half is Docker's text.
    #[error("archive/tar: invalid tar header: {0}")]
    Header(&'static str),
    /// An extended header that claims too much.
    #[error("archive/tar: header field too long")]
    FieldTooLong,
    /// The stream stops in the middle of an entry.
    #[error("unexpected EOF: the archive is cut off")]
    Truncated,
    /// The stream itself cannot be read.
    #[error("cannot read the archive")]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for TarError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Io(error) }
    }
}
