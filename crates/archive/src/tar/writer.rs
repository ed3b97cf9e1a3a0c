//! Writing archives that everyone reads: ustar headers, PAX records only where a field is too small, and the same
//! bytes for the same entries.

use std::io::{self, Read, Write};

use super::BLOCK;
use super::header::{Header, Kind, Time};

/// Writes entries one after another.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// A writer of an archive that begins here.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes the header of an entry without content.
    pub fn entry(&mut self, header: &Header) -> io::Result<()> {
        self.headers(header)
    }

    /// Writes a file of `header.size` bytes. A source that ends early is filled up with zeros, a longer one cut: files
    /// of a running container change while they are read.
    pub fn file(&mut self, header: &Header, content: impl Read) -> io::Result<()> {
        self.headers(header)?;
        let copied = io::copy(&mut content.take(header.size), &mut self.out)?;
        self.zeros(header.size - copied)?;
        self.pad(header.size)
    }

    /// Writes a file whose content `write` writes, which must be `header.size` bytes.
    pub fn file_from<E: From<io::Error>>(
        &mut self,
        header: &Header,
        write: impl FnOnce(&mut W) -> Result<(), E>,
    ) -> Result<(), E> {
        self.headers(header)?;
        write(&mut self.out)?;
        Ok(self.pad(header.size)?)
    }

    /// Writes the end of the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.zeros(2 * BLOCK as u64)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn headers(&mut self, header: &Header) -> io::Result<()> {
        let (prefix, name) = split_name(&header.name).unwrap_or((b"", cut(&header.name)));
        let records = records(header);
        if !records.is_empty() {
            let length = records.len() as u64;
            let pax = Fields { size: length, mode: 0o644, flag: b'x', ..Fields::of(header) };
            self.out.write_all(&pax.block(b"", b"PaxHeaders/entry", b""))?;
            self.out.write_all(&records)?;
            self.pad(length)?;
        }
        let link = cut(&header.link);
        self.out.write_all(&Fields::of(header).block(prefix, name, link))
    }

    fn pad(&mut self, length: u64) -> io::Result<()> {
        let block = BLOCK as u64;
        self.zeros((block - length % block) % block)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.out).map(drop)
    }
}

/// Room for a name in a header.
const NAME_MAX: usize = 100;
/// Room for a name's beginning.
const PREFIX_MAX: usize = 155;
/// What seven octal digits hold.
const ID_MAX: u64 = 0o7_777_777;
/// What eleven octal digits hold.
const SIZE_MAX: u64 = 0o77_777_777_777;

/// The numbers of a header block, each cut to what its field holds; the whole value is in a record then.
struct Fields {
    flag: u8,
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: Time,
    major: u32,
    minor: u32,
}

impl Fields {
    fn of(header: &Header) -> Self {
        let flag = match header.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
            Kind::Other(flag) => flag,
        };
        Self {
            flag,
            mode: header.mode,
            uid: header.uid,
            gid: header.gid,
            size: if header.kind == Kind::File { header.size } else { 0 },
            mtime: header.mtime,
            major: header.major,
            minor: header.minor,
        }
    }

    fn block(&self, prefix: &[u8], name: &[u8], link: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name);
        octal(&mut block[100..108], self.mode.into());
        octal(&mut block[108..116], if self.uid > ID_MAX { 0 } else { self.uid });
        octal(&mut block[116..124], if self.gid > ID_MAX { 0 } else { self.gid });
        octal(&mut block[124..136], if self.size > SIZE_MAX { 0 } else { self.size });
        octal(&mut block[136..148], u64::try_from(self.mtime.seconds).unwrap_or(0).min(SIZE_MAX));
        block[156] = self.flag;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], self.major.into());
        octal(&mut block[337..345], self.minor.into());
        block[345..345 + prefix.len()].copy_from_slice(prefix);
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        octal(&mut block[148..155], sum);
        block
    }
}

/// Zero-filled octal digits and a zero byte.
fn octal(field: &mut [u8], value: u64) {
    let digits = format!("{value:0width$o}", width = field.len() - 1);
    field[..digits.len()].copy_from_slice(digits.as_bytes());
    field[digits.len()] = 0;
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(NAME_MAX)]
}

