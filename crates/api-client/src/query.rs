//! Query strings and filters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A query string being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// An empty query.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `name=value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.push(name, value);
        self
    }

    /// Adds `name=value` unless the value is empty.
    #[must_use]
    pub fn with_text(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    /// Adds `name=1` when set.
    #[must_use]
    pub fn with_flag(self, name: &str, set: bool) -> Self {
        if set { self.with(name, "1") } else { self }
    }

    /// Adds `name=value` when there is one.
    #[must_use]
    pub fn with_number(self, name: &str, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.with(name, &value.to_string()),
            None => self,
        }
    }

    /// Adds the filters unless there are none.
    #[must_use]
    pub fn with_filters(self, filters: &Filters) -> Self {
        if filters.is_empty() { self } else { self.with("filters", &filters.to_json()) }
    }

    /// Adds `name=value`.
    pub fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        escape_into(&mut self.0, name, b"");
        self.0.push('=');
        escape_into(&mut self.0, value, b"");
    }

    /// The text after the question mark.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A path segment, or several: slashes stay, everything else that is not unreserved is escaped.
pub(crate) fn escape_path(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(&mut escaped, text, b"/:@");
    escaped
}

fn escape_into(target: &mut String, text: &str, keep: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            target.push(char::from(byte));
        } else {
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

/// Filters of a list: each key with the values any of which may match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeMap<String, bool>>);

impl Filters {
    /// Adds one value.
    pub fn add(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_owned()).or_default().insert(value.to_owned(), true);
    }

    /// No filter at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of one key.
    pub fn get(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(|(value, _)| value.as_str())
    }

    /// `name=value` of every value, sorted.
    pub fn pairs(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(name, values)| values.keys().map(move |value| format!("{name}={value}")))
    }

    /// As the API takes them.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("a map of maps of booleans is always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let query = Query::new()
            .with("a b", "c&d/é")
            .with_text("none", "")
            .with_flag("v", true)
            .with_number("t", Some(-1));
        assert_eq!(query.as_str(), "a%20b=c%26d%2F%C3%A9&v=1&t=-1");
    }

    #[test]
    fn paths_keep_what_image_names_are_made_of() {
        assert_eq!(escape_path("reg:5000/a/b:1@sha256:00 x"), "reg:5000/a/b:1@sha256:00%20x");
    }

    #[test]
    fn filters_are_maps_of_maps() {
        let mut filters = Filters::default();
        filters.add("label", "a=b");
        filters.add("label", "c");
        assert_eq!(filters.to_json(), r#"{"label":{"a=b":true,"c":true}}"#);
    }
}
