//! Log drivers and their options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_types::host_config::LogConfig;
use regex_lite::Regex;
use shim::plan::Log;

use crate::error::{EngineError, Result};
use crate::record::Record;

/// Bytes after which a log is rotated when nobody says otherwise. Docker keeps growing until the disk is full.
pub const DEFAULT_MAX_SIZE: u64 = 100 * 1024 * 1024;
/// Files that are kept when nobody says otherwise.
pub const DEFAULT_MAX_FILE: u32 = 3;

/// Bytes after which a log of driver `local` is rotated, and its files: Docker's figures.
const LOCAL_MAX_SIZE: u64 = 20 * 1024 * 1024;
const LOCAL_MAX_FILE: u32 = 5;

/// Drivers that write the file which `logs` reads. How `local` writes is nobody's business but the engine's, so that here
/// it is `json-file` with other limits.
fn is_file(kind: &str) -> bool {
    matches!(kind, "json-file" | "local")
}

/// Checks a driver and its options, and fills in the daemon's defaults.
pub(crate) fn complete(
    config: &mut LogConfig,
    defaults: &BTreeMap<String, String>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    if config.kind.is_empty() {
        config.kind = "json-file".into();
        for (name, value) in defaults {
            config.config.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    let options = &config.config;
    match config.kind.as_str() {
        kind if is_file(kind) => {
            check_names(kind, options)?;
            check_mode(options, warnings)?;
            check_values(kind, options)
        }
        "none" if options.is_empty() => Ok(()),
        "none" => Err(EngineError::invalid("unknown log opt for none log driver: it has no options")),
        other => Err(EngineError::invalid(format!(
            "error looking up logging plugin {other}: plugin \"{other}\" not found"
        ))),
    }
}

fn check_names(kind: &str, options: &BTreeMap<String, String>) -> Result<()> {
    let known = |name: &str| match name {
        "max-size" | "max-file" | "compress" | "mode" | "max-buffer-size" => true,
        // Of the copy that Docker keeps for drivers which cannot be read; these two can, and never have one.
        "cache-disabled" | "cache-max-size" | "cache-max-file" | "cache-compress" => true,
        "labels" | "labels-regex" | "env" | "env-regex" | "tag" => kind == "json-file",
        _ => false,
    };
    match options.keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) if kind == "local" => {
            Err(EngineError::invalid(format!("unknown log opt '{name}' for log driver local")))
        }
        Some(name) => Err(EngineError::invalid(format!("unknown log opt '{name}' for {kind} log driver"))),
    }
}

fn check_mode(options: &BTreeMap<String, String>, warnings: &mut Vec<String>) -> Result<()> {
    let buffer = options.get("max-buffer-size");
    match options.get("mode").map(String::as_str) {
        None | Some("" | "blocking") => match buffer {
            None => Ok(()),
            Some(_) => Err(EngineError::invalid(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            )),
        },
        Some("non-blocking") => {
            if let Some(text) = buffer.filter(|text| parse_size(text).is_none()) {
                return Err(EngineError::invalid(format!(
                    "error parsing option max-buffer-size: invalid size: '{text}'"
                )));
            }
            warnings.push(
                "log option mode=non-blocking changes nothing: a log is written to a local file without a buffer, \
                 and only a disk that is slower than the output makes the container wait"
                    .to_owned(),
            );
            Ok(())
        }
        Some(mode) => Err(EngineError::invalid(format!("logger: logging mode not supported: {mode}"))),
    }
}

