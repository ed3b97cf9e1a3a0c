//! Durations as Go writes them: `1h2m3.5s`, `-1s`, `0`.

use super::error::ChangeError;

/// Nanoseconds.
pub(super) fn parse(text: &str) -> Result<i64, ChangeError> {
    let invalid = || ChangeError::Duration(format!("invalid duration {text:?}"));
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
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        rest = after;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(ChangeError::Duration(format!("missing unit in duration {text:?}")));
        }
        let scale = scale_of(unit)
            .ok_or_else(|| ChangeError::Duration(format!("unknown unit {unit:?} in duration {text:?}")))?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total += i128::from(whole) * i128::from(scale) + fraction_of(fraction, scale);
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| invalid())
}

fn scale_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    })
}

fn fraction_of(digits: &str, scale: i64) -> i128 {
    let mut scale = i128::from(scale) * 1_000_000;
    let mut sum = 0;
    for digit in digits.bytes().take(18) {
        scale /= 10;
        sum += i128::from(digit - b'0') * scale;
    }
    sum / 1_000_000
}
