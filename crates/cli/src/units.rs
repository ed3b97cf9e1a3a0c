//! Sizes, times and CPU counts, read and written as Docker's users know them.

const BINARY_UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
const DECIMAL_UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

const NANOSECOND: i64 = 1;
const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Reads a number of bytes: `64m`, `1.5 GiB`, `100kb`. A unit is a power of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = match text[last..].strip_prefix(' ') {
        Some(suffix) => (&text[..last], suffix),
        None => text.split_at(last + 1),
    };
    let size: f64 = number.parse().map_err(|_| {
        let number = crate::flags::value::quoted(number);
        format!("strconv.ParseFloat: parsing {number}: invalid syntax")
    })?;
    if size < 0.0 || !size.is_finite() {
        return Err(invalid());
    }
    let suffix = suffix.to_lowercase();
    let bad = || format!("invalid suffix: '{suffix}'");
    let exponent = match suffix.as_bytes() {
        [] | [b'b'] => 0,
        [unit] | [unit, b'b'] | [unit, b'i', b'b'] => match unit {
            b'k' => 1,
            b'm' => 2,
            b'g' => 3,
            b't' => 4,
            b'p' => 5,
            _ => return Err(bad()),
        },
        _ => return Err(bad()),
    };
    Ok(truncate(size * 1024_f64.powi(exponent)))
}

/// The integer part; beyond the range of an integer its nearest end.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, which is what is wanted here")]
fn truncate(value: f64) -> i64 {
    value as i64
}

/// `value` in three or four significant digits with a unit of 1000: `4.27MB`.
pub(crate) fn decimal_size(bytes: i64, digits: usize) -> String {
    scaled(bytes, 1000.0, &DECIMAL_UNITS, digits)
}

/// `value` in four significant digits with a unit of 1024: `64MiB`.
pub(crate) fn binary_size(bytes: i64) -> String {
    scaled(bytes, 1024.0, &BINARY_UNITS, 4)
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn scaled(bytes: i64, base: f64, units: &[&str], digits: usize) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", general(value, digits), units[unit])
}

/// `value` as C's and Go's `%.{digits}g` write it.
pub(crate) fn general(value: f64, digits: usize) -> String {
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let limit = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(limit - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

/// Seconds as people say them: `About a minute`, `3 weeks`.
pub(crate) fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Hours are rounded, everything else is cut off.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// Reads a time as Go does: `1h30m`, `1.5s`, `-2ms`, `0`. The result is nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = crate::flags::value::quoted(text);
    let invalid = || format!("time: invalid duration {quoted}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {quoted}"));
        }
        let Some(scale) = unit_scale(unit) else {
            let unit = crate::flags::value::quoted(unit);
            return Err(format!("time: unknown unit {unit} in duration {quoted}"));
        };
        let part = scale_decimal(number, scale).ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(if negative { -total } else { total })
}