fn check_values(kind: &str, options: &BTreeMap<String, String>) -> Result<()> {
    max_size(kind, options)?;
    max_file(kind, options)?;
    match options.get("compress").map(String::as_str) {
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => {}
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => {
            return Err(EngineError::invalid(
                "log option compress=true is not supported: rotated logs stay as they are; leave the option out",
            ));
        }
        Some(text) => {
            return Err(EngineError::invalid(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")));
        }
    }
    pattern(options, "labels-regex")?;
    pattern(options, "env-regex")?;
    options.get("tag").map_or(Ok(()), |tag| tag_parts(tag).map(|_| ()))
}

fn pattern(options: &BTreeMap<String, String>, name: &str) -> Result<Option<Regex>> {
    let Some(text) = options.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    Regex::new(text)
        .map(Some)
        .map_err(|error| EngineError::invalid(format!("error parsing regexp: {error}: `{text}`")))
}

fn max_size(kind: &str, options: &BTreeMap<String, String>) -> Result<Option<u64>> {
    match options.get("max-size").map(String::as_str) {
        None if kind == "local" => Ok(Some(LOCAL_MAX_SIZE)),
        None => Ok(Some(DEFAULT_MAX_SIZE)),
        Some("-1") => Ok(None),
        Some(text) => match parse_size(text) {
            Some(0) => Err(EngineError::invalid("max-size must be a positive number")),
            Some(size) => Ok(Some(size)),
            None => Err(EngineError::invalid(format!("invalid size: '{text}'"))),
        },
    }
}

fn max_file(kind: &str, options: &BTreeMap<String, String>) -> Result<u32> {
    match options.get("max-file") {
        None if kind == "local" => Ok(LOCAL_MAX_FILE),
        // Docker keeps one file when only the size is given.
        None if options.contains_key("max-size") => Ok(1),
        None => Ok(DEFAULT_MAX_FILE),
        Some(text) => match text.parse::<i64>().map(u32::try_from) {
            Ok(Ok(count)) if count > 0 => Ok(count),
            Ok(_) => Err(EngineError::invalid("max-file cannot be less than 1")),
            Err(_) => Err(EngineError::invalid(format!("strconv.Atoi: parsing {text:?}: invalid syntax"))),
        },
    }
}

/// `10k`, `1.5g`, `100`, with binary units.
pub fn parse_size(text: &str) -> Option<u64> {
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
        max_size: max_size(&config.kind, &config.config)?,
        max_file: max_file(&config.kind, &config.config)?,
        attrs: attributes(record)?,
    }))
}

/// `attrs` of every line: the labels and variables that were asked for, and the tag.
fn attributes(record: &Record) -> Result<BTreeMap<String, String>> {
    let options = &record.host_config.log_config.config;
    let labels = record.config.labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
    let variables = record.config.env.iter().flatten().filter_map(|entry| entry.split_once('='));
    let mut attributes = chosen(options, "labels", labels)?;
    attributes.extend(chosen(options, "env", variables)?);
    if let Some(tag) = options.get("tag").filter(|tag| !tag.is_empty()) {
        let words = tag_parts(tag)?.into_iter().map(|part| part.of(record));
        attributes.insert("tag".into(), words.collect());
    }
    Ok(attributes)
}

/// Those that an option names, and those that match its pattern.
fn chosen<'a>(
    options: &BTreeMap<String, String>,
    option: &str,
    all: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<BTreeMap<String, String>> {
    let names: Vec<&str> = options.get(option).map(|list| list.split(',').collect()).unwrap_or_default();
    let pattern = pattern(options, &format!("{option}-regex"))?;
    let wanted =
        |name: &str| names.contains(&name) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(name));
    Ok(all
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// A piece of a tag.
#[derive(Debug, PartialEq, Eq)]
enum TagPart {
    Text(String),
    Field(Field),
}

/// What a tag can name of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    FullId,
    Name,
    ImageId,
    ImageFullId,
    ImageName,
    DaemonName,
}

impl TagPart {
    fn of(self, record: &Record) -> String {
        let short = |id: &str| {
            let id = id.split_once(':').map_or(id, |(_, digest)| digest);
            id.get(..12).unwrap_or(id).to_owned()
        };
        match self {
            Self::Text(text) => text,
            Self::Field(Field::Id) => record.short_id().to_owned(),
            Self::Field(Field::FullId) => record.id.clone(),
            Self::Field(Field::Name) => record.name.clone(),
            Self::Field(Field::ImageId) => short(&record.image_id),
            Self::Field(Field::ImageFullId) => record.image_id.clone(),
            Self::Field(Field::ImageName) => record.image.clone(),
            Self::Field(Field::DaemonName) => "docker".to_owned(),
        }
    }
}

