//! Log drivers and their options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_types::host_config::LogConfig;
use shim::plan::Log;

use crate::error::{EngineError, Result};
use crate::record::Record;

/// Bytes after which a log is rotated when nobody says otherwise. Docker keeps growing until the disk is full.
pub const DEFAULT_MAX_SIZE: u64 = 100 * 1024 * 1024;
/// Files that are kept when nobody says otherwise.
pub const DEFAULT_MAX_FILE: u32 = 3;

/// Checks a driver and its options, and fills in the daemon's defaults.
pub(crate) fn complete(config: &mut LogConfig, defaults: &BTreeMap<String, String>) -> Result<()> {
    if config.kind.is_empty() {
        config.kind = "json-file".into();
        for (name, value) in defaults {
            config.config.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    match config.kind.as_str() {
        "json-file" => check_json_file(&config.config),
        "none" if config.config.is_empty() => Ok(()),
        "none" => Err(EngineError::invalid("unknown log opt for none log driver: it has no options")),
        other => Err(EngineError::invalid(format!(
            "error looking up logging plugin {other}: plugin \"{other}\" not found"
        ))),
    }
}

fn check_json_file(options: &BTreeMap<String, String>) -> Result<()> {
    for name in options.keys() {
        match name.as_str() {
            "max-size" | "max-file" | "labels" | "env" | "tag" => {}
            _ => {
                return Err(EngineError::invalid(format!(
                    "unknown log opt '{name}' for json-file log driver"
                )));
            }
        }
    }
    max_size(options)?;
    max_file(options)?;
    Ok(())
}

fn max_size(options: &BTreeMap<String, String>) -> Result<Option<u64>> {
    match options.get("max-size").map(String::as_str) {
        None => Ok(Some(DEFAULT_MAX_SIZE)),
        Some("-1") => Ok(None),
        Some(text) => match parse_size(text) {
            Some(size) if size > 0 => Ok(Some(size)),
            _ => Err(EngineError::invalid(format!("invalid size: '{text}'"))),
        },
    }
}

fn max_file(options: &BTreeMap<String, String>) -> Result<u32> {
    match options.get("max-file") {
        // Docker keeps one file when only the size is given.
        None if options.contains_key("max-size") => Ok(1),
        None => Ok(DEFAULT_MAX_FILE),
        Some(text) => match text.parse::<u32>() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(EngineError::invalid("max-file cannot be less than 1")),
        },
    }
}

/// `10k`, `1.5g`, `100`, with binary units.
fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, fraction)) => {
            let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
            let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            whole.checked_add(fraction.parse::<u64>().ok()?.checked_mul(factor)? / scale)
        }
    }
}

/// The shim's part: where to write and how much.
pub(crate) fn plan(record: &Record, path: PathBuf) -> Result<Option<Log>> {
    let config = &record.host_config.log_config;
    if config.kind == "none" {
        return Ok(None);
    }
    Ok(Some(Log {
        path,
        max_size: max_size(&config.config)?,
        max_file: max_file(&config.config)?,
        attrs: attributes(record),
    }))
}

/// `attrs` of every line: the labels and variables that were asked for, and the tag.
fn attributes(record: &Record) -> BTreeMap<String, String> {
    let options = &record.host_config.log_config.config;
    let names = |option: &str| -> Vec<String> {
        options.get(option).map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let mut attributes = BTreeMap::new();
    for label in names("labels") {
        if let Some(value) = record.config.labels.as_ref().and_then(|labels| labels.get(&label)) {
            attributes.insert(label, value.clone());
        }
    }
    for name in names("env") {
        let value = record.config.env.iter().flatten().find_map(|entry| {
            let (key, value) = entry.split_once('=')?;
            (key == name).then(|| value.to_owned())
        });
        attributes.extend(value.map(|value| (name, value)));
    }
    if let Some(tag) = options.get("tag") {
        attributes.insert("tag".into(), expand_tag(tag, record));
    }
    attributes
}

/// The fields of Docker's tag template that exist without a template engine.
fn expand_tag(tag: &str, record: &Record) -> String {
    tag.replace("{{.ID}}", record.short_id())
        .replace("{{.FullID}}", &record.id)
        .replace("{{.Name}}", &record.name)
        .replace("{{.ImageName}}", &record.image)
        .replace("{{.ImageFullID}}", &record.image_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: &str, options: &[(&str, &str)]) -> LogConfig {
        LogConfig {
            kind: kind.into(),
            config: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn drivers_and_options_are_refused_in_dockers_words() {
        for (mut config, expected) in [
            (config("foo", &[]), "error looking up logging plugin foo: plugin \"foo\" not found"),
            (config("", &[("foo", "bar")]), "unknown log opt 'foo' for json-file log driver"),
            (config("json-file", &[("max-size", "abc")]), "invalid size: 'abc'"),
            (config("json-file", &[("max-file", "0")]), "max-file cannot be less than 1"),
        ] {
            assert_eq!(complete(&mut config, &BTreeMap::new()).unwrap_err().message(), expected);
        }
    }

    #[test]
    fn sizes_are_read_with_binary_units() {
        for (text, expected) in [
            ("10k", Some(10240)),
            ("1.5m", Some(1_572_864)),
            ("7", Some(7)),
            ("x", None),
            ("1q", None),
            ("", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn logs_are_bounded_when_nobody_says_anything() {
        let none = BTreeMap::new();
        assert_eq!((max_size(&none).unwrap(), max_file(&none).unwrap()), (Some(DEFAULT_MAX_SIZE), 3));
        let size = BTreeMap::from([("max-size".to_owned(), "10k".to_owned())]);
        assert_eq!((max_size(&size).unwrap(), max_file(&size).unwrap()), (Some(10240), 1));
    }
}
