//! Entries one after another.

use std::io::{self, Read};

use super::header::{self, Header, Kind, Raw, kind_of};
use super::pax::Records;
use super::sparse::{OldGnu, SEGMENTS_MAX, Sparse};
use super::{BLOCK, SPECIAL_MAX, TarError};

/// Reads an archive from a stream. After [`Self::next`] the entry's payload is read through [`Self::payload`];
/// what is left of it is skipped by the following `next`.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    /// Payload of the current entry that was not read yet.
    left: u64,
    /// Zeros after that payload, up to the block's end.
    padding: u64,
    ended: bool,
}

/// The payload of the current entry.
#[derive(Debug)]
pub struct Payload<'a, R>(&'a mut Reader<R>);

/// What extended headers say of the entry that follows them.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Records,
}

impl<R: Read> Reader<R> {
    /// A reader at the beginning of an archive.
    pub fn new(source: R) -> Self {
        Self { source, left: 0, padding: 0, ended: false }
    }

    /// The stream.
    pub fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// The stream, when the archive is done with.
    pub fn into_source(self) -> R {
        self.source
    }

    /// The next entry, or `None` at the end: two blocks of zeros, or no more bytes.
    #[expect(clippy::should_implement_trait, reason = "it lends the payload, which an iterator cannot")]
    pub fn next(&mut self) -> Result<Option<Header>, TarError> {
        let mut extended = Extended::default();
        let mut pending = false;
        loop {
            let Some(block) = self.next_block()? else {
                // An extended header promises an entry.
                return if pending { Err(TarError::Truncated) } else { Ok(None) };
            };
            let raw = header::parse(&block)?;
            self.expect_payload(raw.header.size);
            match raw.flag {
                b'x' | b'X' => extended.records = Records::parse(&self.special()?)?,
                // Global records describe the archive; Docker does not apply them to entries either.
                b'g' => continue,
                b'L' => extended.name = Some(header::text(&self.special()?).to_vec()),
                b'K' => extended.link = Some(header::text(&self.special()?).to_vec()),
                _ => return self.finish(raw, &block, extended).map(Some),
            }
            pending = true;
        }
    }

    /// Reads on to the end of the stream, so that a digest over it covers every byte.
    pub fn drain(&mut self) -> Result<(), TarError> {
        io::copy(&mut self.source, &mut io::sink())?;
        Ok(())
    }

    /// The current entry's payload.
    pub fn payload(&mut self) -> Payload<'_, R> {
        Payload(self)
    }

    fn finish(&mut self, raw: Raw, block: &[u8; BLOCK], extended: Extended) -> Result<Header, TarError> {
        let Raw { mut header, flag } = raw;
        let records = &extended.records;
        if let Some(name) = extended.name {
            header.name = name;
        }
        if let Some(link) = extended.link {
            header.link = link;
        }
        records.apply(&mut header)?;
        header.kind = kind_of(flag, &header.name);
        if matches!(header.kind, Kind::File | Kind::Other(_))
            && let Some(size) = records.size()?
        {
            header.size = size;
            self.expect_payload(size);
        }
        if header.kind == Kind::File {
            header.sparse = self.sparse(flag, block, records)?;
            if header.sparse.is_some() {
                header.size = self.left;
                if let Some(name) = records.sparse_name() {
                    header.name = name.to_vec();
                }
            }
        }
        if header.name.contains(&0) || header.link.contains(&0) {
            return Err(TarError::Header("a name contains a zero byte"));
        }
        Ok(header)
    }

    fn sparse(
        &mut self,
        flag: u8,
        block: &[u8; BLOCK],
        records: &Records,
    ) -> Result<Option<Sparse>, TarError> {
        let sparse = if flag == b'S' {
            let mut map = OldGnu::parse(block)?;
            while map.more() {
                let mut extension = [0; BLOCK];
                self.source.read_exact(&mut extension)?;
                map.extend(&extension)?;
            }
            Some(map.finish()?)
        } else if let Some(real_size) = records.sparse_in_payload()? {
            Some(Sparse::from_numbers(real_size, &self.map_in_payload()?)?)
        } else {
            records.sparse()?
        };
        match &sparse {
            Some(sparse) if sparse.data_size() != self.left => {
                Err(TarError::Header("the map of a sparse file does not fit its size"))
            }
            _ => Ok(sparse),
        }
    }

    /// GNU's sparse format 1.0: decimal numbers, one a line, in whole blocks before the data.
    fn map_in_payload(&mut self) -> Result<Vec<u64>, TarError> {
        const BAD: TarError = TarError::Header("the map of a sparse file is malformed");
        let mut numbers = Vec::new();
        let mut wanted = None;
        let mut current: Option<u64> = None;
        loop {
            let mut block = [0; BLOCK];
            if self.left < BLOCK as u64 {
                return Err(BAD);
            }
            self.source.read_exact(&mut block)?;
            self.left -= BLOCK as u64;
            for byte in block {
                match byte {
                    b'0'..=b'9' => {
                        let digit = u64::from(byte - b'0');
                        let value = current.unwrap_or(0).checked_mul(10).and_then(|v| v.checked_add(digit));
                        current = Some(value.ok_or(BAD)?);
                    }
                    b'\n' => {
                        let value = current.take().ok_or(BAD)?;
                        match wanted {
                            None => wanted = Some(usize::try_from(value).map_err(|_| BAD)?),
                            Some(_) => numbers.push(value),
                        }
                        if wanted.is_some_and(|n| n > SEGMENTS_MAX) {
                            return Err(BAD);
                        }
                        if wanted.is_some_and(|n| numbers.len() == n * 2) {
                            return Ok(numbers);
                        }
                    }
                    _ => return Err(BAD),
                }
            }
        }
    }

    /// The payload of an extended header.
    fn special(&mut self) -> Result<Vec<u8>, TarError> {
        if self.left > SPECIAL_MAX {
            return Err(TarError::FieldTooLong);
        }
        let mut bytes = Vec::new();
        let wanted = self.left;
        self.payload().read_to_end(&mut bytes)?;
        if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(TarError::Truncated) }
    }

    fn expect_payload(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip_payload(&mut self) -> Result<(), TarError> {
        let wanted = self.left.checked_add(self.padding).ok_or(TarError::Header("a size is too large"))?;
        let skipped = io::copy(&mut self.source.by_ref().take(wanted), &mut io::sink())?;
        // Some programs leave the last block unpadded.
        if skipped < self.left {
            return Err(TarError::Truncated);
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header block; `None` at the end of the archive.
    fn next_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.ended {
            return Ok(None);
        }
        self.skip_payload()?;
        let Some(block) = self.read_block()? else {
            self.ended = true;
            return Ok(None);
        };
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        self.ended = true;
        match self.read_block()? {
            None => Ok(None),
            Some(second) if second == [0; BLOCK] => Ok(None),
            Some(_) => Err(TarError::Header("data follows a block of zeros")),
        }
    }

    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::Truncated),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(block))
    }
}