fn unit_scale(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => NANOSECOND,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// A decimal number times `scale`, cut to an integer, without a detour through floats.
fn scale_decimal(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = i128::from(whole) * i128::from(scale);
    let mut place = i128::from(scale);
    for digit in fraction.bytes() {
        place /= 10;
        total += i128::from(digit - b'0') * place;
    }
    i64::try_from(total).ok()
}

/// Nanoseconds as Go writes them: `1m30s`, `1.5ms`, `0s`.
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let value = i128::from(nanoseconds).abs();
    let decimal = |scale: i64, unit: &str| {
        let scale = i128::from(scale);
        let width = scale.ilog10() as usize;
        let fraction = if width == 0 { String::new() } else { format!(".{:0width$}", value % scale) };
        let text = format!("{}{fraction}", value / scale);
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{sign}{text}{unit}")
    };
    match value {
        0 => "0s".to_owned(),
        1..1_000 => decimal(NANOSECOND, "ns"),
        1_000..1_000_000 => decimal(MICROSECOND, "µs"),
        1_000_000..1_000_000_000 => decimal(MILLISECOND, "ms"),
        _ => {
            let minutes = value / i128::from(MINUTE);
            let second = i128::from(SECOND);
            let rest = value % i128::from(MINUTE);
            let fraction = format!("{}.{:09}", rest / second, rest % second);
            let seconds = fraction.trim_end_matches('0').trim_end_matches('.');
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Reads a number of CPUs, `1.5` or `3/2`, in units of 10⁻⁹.
pub(crate) fn parse_cpus(text: &str) -> Result<i64, String> {
    let fail = || format!("failed to parse {text} as a rational number");
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    let denominator: i128 = denominator.parse().map_err(|_| fail())?;
    let (digits, places) = decimal_digits(numerator).ok_or_else(fail)?;
    let scaled = if places <= 9 {
        digits.checked_mul(10_i128.pow(9 - places)).ok_or_else(fail)?
    } else {
        let cut = 10_i128.checked_pow(places - 9).ok_or_else(fail)?;
        if digits % cut != 0 {
            return Err("value is too precise".to_owned());
        }
        digits / cut
    };
    if denominator == 0 {
        return Err(fail());
    }
    if scaled % denominator != 0 {
        return Err("value is too precise".to_owned());
    }
    i64::try_from(scaled / denominator).map_err(|_| fail())
}

/// A decimal number as an integer and the number of its decimal places.
fn decimal_digits(text: &str) -> Option<(i128, u32)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let joined = format!("{whole}{fraction}");
    if joined.is_empty() || !joined.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((sign * joined.parse::<i128>().ok()?, u32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, want) in [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("32k", 32 << 10),
            ("32Kb", 32 << 10),
            ("32 KiB", 32 << 10),
            ("1.5m", 3 << 19),
            ("1g", 1 << 30),
            (".5k", 512),
            ("1p", 1 << 50),
        ] {
            assert_eq!(parse_bytes(text), Ok(want), "{text}");
        }
        for (text, want) in [
            ("", "invalid size: ''"),
            ("x", "invalid size: 'x'"),
            ("-1m", "invalid size: '-1m'"),
            ("1x", "invalid suffix: 'x'"),
            ("1kx", "invalid suffix: 'kx'"),
            ("1kibb", "invalid suffix: 'kibb'"),
            ("1bb", "invalid suffix: 'bb'"),
            ("1.2.3k", "strconv.ParseFloat: parsing \"1.2.3\": invalid syntax"),
        ] {
            assert_eq!(parse_bytes(text), Err(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_written() {
        for (bytes, digits, want) in [
            (0, 3, "0B"),
            (999, 3, "999B"),
            (1_000, 3, "1kB"),
            (4_270_000, 3, "4.27MB"),
            (72_812_345, 3, "72.8MB"),
            (142_000_000, 3, "142MB"),
            (999_999, 3, "1e+03kB"),
            (1_234_567_890, 4, "1.235GB"),
        ] {
            assert_eq!(decimal_size(bytes, digits), want);
        }
        assert_eq!(binary_size(67_108_864), "64MiB");
        assert_eq!(binary_size(25_216_155_648), "23.48GiB");
        assert_eq!(general(0.000_012_34, 3), "1.23e-05");
    }

    #[test]
    fn ages_are_told_in_words() {
        let (minute, hour, day) = (60, 3600, 86_400);
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (minute, "About a minute"),
            (119, "About a minute"),
            (3 * minute, "3 minutes"),
            (59 * minute + 59, "59 minutes"),
            (hour, "About an hour"),
            (89 * minute, "About an hour"),
            (90 * minute, "2 hours"),
            (47 * hour, "47 hours"),
            (2 * day, "2 days"),
            (13 * day, "13 days"),
            (14 * day, "2 weeks"),
            (59 * day, "8 weeks"),
            (60 * day, "2 months"),
            (729 * day, "24 months"),
            (730 * day, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn durations_are_read_and_written_as_in_go() {
        for (text, nanoseconds, written) in [
            ("0", 0, "0s"),
            ("5s", 5 * SECOND, "5s"),
            ("1m30s", 90 * SECOND, "1m30s"),
            ("90s", 90 * SECOND, "1m30s"),
            ("1.5h", 5400 * SECOND, "1h30m0s"),
            ("-2ms", -2_000_000, "-2ms"),
            ("1500us", 1_500_000, "1.5ms"),
            (".5s", 500_000_000, "500ms"),
            ("1µs", 1_000, "1µs"),
            ("3ns", 3, "3ns"),
            ("1.000000001s", 1_000_000_001, "1.000000001s"),
        ] {
            assert_eq!(parse_duration(text), Ok(nanoseconds), "{text}");
            assert_eq!(format_duration(nanoseconds), written, "{text}");
        }
        for (text, want) in [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("s", "time: invalid duration \"s\""),
            ("1 hour", "time: unknown unit \" hour\" in duration \"1 hour\""),
        ] {
            assert_eq!(parse_duration(text), Err(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn cpus_are_exact() {
        for (text, want) in
            [("1.5", 1_500_000_000), ("0.000000001", 1), ("3/2", 1_500_000_000), (".5", 500_000_000)]
        {
            assert_eq!(parse_cpus(text), Ok(want), "{text}");
        }
        assert_eq!(parse_cpus("0.0000000001"), Err("value is too precise".to_owned()));
        assert_eq!(parse_cpus("x"), Err("failed to parse x as a rational number".to_owned()));
    }
}
