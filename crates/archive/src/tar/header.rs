//! One header block, and the numbers and texts in it.

use super::sparse::Sparse;
use super::{BLOCK, TarError};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular file.
    File,
    /// Another name for an earlier entry.
    HardLink,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Directory.
    Directory,
    /// Named pipe.
    Fifo,
    /// Anything else, by its type byte.
    Other(u8),
}

/// Seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What an entry says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Path, as it stands in the archive.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Last change of the content.
    pub mtime: Time,
    /// Last access, if recorded.
    pub atime: Option<Time>,
    /// Bytes of payload in the archive.
    pub size: u64,
    /// Device number.
    pub major: u32,
    /// Device number.
    pub minor: u32,
    /// Extended attributes, in the archive's order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the payload belongs, if the file has holes.
    pub sparse: Option<Sparse>,
}

/// The fields of a header block, before extended headers are laid over it.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) header: Header,
    pub(super) flag: u8,
}

const MAGIC_USTAR: &[u8] = b"ustar\0";
const MAGIC_GNU: &[u8] = b"ustar  \0";
const STAR_TRAILER: &[u8] = b"tar\0";

/// Whether `block` could be a tar header: its checksum fits.
pub(super) fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let Ok(stored) = number(&block[148..156]) else { return false };
    let without = |i: usize| if (148..156).contains(&i) { b' ' } else { block[i] };
    let unsigned: i64 = (0..BLOCK).map(|i| i64::from(without(i))).sum();
    // Some old programs summed signed bytes.
    let signed: i64 = (0..BLOCK).map(|i| i64::from(without(i).cast_signed())).sum();
    stored == unsigned || stored == signed
}

pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Raw, TarError> {
    if !checksum_fits(block) {
        return Err(TarError::Header("the checksum does not fit"));
    }
    let flag = block[156];
    let ustar = block[257..].starts_with(MAGIC_USTAR);
    let gnu = block[257..].starts_with(MAGIC_GNU);
    let mut name = text(&block[..100]).to_vec();
    let (mut major, mut minor, mut atime) = (0, 0, None);
    if ustar || gnu {
        major = device(&block[329..337])?;
        minor = device(&block[337..345])?;
    }
    if ustar {
        let star = block[508..] == *STAR_TRAILER;
        let prefix = text(if star { &block[345..476] } else { &block[345..500] });
        if !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        if star {
            atime = Some(seconds(number(&block[476..488])?));
        }
    }
    let kind = kind_of(flag, &name);
    let size = if has_payload(flag) { unsigned(&block[124..136])? } else { 0 };
    let header = Header {
        name,
        link: text(&block[157..257]).to_vec(),
        kind,
        mode: u32::try_from(number(&block[100..108])? & 0o7777).expect("twelve bits"),
        uid: unsigned(&block[108..116])?,
        gid: unsigned(&block[116..124])?,
        mtime: seconds(number(&block[136..148])?),
        atime,
        size,
        major,
        minor,
        xattrs: Vec::new(),
        sparse: None,
    };
    Ok(Raw { header, flag })
}

/// Links, devices and directories have none, whatever their size field says (hard links of some programs state
/// the size of their target).
fn has_payload(flag: u8) -> bool {
    !matches!(flag, b'1'..=b'6')
}

pub(super) fn kind_of(flag: u8, name: &[u8]) -> Kind {
    match flag {
        // Before ustar a directory was a file whose name ends in a slash.
        0 if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

/// A field's text: up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// A number in octal digits, or in base 256 if the first bit is set.
pub(super) fn number(field: &[u8]) -> Result<i64, TarError> {
    if field[0] & 0x80 != 0 {
        return base256(field);
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|&b| b == 0 || b == b' ').unwrap_or(digits.len());
    let mut value: i64 = 0;
    for &digit in &digits[..end] {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(TarError::Header("a number field is not octal"));
        }
        value = value
            .checked_mul(8)
            .and_then(|v| v.checked_add(i64::from(digit - b'0')))
            .ok_or(TarError::Header("a number field is too large"))?;
    }
    Ok(value)
}

/// Two's complement, most significant byte first; the very first bit only marks the form.
fn base256(field: &[u8]) -> Result<i64, TarError> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (i, &byte) in field.iter().enumerate() {
        let byte = match (i, negative) {
            (0, true) => byte,
            (0, false) => byte & 0x7f,
            _ => byte,
        };
        value = value
            .checked_mul(256)
            .map(|v| v | i128::from(byte))
            .ok_or(TarError::Header("a number field is too large"))?;
    }
    i64::try_from(value).map_err(|_| TarError::Header("a number field is too large"))
}

pub(super) fn unsigned(field: &[u8]) -> Result<u64, TarError> {
    u64::try_from(number(field)?).map_err(|_| TarError::Header("a number field is negative"))
}

fn device(field: &[u8]) -> Result<u32, TarError> {
    u32::try_from(number(field)?).map_err(|_| TarError::Header("a device number is out of range"))
}

fn seconds(seconds: i64) -> Time {
    Time { seconds, nanoseconds: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let cases: [(&[u8], Option<i64>); 12] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644     ", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777", Some(0o77_777_777)),
            (b"0000648\0", None),
            (b"-1\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field).ok(), expected, "{field:?}");
        }
    }
}