impl<R: Read> Payload<'_, R> {
    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.0.left
    }
}

impl<R: Read> Read for Payload<'_, R> {
    /// Ends early only with an error: a payload that the stream cuts off is `UnexpectedEof`.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(buffer.len());
        if limit == 0 {
            return Ok(0);
        }
        let read = self.0.source.read(&mut buffer[..limit])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= read as u64;
        Ok(read)
    }
}

/// Whether a stream that begins with `start` can be a tar archive: a header whose checksum fits, or nothing but
/// zeros.
pub fn looks_like_tar(start: &[u8]) -> bool {
    match <&[u8; BLOCK]>::try_from(start.get(..BLOCK).unwrap_or_default()) {
        Ok(block) => *block == [0; BLOCK] || header::checksum_fits(block),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tar::{Time, Writer};

    /// An archive with extended headers, so that flipped bytes reach every parser.
    fn sample() -> Vec<u8> {
        let header = |name: &str| Header {
            name: name.into(),
            link: Vec::new(),
            kind: Kind::File,
            mode: 0o644,
            uid: 5_000_000,
            gid: 0,
            mtime: Time { seconds: 1, nanoseconds: 500_000_000 },
            atime: None,
            size: 3,
            major: 0,
            minor: 0,
            xattrs: vec![(b"user.a".to_vec(), b"b".to_vec())],
            sparse: None,
        };
        let mut writer = Writer::new(Vec::new());
        for name in ["a", &"long/".repeat(60), "b"] {
            writer.file(&header(name), &b"abc"[..]).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Makes the checksum of each block fit, as an attacker would.
    fn with_checksums(mut archive: Vec<u8>) -> Vec<u8> {
        for block in archive.chunks_exact_mut(BLOCK) {
            if block[257..262] == *b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            }
        }
        archive
    }

    proptest! {
        #[test]
        fn a_changed_archive_gives_entries_or_an_error_and_never_more_than_it_has(
            changes in prop::collection::vec((0usize..6000, any::<u8>()), 1..40),
            flags in prop::collection::vec((0usize..12, prop::sample::select(b"0123456LKSgxVX\0".to_vec())), 0..4),
        ) {
            let mut archive = sample();
            for (at, byte) in changes {
                let length = archive.len();
                archive[at % length] = byte;
            }
            for (block, flag) in flags {
                let at = block * BLOCK + 156;
                if at < archive.len() {
                    archive[at] = flag;
                }
            }
            let archive = with_checksums(archive);
            let mut reader = Reader::new(archive.as_slice());
            let mut content = 0;
            while let Ok(Some(_)) = reader.next() {
                content += io::copy(&mut reader.payload(), &mut io::sink()).unwrap_or(0);
            }
            prop_assert!(content <= archive.len() as u64);
        }
    }
}
