//! Points in time, as `--since` and `--until` take them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::flags::value::quoted;
use crate::units::{self, SECOND};

/// A time as the API takes it, in Unix seconds. It may be given as a duration before `now`, as a date with or without
/// time and zone, or in seconds already.
pub(crate) fn timestamp(text: &str, now: Timestamp) -> Result<String, String> {
    if text.is_empty() || text == "0" {
        return Ok(text.to_owned());
    }
    if let Ok(nanoseconds) = units::parse_duration(text) {
        return Ok((now.as_second() - nanoseconds / SECOND).to_string());
    }
    if let Some(time) = date(text) {
        return Ok(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()));
    }
    if text.contains('-') {
        return Err(format!(
            "parsing time {}: expected a date such as 2006-01-02 or 2006-01-02T15:04:05, with or without a zone (Z, \
             +01:00)",
            quoted(text)
        ));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if seconds.parse::<i64>().is_ok() && fraction.parse::<i64>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(format!("failed to parse value as time or duration: {}", quoted(text)))
}

/// `2006-01-02`, then perhaps `T15`, `T15:04`, `T15:04:05` or `T15:04:05.9`, then perhaps a zone, `Z` or `-07:00`;
/// without one the time is this machine's.
fn date(text: &str) -> Option<Timestamp> {
    let mut rest = text;
    let year = number(&mut rest, 4, 4)?;
    let month = after(&mut rest, "-").and_then(|()| number(&mut rest, 2, 2))?;
    let day = after(&mut rest, "-").and_then(|()| number(&mut rest, 2, 2))?;
    let (mut hour, mut minute, mut second, mut nanosecond) = (0, 0, 0, 0);
    if after(&mut rest, "T").is_some() {
        hour = number(&mut rest, 1, 2)?;
        if after(&mut rest, ":").is_some() {
            minute = number(&mut rest, 2, 2)?;
            if after(&mut rest, ":").is_some() {
                second = number(&mut rest, 2, 2)?;
                nanosecond = fraction(&mut rest)?;
            }
        }
    }
    let civil = DateTime::new(year, month, day, hour, minute, second, nanosecond).ok()?;
    zone(rest)?.to_timestamp(civil).ok()
}

/// Nanoseconds after a point or a comma; 0 where there is neither.
fn fraction(rest: &mut &str) -> Option<i32> {
    if after(rest, ".").or_else(|| after(rest, ",")).is_none() {
        return Some(0);
    }
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, more) = rest.split_at(end);
    *rest = more;
    if digits.is_empty() { None } else { format!("{digits:0<9}")[..9].parse().ok() }
}

fn zone(text: &str) -> Option<TimeZone> {
    let mut rest = text;
    let sign = match rest.chars().next() {
        None => return Some(TimeZone::system()),
        Some('Z') => return (rest == "Z").then_some(TimeZone::UTC),
        Some('+') => 1,
        Some('-') => -1,
        Some(_) => return None,
    };
    rest = &rest[1..];
    let hours: i32 = number(&mut rest, 2, 2)?;
    let minutes: i32 = after(&mut rest, ":").and_then(|()| number(&mut rest, 2, 2))?;
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    (rest.is_empty() && hours <= 24 && minutes < 60).then(|| TimeZone::fixed(offset))
}

/// Takes the digits at the beginning, `most` of them at most.
fn number<T: std::str::FromStr>(rest: &mut &str, least: usize, most: usize) -> Option<T> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, more) = rest.split_at(count);
    *rest = more;
    if count < least { None } else { digits.parse().ok() }
}

/// Takes `mark` from the beginning if it is there.
fn after(rest: &mut &str, mark: &str) -> Option<()> {
    *rest = rest.strip_prefix(mark)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_many_forms() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (text, want) in [
            ("", ""),
            ("0", "0"),
            ("10m", "999400"),
            ("1136073845", "1136073845"),
            ("+5", "+5"),
            ("1136073845.000000001", "1136073845.000000001"),
            ("2013-01-02T13:23:37Z", "1357133017.000000000"),
            ("2013-01-02T3:23:37Z", "1357097017.000000000"),
            ("2013-01-02T13Z", "1357131600.000000000"),
            ("2013-01-02T13:23-07:00", "1357158180.000000000"),
            ("2013-01-02T13:23:37.5+01:00", "1357129417.500000000"),
            ("2013-01-02T13:23:37,123456789123Z", "1357133017.123456789"),
            ("2013-01-02Z", "1357084800.000000000"),
            ("2013-01-02-07:00", "1357110000.000000000"),
        ] {
            assert_eq!(timestamp(text, now), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_docker_takes_for_no_time_is_none() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for text in [
            "2013-13-02",
            "2013-02-30",
            "2013-1-2",
            "12013-01-02",
            "-2013-01-02",
            "-5",
            "2013-01-02 03:04:05",
            "2013-01-02t03:04:05z",
            "2013-01-02T",
            "2013-01-02T24:00:00Z",
            "2013-01-02T03:04:60Z",
            "2013-01-02T03:4:05Z",
            "2013-01-02T03:04:05.Z",
            "2013-01-02T03:04:05+0100",
            "2013-01-02T03:04:05+25:00",
            "2013-01-02T03:04:05Z[UTC]",
            "2013-01-02-01:00:00",
            "2013-01-02-01",
        ] {
            let error = timestamp(text, now).unwrap_err();
            assert!(error.starts_with(&format!("parsing time \"{text}\": expected a date")), "{error}");
        }
        for text in ["foo", "12345678901234567890", "1.", ".5", "1.x", "20130102T03"] {
            let want = format!("failed to parse value as time or duration: \"{text}\"");
            assert_eq!(timestamp(text, now), Err(want));
        }
    }
}
