//! Query parameters, with Go's parsing and Docker's idea of a boolean.

use std::collections::BTreeMap;

use engine::params::Filters;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::percent_decode;

use crate::error::ApiError;

/// Decoded parameters, in the order of the query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string.
    pub(crate) fn parse(query: &str) -> Result<Self, ApiError> {
        let mut params = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                return Err(ApiError::bad_request("invalid semicolon separator in query"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push((unescape(name)?, unescape(value)?));
        }
        Ok(Self(params))
    }

    /// The first value of `name`, empty when absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of `name`, when it is not empty.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Every value of `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean; absent is false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let value = self.text(name).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number, none when absent or empty.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.non_empty(name).map(|text| number(text).map_err(ApiError::internal)).transpose()
    }

    /// `seconds` or `seconds.nanoseconds`, as Unix nanoseconds.
    pub(crate) fn timestamp(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.non_empty(name).map(|text| timestamp(text).map_err(ApiError::internal)).transpose()
    }

    /// The `filters` document, in the form of a list (`{"label":["a"]}`) or of a set (`{"label":{"a":true}}`).
    pub(crate) fn filters(&self) -> Result<Filters, ApiError> {
        self.non_empty("filters").map_or_else(|| Ok(Filters::default()), filters)
    }
}

fn unescape(text: &str) -> Result<String, ApiError> {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let escape = rest.get(at..at + 3);
        if !escape.is_some_and(|escape| escape.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit())) {
            let shown = rest[at..].chars().take(3).collect::<String>();
            return Err(ApiError::bad_request(format!("invalid URL escape \"{shown}\"")));
        }
        rest = &rest[at + 3..];
    }
    let spaced = text.replace('+', " ");
    Ok(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
}

/// Go's `strconv.Atoi`.
pub(crate) fn number(text: &str) -> Result<i64, String> {
    parse_int(text).map_err(|reason| format!("strconv.Atoi: parsing {text:?}: {reason}"))
}

fn parse_int(text: &str) -> Result<i64, &'static str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("invalid syntax");
    }
    text.parse().map_err(|_| "value out of range")
}

fn timestamp(text: &str) -> Result<i64, String> {
    let int = |part: &str| {
        parse_int(part).map_err(|reason| format!("strconv.ParseInt: parsing {part:?}: {reason}"))
    };
    let (seconds, fraction) = text.split_once('.').map_or((text, None), |(s, f)| (s, Some(f)));
    let nanoseconds = match fraction {
        Some(fraction) => {
            int(fraction)?;
            int(&fraction.chars().chain(std::iter::repeat('0')).take(9).collect::<String>())?
        }
        None => 0,
    };
    int(seconds)?
        .checked_mul(1_000_000_000)
        .and_then(|value| value.checked_add(nanoseconds))
        .ok_or_else(|| format!("strconv.ParseInt: parsing {seconds:?}: value out of range"))
}

/// A time as filters give it: Unix seconds, RFC 3339, or how long ago (`10m`, `1h30m`). Unix seconds.
pub(crate) fn point_in_time(text: &str) -> Result<i64, String> {
    if let Some(ago) = duration(text) {
        let now = Timestamp::now().as_second();
        return Ok(now.saturating_sub(ago / 1_000_000_000));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_second());
    }
    if let Ok(at) = text.parse::<DateTime>() {
        // Without a zone, the engine's.
        return TimeZone::system()
            .to_timestamp(at)
            .map(Timestamp::as_second)
            .map_err(|error| error.to_string());
    }
    timestamp(text).map(|nanoseconds| nanoseconds / 1_000_000_000).map_err(|_| {
        format!(
            "invalid time {text:?}: expected Unix seconds, a date such as 2006-01-02T15:04:05Z, or 10m, 1h30m"
        )
    })
}

/// Go's `time.ParseDuration`, as far as it is not negative: nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: f64 = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at(end);
        let unit = &after[..after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len())];
        let nanoseconds = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * nanoseconds;
        rest = &after[unit.len()..];
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be in range; fractions of a nanosecond are nothing"
    )]
    (!text.is_empty() && total < 9e18).then_some(total as i64)
}

