//! The archive of a layer again, byte for byte, without keeping it.
//!
//! A layer's identity is the digest of its archive, and no archive made anew from the files would have the same:
//! order, padding, headers differ. So everything of the archive that is not the content of a file is kept, and the
//! content is taken from the layer's own files.
//!
//! ```text
//! recipe = zstd( "corten-recipe-1\n" record… )
//! record = 'R' length:u32 bytes              these bytes of the archive
//!        | 'C' length:u32 path content:u64   so many bytes of the file at this path below root/
//!        | 'S' length:u32 path index:u64     what was at this path until here is now at shadowed/<index>
//!        | 'E'                               the end
//! ```
//! Numbers are little-endian; paths have no symbolic link in them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use linux::fs::open_beneath_no_symlinks;
use rustix::fs::{Mode, OFlags};

const MAGIC: &[u8] = b"corten-recipe-1\n";
/// Raw bytes are collected up to this many.
const RAW_MAX: usize = 64 * 1024;
/// No path is longer.
const PATH_MAX: u32 = 8192;
/// Headers repeat themselves so much that the fastest level does nearly as well as any.
const LEVEL: i32 = 1;

/// Writes a recipe while its archive is unpacked.
pub(crate) struct Writer {
    file: zstd::stream::write::Encoder<'static, File>,
    raw: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let mut file = zstd::stream::write::Encoder::new(file, LEVEL)?;
        file.write_all(MAGIC)?;
        Ok(Self { file, raw: Vec::new() })
    }

    /// The next bytes of the archive's structure.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= RAW_MAX { self.flush() } else { Ok(()) }
    }

    /// The next `length` bytes of the archive are the content of the file at `path`.
    pub(crate) fn content(&mut self, path: &[u8], length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.flush()?;
        self.named(b'C', path, length)
    }

    /// What was at `path` was moved to `shadowed/<index>`.
    pub(crate) fn shadowed(&mut self, path: &[u8], index: u64) -> io::Result<()> {
        self.flush()?;
        self.named(b'S', path, index)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.write_all(b"E")?;
        self.file.finish().map(drop)
    }

    fn named(&mut self, kind: u8, path: &[u8], number: u64) -> io::Result<()> {
        self.file.write_all(&[kind])?;
        self.file.write_all(&length(path)?.to_le_bytes())?;
        self.file.write_all(path)?;
        self.file.write_all(&number.to_le_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        self.file.write_all(b"R")?;
        self.file.write_all(&length(&self.raw)?.to_le_bytes())?;
        self.file.write_all(&self.raw)?;
        self.raw.clear();
        Ok(())
    }
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Writes the archive of the layer in `layer` to `out`. The caller compares digests.
pub(crate) fn replay(layer: BorrowedFd<'_>, out: &mut impl Write) -> io::Result<()> {
    let sources = sources(layer)?;
    let mut sources = sources.iter();
    each(layer, |record| match record {
        Record::Raw(bytes) => io::copy(bytes, out).map(drop),
        Record::Shadowed { .. } => Ok(()),
        Record::Content { length, .. } => {
            let path = sources.next().ok_or_else(damaged)?;
            let path = Path::new(OsStr::from_bytes(path));
            let flags = OFlags::RDONLY | OFlags::NONBLOCK;
            let file = File::from(open_beneath_no_symlinks(layer, path, flags, Mode::empty())?);
            if io::copy(&mut file.take(length), out)? == length { Ok(()) } else { Err(damaged()) }
        }
    })
}

/// Where each content record's file is now, below the layer's directory.
fn sources(layer: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut sources: Vec<Vec<u8>> = Vec::new();
    each(layer, |record| {
        match record {
            Record::Raw(bytes) => drop(io::copy(bytes, &mut io::sink())?),
            Record::Content { path, .. } => sources.push([b"root/", path.as_slice()].concat()),
            Record::Shadowed { path, index } => {
                let old = [b"root/", path.as_slice()].concat();
                let new = format!("shadowed/{index}").into_bytes();
                for source in &mut sources {
                    match source.strip_prefix(old.as_slice()) {
                        Some(rest) if rest.is_empty() || rest[0] == b'/' => {
                            *source = [new.as_slice(), rest].concat();
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(sources)
}

enum Record<'a> {
    Raw(&'a mut dyn Read),
    Content { path: Vec<u8>, length: u64 },
    Shadowed { path: Vec<u8>, index: u64 },
}

fn each(layer: BorrowedFd<'_>, mut visit: impl FnMut(Record<'_>) -> io::Result<()>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(layer.as_fd(), "recipe", flags, Mode::empty())?);
    let mut reader = BufReader::new(zstd::stream::read::Decoder::new(file)?);
    let mut magic = [0; MAGIC.len()];
    reader.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(damaged());
    }
    loop {
        match byte(&mut reader)? {
            b'R' => {
                let length = u64::from(u32::from_le_bytes(array(&mut reader)?));
                let mut bytes = reader.by_ref().take(length);
                visit(Record::Raw(&mut bytes))?;
                if bytes.limit() > 0 {
                    return Err(damaged());
                }
            }
            b'C' => {
                let path = path(&mut reader)?;
                let length = u64::from_le_bytes(array(&mut reader)?);
                visit(Record::Content { path, length })?;
            }
            b'S' => {
                let path = path(&mut reader)?;
                let index = u64::from_le_bytes(array(&mut reader)?);
                visit(Record::Shadowed { path, index })?;
            }
            b'E' => return Ok(()),
            _ => return Err(damaged()),
        }
    }
}

fn path(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(array(reader)?);
    if length > PATH_MAX {
        return Err(damaged());
    }
    let mut path = vec![0; length as usize];
    reader.read_exact(&mut path)?;
    Ok(path)
}

fn byte(reader: &mut impl Read) -> io::Result<u8> {
    array::<1>(reader).map(|[byte]| byte)
}

fn array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the layer's recipe does not fit its files")
}
