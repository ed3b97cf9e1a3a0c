//! Files with holes: which bytes of the payload belong where.

use super::header::{number, unsigned};
use super::{BLOCK, TarError};

/// A run of data in a file with holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file it begins.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// The shape of a file with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    /// Length of the file.
    pub real_size: u64,
    /// The data, in order and without overlap; the payload holds exactly these bytes.
    pub segments: Vec<Segment>,
}

const BAD: TarError = TarError::Header("the map of a sparse file is malformed");
/// One segment costs an archive at least four bytes; more than this many are not a map but a bomb.
pub(super) const SEGMENTS_MAX: usize = 1 << 18;

impl Sparse {
    /// From the alternating offsets and lengths of GNU's PAX formats.
    pub(super) fn from_numbers(real_size: u64, numbers: &[u64]) -> Result<Self, TarError> {
        if !numbers.len().is_multiple_of(2) || numbers.len() / 2 > SEGMENTS_MAX {
            return Err(BAD);
        }
        let segments =
            numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect();
        Self::new(real_size, segments)
    }

    pub(super) fn new(real_size: u64, segments: Vec<Segment>) -> Result<Self, TarError> {
        let mut end = 0;
        for segment in &segments {
            let next = segment.offset.checked_add(segment.length).ok_or(BAD)?;
            if segment.offset < end || next > real_size {
                return Err(BAD);
            }
            end = next;
        }
        Ok(Self { real_size, segments })
    }

    /// How many bytes of payload the segments hold.
    pub(super) fn data_size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }
}

/// The old GNU format: four segments in the header, 21 in each extension block.
pub(super) struct OldGnu {
    real_size: u64,
    segments: Vec<Segment>,
    more: bool,
}

impl OldGnu {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, TarError> {
        let mut map =
            Self { real_size: unsigned(&block[483..495])?, segments: Vec::new(), more: block[482] != 0 };
        map.add(&block[386..482])?;
        Ok(map)
    }

    /// Whether an extension block follows.
    pub(super) fn more(&self) -> bool {
        self.more
    }

    pub(super) fn extend(&mut self, block: &[u8; BLOCK]) -> Result<(), TarError> {
        self.more = block[504] != 0;
        self.add(&block[..504])
    }

    fn add(&mut self, fields: &[u8]) -> Result<(), TarError> {
        for pair in fields.chunks_exact(24) {
            // The first unused pair ends the map.
            if pair[0] == 0 && pair[12] == 0 {
                break;
            }
            let offset = u64::try_from(number(&pair[..12])?).map_err(|_| BAD)?;
            let length = u64::try_from(number(&pair[12..])?).map_err(|_| BAD)?;
            self.segments.push(Segment { offset, length });
        }
        if self.segments.len() > SEGMENTS_MAX { Err(BAD) } else { Ok(()) }
    }

    pub(super) fn finish(self) -> Result<Sparse, TarError> {
        Sparse::new(self.real_size, self.segments)
    }
}