fn filters(text: &str) -> Result<Filters, ApiError> {
    let invalid = || ApiError::bad_request("invalid filter");
    let document: serde_json::Value = serde_json::from_str(text).map_err(|_| invalid())?;
    if document.is_null() {
        return Ok(Filters::default());
    }
    let mut filters = BTreeMap::new();
    for (name, values) in document.as_object().ok_or_else(invalid)? {
        let values = match values {
            serde_json::Value::Null => Vec::new(),
            serde_json::Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(invalid))
                .collect::<Result<_, _>>()?,
            serde_json::Value::Object(set) => set
                .iter()
                .map(|(value, wanted)| wanted.as_bool().map(|_| value.clone()).ok_or_else(invalid))
                .collect::<Result<_, _>>()?,
            _ => return Err(invalid()),
        };
        filters.insert(name.clone(), values);
    }
    Ok(Filters(filters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::parse(query).unwrap()
    }

    #[test]
    fn only_five_words_are_false() {
        for value in ["", "0", "no", "false", "none", "NO", "False"] {
            assert!(!params(&format!("x={value}")).flag("x"), "{value}");
        }
        for value in ["1", "true", "yes", "x", "off"] {
            assert!(params(&format!("x={value}")).flag("x"), "{value}");
        }
        assert!(!params("").flag("x"));
    }

    #[test]
    fn escapes_are_decoded_or_refused_as_go_does() {
        assert_eq!(params("a=b%2Fc+d&&e").text("a"), "b/c d");
        assert_eq!(params("a&e=").get("e"), Some(""));
        for (query, message) in [
            ("x=%zz", "invalid URL escape \"%zz\""),
            ("x=%2", "invalid URL escape \"%2\""),
            ("x=1;b", "invalid semicolon separator in query"),
        ] {
            assert_eq!(Params::parse(query).unwrap_err(), ApiError::bad_request(message));
        }
    }

    #[test]
    fn numbers_fail_with_go_s_words_and_500() {
        assert_eq!(params("t=-1").number("t"), Ok(Some(-1)));
        assert_eq!(params("t=").number("t"), Ok(None));
        assert_eq!(
            params("t=x").number("t"),
            Err(ApiError::internal("strconv.Atoi: parsing \"x\": invalid syntax"))
        );
        for (text, nanoseconds) in [
            ("1", 1_000_000_000),
            ("1.5", 1_500_000_000),
            ("1.000000001", 1_000_000_001),
            ("2.1234567899", 2_123_456_789),
        ] {
            assert_eq!(params(&format!("s={text}")).timestamp("s"), Ok(Some(nanoseconds)), "{text}");
        }
        assert_eq!(
            params("s=y").timestamp("s"),
            Err(ApiError::internal("strconv.ParseInt: parsing \"y\": invalid syntax"))
        );
    }

    #[test]
    fn times_are_given_absolutely_or_as_how_long_ago() {
        let now = Timestamp::now().as_second();
        assert_eq!(point_in_time("1700000000"), Ok(1_700_000_000));
        assert_eq!(point_in_time("2023-11-14T22:13:20Z"), Ok(1_700_000_000));
        let ago = now - point_in_time("1h30m").unwrap();
        assert!((5399..=5402).contains(&ago), "{ago}");
        for text in ["", "x", "10", "1.5h", "1d"] {
            let given = duration(text);
            assert_eq!(given, if text == "1.5h" { Some(5_400_000_000_000) } else { None }, "{text}");
        }
        assert!(point_in_time("soon").is_err());
    }

    #[test]
    fn filters_come_as_lists_and_as_sets() {
        let wanted = Filters(BTreeMap::from([("name".to_owned(), vec!["s1".to_owned()])]));
        for document in ["{\"name\":[\"s1\"]}", "{\"name\":{\"s1\":true}}"] {
            assert_eq!(params(&format!("filters={document}")).filters(), Ok(wanted.clone()));
        }
        for document in ["x", "[]", "{\"name\":\"x\"}", "{\"name\":[1]}"] {
            let result = params(&format!("filters={document}")).filters();
            assert_eq!(result, Err(ApiError::bad_request("invalid filter")), "{document}");
        }
    }
}