/// A tag is a template of which Docker documents the fields; those are what is understood.
fn tag_parts(tag: &str) -> Result<Vec<TagPart>> {
    let mut parts = Vec::new();
    let mut rest = tag;
    while let Some((text, after)) = rest.split_once("{{") {
        let Some((action, after)) = after.split_once("}}") else {
            return Err(EngineError::invalid("template: log-tag:1: unclosed action"));
        };
        parts.push(TagPart::Text(text.to_owned()));
        parts.push(TagPart::Field(match action.trim_matches(|c: char| c == '-' || c.is_whitespace()) {
            ".ID" => Field::Id,
            ".FullID" => Field::FullId,
            ".Name" => Field::Name,
            ".ImageID" => Field::ImageId,
            ".ImageFullID" => Field::ImageFullId,
            ".ImageName" => Field::ImageName,
            ".DaemonName" => Field::DaemonName,
            other => {
                let field = other.strip_prefix('.').unwrap_or(other);
                return Err(EngineError::invalid(format!(
                    "template: log-tag:1: executing \"log-tag\" at <{other}>: can't evaluate field {field} in type \
                     *logger.Info; a tag can name ID, FullID, Name, ImageID, ImageFullID, ImageName and DaemonName"
                )));
            }
        }));
        rest = after;
    }
    parts.push(TagPart::Text(rest.to_owned()));
    Ok(parts)
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
            (config("local", &[("tag", "x")]), "unknown log opt 'tag' for log driver local"),
            (config("json-file", &[("max-size", "abc")]), "invalid size: 'abc'"),
            (config("json-file", &[("max-size", "0")]), "max-size must be a positive number"),
            (config("local", &[("max-file", "x")]), "strconv.Atoi: parsing \"x\": invalid syntax"),
            (config("json-file", &[("mode", "x")]), "logger: logging mode not supported: x"),
            (
                config("json-file", &[("max-buffer-size", "1m")]),
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            ),
            (config("json-file", &[("tag", "{{")]), "template: log-tag:1: unclosed action"),
            (config("json-file", &[("max-file", "0")]), "max-file cannot be less than 1"),
        ] {
            assert_eq!(
                complete(&mut config, &BTreeMap::new(), &mut Vec::new()).unwrap_err().message(),
                expected
            );
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
        let of = |kind: &str, options| (max_size(kind, options).unwrap(), max_file(kind, options).unwrap());
        assert_eq!(of("json-file", &none), (Some(DEFAULT_MAX_SIZE), 3));
        assert_eq!(of("local", &none), (Some(20 << 20), 5));
        let size = BTreeMap::from([("max-size".to_owned(), "10k".to_owned())]);
        assert_eq!(of("json-file", &size), (Some(10240), 1));
    }

    #[test]
    fn a_mode_without_effect_is_told() {
        let mut warnings = Vec::new();
        let mut config = config("json-file", &[("mode", "non-blocking"), ("max-buffer-size", "4m")]);
        complete(&mut config, &BTreeMap::new(), &mut warnings).unwrap();
        assert!(warnings[0].contains("mode=non-blocking changes nothing"), "{warnings:?}");
    }

    #[test]
    fn tags_are_text_and_fields() {
        let text = |text: &str| TagPart::Text(text.to_owned());
        let parts = [text("a/"), TagPart::Field(Field::Name), text(""), TagPart::Field(Field::Id), text("")];
        assert_eq!(tag_parts("a/{{.Name}}{{ .ID }}").unwrap(), parts);
        let error = tag_parts("{{.Foo}}").unwrap_err();
        assert!(error.message().contains("can't evaluate field Foo in type *logger.Info"), "{error}");
    }
}
