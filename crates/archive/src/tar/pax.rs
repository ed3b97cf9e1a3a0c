//! PAX extended headers: `length key=value\n` records that replace fields of the header that follows.

use super::TarError;
use super::header::{Header, Time};
use super::sparse::Sparse;

const BAD: TarError = TarError::Header("a PAX record is malformed");
const XATTR: &[u8] = b"SCHILY.xattr.";

/// The records of one extended header, in order; keys may repeat.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    pub(super) fn parse(mut block: &[u8]) -> Result<Self, TarError> {
        let mut records = Vec::new();
        while !block.is_empty() {
            let (record, rest) = split_record(block)?;
            block = rest;
            let equals = record.iter().position(|&b| b == b'=').ok_or(BAD)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if key.is_empty() || key.contains(&0) || (is_text(key) && value.contains(&0)) {
                return Err(BAD);
            }
            records.push((key.to_vec(), value.to_vec()));
        }
        Ok(Self(records))
    }

    /// The last value of `key`; an empty value takes the key away.
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let value = self.0.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_slice())?;
        (!value.is_empty()).then_some(value)
    }

    /// Lays the records over the header's own fields.
    pub(super) fn apply(&self, header: &mut Header) -> Result<(), TarError> {
        if let Some(path) = self.get(b"path") {
            header.name = path.to_vec();
        }
        if let Some(link) = self.get(b"linkpath") {
            header.link = link.to_vec();
        }
        for (key, field) in [(b"uid", &mut header.uid), (b"gid", &mut header.gid)] {
            if let Some(value) = self.get(key) {
                *field = decimal(value)?;
            }
        }
        if let Some(value) = self.get(b"mtime") {
            header.mtime = time(value)?;
        }
        if let Some(value) = self.get(b"atime") {
            header.atime = Some(time(value)?);
        }
        for (key, value) in &self.0 {
            if let Some(name) = key.strip_prefix(XATTR) {
                header.xattrs.retain(|(known, _)| known != name);
                header.xattrs.push((name.to_vec(), value.clone()));
            }
        }
        Ok(())
    }

    /// The payload's size, if a record gives it. The header's own field is too small from 8 GiB on.
    pub(super) fn size(&self) -> Result<Option<u64>, TarError> {
        self.get(b"size").map(decimal).transpose()
    }

    /// GNU's sparse formats 0.0 and 0.1, whose map is in the records.
    pub(super) fn sparse(&self) -> Result<Option<Sparse>, TarError> {
        let Some(real_size) = self.get(b"GNU.sparse.size") else { return Ok(None) };
        let mut numbers = Vec::new();
        if let Some(map) = self.get(b"GNU.sparse.map") {
            for number in map.split(|&b| b == b',') {
                numbers.push(decimal(number)?);
            }
        } else {
            for (key, value) in &self.0 {
                if key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes" {
                    numbers.push(decimal(value)?);
                }
            }
        }
        Sparse::from_numbers(decimal(real_size)?, &numbers).map(Some)
    }

    /// The real size, if the file is in GNU's sparse format 1.0, whose map precedes the payload.
    pub(super) fn sparse_in_payload(&self) -> Result<Option<u64>, TarError> {
        match (self.get(b"GNU.sparse.major"), self.get(b"GNU.sparse.realsize")) {
            (Some(b"1"), Some(size)) => decimal(size).map(Some),
            _ => Ok(None),
        }
    }

    /// The real name of a sparse file; the header's is made up.
    pub(super) fn sparse_name(&self) -> Option<&[u8]> {
        self.get(b"GNU.sparse.name")
    }
}

fn is_text(key: &[u8]) -> bool {
    matches!(key, b"path" | b"linkpath" | b"uname" | b"gname" | b"GNU.sparse.name")
}

/// Splits the first record off, without its length and newline.
fn split_record(block: &[u8]) -> Result<(&[u8], &[u8]), TarError> {
    let space = block.iter().take(20).position(|&b| b == b' ').ok_or(BAD)?;
    let length = usize::try_from(decimal(&block[..space])?).map_err(|_| BAD)?;
    if length <= space + 1 || length > block.len() || block[length - 1] != b'\n' {
        return Err(BAD);
    }
    Ok((&block[space + 1..length - 1], &block[length..]))
}

fn decimal(text: &[u8]) -> Result<u64, TarError> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(BAD)
}

/// `seconds[.fraction]`, negative before 1970; digits beyond nanoseconds are dropped.
fn time(text: &[u8]) -> Result<Time, TarError> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = digits.splitn(2, |&b| b == b'.');
    let whole = halves.next().unwrap_or_default();
    let fraction = halves.next().unwrap_or_default();
    let seconds = i64::try_from(decimal(whole)?).map_err(|_| BAD)?;
    let mut nanoseconds = 0;
    for i in 0..9 {
        let digit = match fraction.get(i) {
            Some(digit) if digit.is_ascii_digit() => u32::from(digit - b'0'),
            Some(_) => return Err(BAD),
            None => 0,
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        // Half a second before -1 is -2 plus half a second.
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_nanoseconds_on_both_sides_of_1970() {
        for (text, seconds, nanoseconds) in [
            ("1", 1, 0),
            ("1.5", 1, 500_000_000),
            ("1.0000000019", 1, 1),
            ("-1", -1, 0),
            ("-1.25", -2, 750_000_000),
            ("1700000000.123456789", 1_700_000_000, 123_456_789),
        ] {
            assert_eq!(time(text.as_bytes()).unwrap(), Time { seconds, nanoseconds }, "{text}");
        }
        for text in ["", ".", "x", "1.x", "1e3", "99999999999999999999"] {
            assert!(time(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn records_are_length_checked() {
        let records = Records::parse(b"11 path=ab\n20 SCHILY.xattr.a=\n\n").unwrap();
        assert_eq!(records.get(b"path"), Some(&b"ab"[..]));
        for block in [
            &b"11 path=ab"[..],
            b"99 path=ab\n",
            b"3 \n",
            b"0 path=ab\n",
            b"path=ab\n",
            b"9 pathab\n",
            b"12 path=a\0b\n",
            b"99999999999999999999999 a=b\n",
        ] {
            assert!(Records::parse(block).is_err(), "{:?}", String::from_utf8_lossy(block));
        }
    }
}
