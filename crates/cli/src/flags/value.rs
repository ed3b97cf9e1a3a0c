//! Types of flag values: how each is read, what `--help` calls it and whether it shows a default.

use std::collections::BTreeMap;

use api_client::Filters;

use crate::units;

/// A value that flags fill.
pub(crate) trait Value {
    /// Word for it in `--help`.
    const KIND: &'static str;
    /// Takes no value unless attached with `=`.
    const SWITCH: bool = false;

    /// Reads a text: replaces a single value, adds to a list.
    fn set(&mut self, text: &str) -> Result<(), String>;

    /// The value as `--help` shows it; none when it is the type's zero.
    fn shown(&self) -> Option<String> {
        None
    }
}

/// The word for the value that a projection selects.
pub(crate) const fn kind_of<A, V: Value>(_: fn(&A) -> &V) -> &'static str {
    V::KIND
}

/// Whether the value that a projection selects is a switch.
pub(crate) const fn is_switch<A, V: Value>(_: fn(&A) -> &V) -> bool {
    V::SWITCH
}

/// `text` in double quotes, as Go quotes it.
pub(crate) fn quoted(text: &str) -> String {
    crate::template::print::go_quote(text)
}

fn read_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quoted(text))),
    }
}

/// Reads a number in Go's notation: `0x`, `0o`, `0b` or a leading 0 for octal, underscores between digits.
fn read_integer(text: &str, bits: u32, function: &str, signed: bool) -> Result<i128, String> {
    let fail = |why: &str| format!("strconv.{function}: parsing {}: {why}", quoted(text));
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') if signed => (true, &text[1..]),
        Some(b'+') if signed => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let plain = digits.replace('_', "");
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(radix)) {
        return Err(fail("invalid syntax"));
    }
    let range = || fail("value out of range");
    let value = i128::from_str_radix(&plain, radix).map_err(|_| range())?;
    let value = if negative { -value } else { value };
    let (low, high) = match signed {
        true => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
        false => (0, (1_i128 << bits) - 1),
    };
    if value < low || value > high { Err(range()) } else { Ok(value) }
}

/// Reads a decimal number of at most `bits` bits, as Go's `ParseUint` in base 10.
pub(crate) fn read_unsigned(text: &str, bits: u32) -> Result<u64, String> {
    let fail = |why: &str| format!("strconv.ParseUint: parsing {}: {why}", quoted(text));
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fail("invalid syntax"));
    }
    let fits = |value: &u64| bits == u64::BITS || *value < 1 << bits;
    text.parse().ok().filter(fits).ok_or_else(|| fail("value out of range"))
}

impl Value for bool {
    const KIND: &'static str = "";
    const SWITCH: bool = true;

    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = read_bool(text)?;
        Ok(())
    }

    fn shown(&self) -> Option<String> {
        self.then(|| "true".to_owned())
    }
}

impl Value for String {
    const KIND: &'static str = "string";

    fn set(&mut self, text: &str) -> Result<(), String> {
        text.clone_into(self);
        Ok(())
    }

    fn shown(&self) -> Option<String> {
        (!self.is_empty()).then(|| quoted(self))
    }
}

macro_rules! integers {
    ($($type:ty, $kind:literal, $bits:literal, $function:literal, $signed:literal;)*) => {$(
        impl Value for $type {
            const KIND: &'static str = $kind;

            fn set(&mut self, text: &str) -> Result<(), String> {
                let value = read_integer(text, $bits, $function, $signed)?;
                *self = <$type>::try_from(value).map_err(|error| error.to_string())?;
                Ok(())
            }

            fn shown(&self) -> Option<String> {
                (*self != 0).then(|| self.to_string())
            }
        }
    )*};
}

integers! {
    i64, "int", 64, "ParseInt", true;
    u64, "uint", 64, "ParseUint", false;
    u16, "uint16", 16, "ParseUint", false;
}

/// A value that may be absent; absent differs from the type's zero.
impl<V: Value + Default> Value for Option<V> {
    const KIND: &'static str = V::KIND;
    const SWITCH: bool = V::SWITCH;

    fn set(&mut self, text: &str) -> Result<(), String> {
        let mut value = V::default();
        value.set(text)?;
        *self = Some(value);
        Ok(())
    }
}

/// A value that may be given several times.
impl Value for Vec<String> {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.push(text.to_owned());
        Ok(())
    }
}

/// `key=value` pairs; of one key the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) BTreeMap<String, String>);

impl Value for Pairs {
    const KIND: &'static str = "map";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

impl Value for Filters {
    const KIND: &'static str = "filter";

    fn set(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let Some((name, value)) = text.split_once('=') else {
            return Err("bad format of filter (expected name=value)".to_owned());
        };
        self.add(&name.trim().to_lowercase(), value.trim());
        Ok(())
    }
}

/// A number of bytes, `64m`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) i64);

impl Value for Bytes {
    const KIND: &'static str = "bytes";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = units::parse_bytes(text)?;
        Ok(())
    }
}

/// A number of bytes, or −1 for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SwapBytes(pub(crate) i64);

impl Value for SwapBytes {
    const KIND: &'static str = "bytes";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = if text == "-1" { -1 } else { units::parse_bytes(text)? };
        Ok(())
    }
}

/// A number of CPUs in units of 10⁻⁹.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NanoCpus(pub(crate) i64);

impl Value for NanoCpus {
    const KIND: &'static str = "decimal";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = units::parse_cpus(text)?;
        Ok(())
    }
}

/// A time in nanoseconds, `1m30s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Duration(pub(crate) i64);

impl Value for Duration {
    const KIND: &'static str = "duration";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = units::parse_duration(text)?;
        Ok(())
    }

    fn shown(&self) -> Option<String> {
        Some(units::format_duration(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_go_reads_them() {
        let read = |text| read_integer(text, 64, "ParseInt", true);
        for (text, want) in
            [("0", 0), ("-5", -5), ("+7", 7), ("0x1F", 31), ("010", 8), ("0b11", 3), ("1_000", 1000)]
        {
            assert_eq!(read(text), Ok(want), "{text}");
        }
        for text in ["", "x", "1.5", "0x", "--1", " 1"] {
            assert_eq!(
                read(text),
                Err(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")),
                "{text}"
            );
        }
        let error = "strconv.ParseInt: parsing \"9223372036854775808\": value out of range";
        assert_eq!(read("9223372036854775808"), Err(error.to_owned()));
        assert!(read_integer("65536", 16, "ParseUint", false).is_err());
    }

    #[test]
    fn filters_need_a_value() {
        let mut filters = Filters::default();
        filters.set(" Status = exited ").unwrap();
        assert_eq!(filters.to_json(), r#"{"status":{"exited":true}}"#);
        assert!(filters.set("status").is_err());
    }
}
