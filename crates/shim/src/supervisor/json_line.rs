//! One line of a `json-file` log, byte for byte as Docker's Go code writes it.
//!
//! ```text
//! {"log":"a\u003cb\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-11-24T14:46:30.09314147Z"}
//! ```

use std::collections::BTreeMap;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `bytes` escaped as the inside of a JSON string.
///
/// As Go does it, HTML's characters are escaped too, tab has no short form, and every byte that is not part of
/// valid UTF-8 becomes one U+FFFD.
pub(super) fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    loop {
        match str::from_utf8(bytes) {
            Ok(text) => return escape_text(out, text.as_bytes()),
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                escape_text(out, valid);
                out.extend_from_slice(b"\\ufffd");
                bytes = &rest[1..];
            }
        }
    }
}

/// Appends valid UTF-8, escaped.
fn escape_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut start = 0;
    let mut position = 0;
    while position < text.len() {
        let byte = text[position];
        // U+2028 and U+2029 (e2 80 a8, e2 80 a9) end a line in JavaScript.
        let separator =
            byte == 0xe2 && matches!(text.get(position + 1..position + 3), Some([0x80, 0xa8 | 0xa9]));
        let length = if separator { 3 } else { 1 };
        if !separator && !needs_escape(byte) {
            position += 1;
            continue;
        }
        out.extend_from_slice(&text[start..position]);
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ if separator => {
                out.extend_from_slice(if text[position + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            }
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
        position += length;
        start = position;
    }
    out.extend_from_slice(&text[start..]);
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// The `,"attrs":{…}` member that every line carries; empty when there are none.
pub(super) fn attributes(attrs: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in attrs {
        out.extend_from_slice(if out.is_empty() { b",\"attrs\":{\"" } else { b",\"" });
        escape(&mut out, name.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape(&mut out, value.as_bytes());
        out.push(b'"');
    }
    if !out.is_empty() {
        out.push(b'}');
    }
    out
}

/// Formats times as RFC 3339 with nanoseconds; remembers the text of the current second.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    /// Appends the time `nanoseconds` since the Unix epoch: `2026-11-24T14:46:30.09314147Z`, trailing zeros of
    /// the fraction left out.
    pub(super) fn append(&mut self, out: &mut Vec<u8>, nanoseconds: i64) {
        let second = nanoseconds.div_euclid(1_000_000_000);
        if self.second != Some(second) {
            self.text = date_time(second);
            self.second = Some(second);
        }
        out.extend_from_slice(self.text.as_bytes());
        let mut fraction = nanoseconds.rem_euclid(1_000_000_000);
        if fraction != 0 {
            let mut digits = *b".000000000";
            for digit in digits[1..].iter_mut().rev() {
                *digit += u8::try_from(fraction % 10).unwrap_or(0);
                fraction /= 10;
            }
            let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
            out.extend_from_slice(&digits[..end]);
        }
        out.push(b'Z');
    }
}

/// `2026-11-24T14:46:30` in UTC, by the calendar of Howard Hinnant's `civil_from_days`.
fn date_time(second: i64) -> String {
    let (days, second) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    /// The expected texts were written by dockerd 28.5.2.
    #[test]
    fn bytes_are_escaped_as_docker_does() {
        let ascii: Vec<u8> = (0..128).collect();
        assert_eq!(
            escaped(&ascii),
            "\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\u0008\\u0009\\n\\u000b\\u000c\\r\\u000e\
             \\u000f\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\
             \\u001d\\u001e\\u001f !\\\"#$%\\u0026'()*+,-./0123456789:;\\u003c=\\u003e?\
             @ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\u{7f}"
        );
        let high: Vec<u8> = (128..=255).collect();
        assert_eq!(escaped(&high), "\\ufffd".repeat(128));
        assert_eq!(
            escaped(b"a\xe2\x82b\xed\xa0\x80c\xe2\x80\xa8\xe2\x80\xa9\xc2\x85\xf4\x8f\xbf\xbf\xf4\x90\x80\x80d\xc0\x80\xf0\x9f\x98\x80\n"),
            "a\\ufffd\\ufffdb\\ufffd\\ufffd\\ufffdc\\u2028\\u2029\u{85}\u{10ffff}\\ufffd\\ufffd\\ufffd\\ufffdd\
             \\ufffd\\ufffd😀\\n"
        );
        assert_eq!(escaped("…e2 ends\u{2020}".as_bytes()), "…e2 ends\u{2020}");
    }

    #[test]
    fn attributes_are_sorted_and_escaped() {
        let attrs = [("l", "é\t"), ("A", "1"), ("B", "<2>")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let text = attributes(&BTreeMap::from(attrs));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            ",\"attrs\":{\"A\":\"1\",\"B\":\"\\u003c2\\u003e\",\"l\":\"é\\u0009\"}"
        );
        assert!(attributes(&BTreeMap::new()).is_empty());
    }

    #[test]
    fn times_are_rfc_3339_with_as_many_digits_as_needed() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
            (1_700_000_000_500_000_000, "2023-11-14T22:13:20.5Z"),
            (951_782_399_123_456_780, "2000-02-28T23:59:59.12345678Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ];
        let mut clock = Clock::default();
        for (nanoseconds, expected) in cases {
            let mut out = Vec::new();
            clock.append(&mut out, nanoseconds);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