/// Divides a name at a slash so that both parts have room.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= NAME_MAX {
        return Some((b"", name));
    }
    // The rest must be a name, which for a directory does not end at its own slash.
    let slash = (0..name.len() - 1).rev().find(|&at| name[at] == b'/' && at <= PREFIX_MAX)?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (!prefix.is_empty() && rest.len() <= NAME_MAX).then_some((prefix, rest))
}

/// The records for whatever has no room, sorted by key.
fn records(header: &Header) -> Vec<u8> {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| records.push((key.to_vec(), value.to_vec()));
    if split_name(&header.name).is_none() {
        add(b"path", &header.name);
    }
    if header.link.len() > NAME_MAX || !header.link.is_ascii() {
        add(b"linkpath", &header.link);
    }
    for (key, id) in [("uid", header.uid), ("gid", header.gid)] {
        if id > ID_MAX {
            add(key.as_bytes(), id.to_string().as_bytes());
        }
    }
    if header.kind == Kind::File && header.size > SIZE_MAX {
        add(b"size", header.size.to_string().as_bytes());
    }
    let Time { seconds, nanoseconds } = header.mtime;
    if nanoseconds != 0 || u64::try_from(seconds).map_or(true, |seconds| seconds > SIZE_MAX) {
        add(b"mtime", time(header.mtime).as_bytes());
    }
    for (name, value) in &header.xattrs {
        add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records.sort();
    records.iter().flat_map(|(key, value)| record(key, value)).collect()
}

/// `length key=value\n`, whose length counts itself.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

fn time(time: Time) -> String {
    let text = match (time.seconds, time.nanoseconds) {
        (seconds, 0) => return seconds.to_string(),
        (seconds @ 0.., nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
        // Half a second before -1 is kept as -2 and a half.
        (seconds, nanoseconds) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    };
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::Reader;

    fn header(name: &str) -> Header {
        Header {
            name: name.into(),
            link: Vec::new(),
            kind: Kind::File,
            mode: 0o4755,
            uid: 1,
            gid: 2,
            mtime: Time { seconds: 1_700_000_000, nanoseconds: 0 },
            atime: None,
            size: 0,
            major: 0,
            minor: 0,
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let t = |seconds, nanoseconds| Time { seconds, nanoseconds };
        let deep = format!("{}/file", "folder".repeat(15));
        let deeper = "a/".repeat(300) + "file";
        let headers = [
            header("plain"),
            header(&deep),
            header(&deeper),
            header(&format!("{}/", "d".repeat(100))),
            header("ünïcode"),
            Header { kind: Kind::Symlink, link: b"x".repeat(150), ..header("link") },
            Header { kind: Kind::HardLink, link: b"plain".to_vec(), ..header("hard") },
            Header { kind: Kind::CharDevice, major: 1, minor: 3, ..header("null") },
            Header { kind: Kind::Fifo, ..header("fifo") },
            Header { kind: Kind::Directory, ..header("dir/") },
            Header { uid: 4_000_000_000, gid: 3_000_000, ..header("ids") },
            Header { mtime: t(-2, 500_000_000), ..header("old") },
            Header { mtime: t(-5, 0), ..header("older") },
            Header { mtime: t(5, 120_000_000), ..header("precise") },
            Header { xattrs: vec![(b"user.a".to_vec(), b"1\n=\0".to_vec())], ..header("xattr") },
            Header { size: 700, ..header("content") },
        ];
        let mut writer = Writer::new(Vec::new());
        for header in &headers {
            writer.file(header, &[b'x'; 700][..]).unwrap();
        }
        let archive = writer.finish().unwrap();
        assert!(archive.len().is_multiple_of(BLOCK));
        let mut reader = Reader::new(archive.as_slice());
        for header in &headers {
            assert_eq!(
                reader.next().unwrap().as_ref(),
                Some(header),
                "{:?}",
                String::from_utf8_lossy(&header.name)
            );
        }
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn a_file_that_shrinks_or_grows_keeps_its_stated_size() {
        for content in [&b"short"[..], &[b'x'; 5000]] {
            let mut writer = Writer::new(Vec::new());
            writer.file(&Header { size: 1000, ..header("a") }, content).unwrap();
            writer.entry(&header("b")).unwrap();
            let archive = writer.finish().unwrap();
            let mut reader = Reader::new(archive.as_slice());
            assert_eq!(reader.next().unwrap().unwrap().size, 1000);
            assert_eq!(reader.next().unwrap().unwrap().name, b"b");
        }
    }
}
