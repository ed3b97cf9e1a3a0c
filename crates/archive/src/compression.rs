//! Compressed streams, told apart by their first bytes.

use std::io::{self, BufReader, Chain, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// Room between a source and its decoder.
const BUFFER: usize = 256 * 1024;
/// No magic number is longer.
const MAGIC_MAX: usize = 6;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of any number of members.
    Gzip,
    /// zstd, of any number of frames.
    Zstd,
    /// bzip2, of any number of streams.
    Bzip2,
    /// xz, of any number of streams.
    Xz,
}

impl Compression {
    /// Recognises a stream by its beginning; whatever is not known is not compressed.
    pub fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            // A frame, or a skippable frame as zstd:chunked and pzstd put in front.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }
}

type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// Reads the plain bytes of a stream, whatever its compression.
pub struct Decompressor<R: Read> {
    decoder: Decoder<R>,
    compression: Compression,
}

enum Decoder<R: Read> {
    Plain(Chain<Cursor<Vec<u8>>, R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Source<R>>),
    Bzip2(MultiBzDecoder<Source<R>>),
    Xz(Box<XzReader<Source<R>>>),
}

impl<R: Read> Decompressor<R> {
    /// Looks at the first bytes of `source` and chooses the decoder.
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut start = Vec::with_capacity(MAGIC_MAX);
        source.by_ref().take(MAGIC_MAX as u64).read_to_end(&mut start)?;
        let compression = Compression::detect(&start);
        let whole = Cursor::new(start).chain(source);
        let buffered = |whole| BufReader::with_capacity(BUFFER, whole);
        let decoder = match compression {
            Compression::None => Decoder::Plain(whole),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(buffered(whole)))),
            Compression::Zstd => Decoder::Zstd(zstd::stream::read::Decoder::with_buffer(buffered(whole))?),
            Compression::Bzip2 => Decoder::Bzip2(MultiBzDecoder::new(buffered(whole))),
            Compression::Xz => Decoder::Xz(Box::new(XzReader::new(buffered(whole), true))),
        };
        Ok(Self { decoder, compression })
    }

    /// What was recognised.
    pub fn compression(&self) -> Compression {
        self.compression
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.decoder {
            Decoder::Plain(reader) => reader.read(buffer),
            Decoder::Gzip(reader) => reader.read(buffer),
            Decoder::Zstd(reader) => reader.read(buffer),
            Decoder::Bzip2(reader) => reader.read(buffer),
            Decoder::Xz(reader) => reader.read(buffer),
        }
    }
}

impl<R: Read> std::fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").field("compression", &self.compression).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_format_is_recognised_and_read_to_its_last_member() {
        let zst = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        let bz2 = |text: &[u8]| {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let xz = |text: &[u8]| {
            let options = lzma_rust2::XzOptions::with_preset(0);
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        };
        let plain = |text: &[u8]| text.to_vec();
        type Encode<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
        let cases: [(Compression, Encode<'_>); 5] = [
            (Compression::None, &plain),
            (Compression::Gzip, &gzip),
            (Compression::Zstd, &zst),
            (Compression::Bzip2, &bz2),
            (Compression::Xz, &xz),
        ];
        for (compression, encode) in cases {
            let two = [encode(b"hello "), encode(b"world")].concat();
            let mut decompressor = Decompressor::new(two.as_slice()).unwrap();
            assert_eq!(decompressor.compression(), compression);
            let mut text = String::new();
            decompressor.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello world", "{compression:?}");
        }
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zst(b"x")].concat();
        assert_eq!(io::read_to_string(Decompressor::new(skippable.as_slice()).unwrap()).unwrap(), "x");
    }

    #[test]
    fn a_cut_stream_is_an_error_and_an_empty_one_is_not() {
        let whole = gzip(&[b'x'; 10_000]);
        for cut in [4, whole.len() / 2, whole.len() - 1] {
            let mut decompressor = Decompressor::new(&whole[..cut]).unwrap();
            assert!(io::copy(&mut decompressor, &mut io::sink()).is_err(), "cut at {cut}");
        }
        assert_eq!(io::read_to_string(Decompressor::new(&b""[..]).unwrap()).unwrap(), "");
    }
}
