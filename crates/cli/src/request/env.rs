//! Environment variables and labels, from flags and from files.

use std::env;

/// Checks `NAME=value`; `NAME` alone takes our own value if there is one.
pub(crate) fn check_variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("", _)) => Err(format!("invalid environment variable: {text}")),
        Some(_) => Ok(text.to_owned()),
        None if text.is_empty() => Err("invalid environment variable: ".to_owned()),
        None => Ok(match variable(text) {
            Some(value) => format!("{text}={value}"),
            None => text.to_owned(),
        }),
    }
}

/// Checks `key=value` of a label.
pub(crate) fn check_label(text: &str) -> Result<String, String> {
    let key = text.split('=').next().unwrap_or_default().trim_start_matches([' ', '\t']);
    if key.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if key.contains([' ', '\t']) {
        return Err(format!("label '{key}' contains whitespaces"));
    }
    Ok(text.to_owned())
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The lines of `files`, then `given`. A name without a value takes ours, or is left out.
pub(crate) fn variables(files: &[String], given: &[String]) -> Result<Vec<String>, String> {
    read_all(files, given, variable)
}

/// The lines of `files`, then `given`. A key without a value is left out.
pub(crate) fn labels(files: &[String], given: &[String]) -> Result<Vec<String>, String> {
    read_all(files, given, |_| None)
}

fn read_all(
    files: &[String],
    given: &[String],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).map_err(|error| crate::error::path_error("open", file, &error))?;
        let lines = parse_file(&bytes, &lookup).map_err(|why| format!("invalid env file ({file}): {why}"))?;
        all.extend(lines);
    }
    all.extend_from_slice(given);
    Ok(all)
}

/// The pairs of a file: one a line, `#` starts a comment line, leading white space is dropped, trailing is kept.
fn parse_file(bytes: &[u8], lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let mut pairs = Vec::new();
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let Ok(line) = std::str::from_utf8(bytes) else {
            let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
            return Err(format!("invalid utf8 bytes at line {}: [{}]", index + 1, numbers.join(" ")));
        };
        let line = if index == 0 { line.trim_start_matches('\u{feff}') } else { line };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (line, None),
        };
        if key.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if key.contains([' ', '\t']) {
            return Err(format!("variable '{key}' contains whitespaces"));
        }
        match value {
            Some(_) => pairs.push(line.to_owned()),
            None => pairs.extend(lookup(key).map(|value| format!("{key}={value}"))),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_line_by_line() {
        let text = "\u{feff}# comment\nONE=1\r\n  TWO=two words \n\nOURS\nNONE\nEMPTY=\nX==y\n";
        let lookup = |name: &str| (name == "OURS").then(|| "v".to_owned());
        let want = ["ONE=1", "TWO=two words ", "OURS=v", "EMPTY=", "X==y"];
        assert_eq!(parse_file(text.as_bytes(), lookup).unwrap(), want);
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, want) in [
            (&b"=x"[..], "no variable name on line '=x'"),
            (b"A B=x", "variable 'A B' contains whitespaces"),
            (b"A \t", "variable 'A \t' contains whitespaces"),
            (b"a=1\n\xff=x", "invalid utf8 bytes at line 2: [255 61 120]"),
        ] {
            assert_eq!(parse_file(text, |_| None), Err(want.to_owned()));
        }
    }

    #[test]
    fn labels_and_variables_need_a_name() {
        assert_eq!(check_variable("=x"), Err("invalid environment variable: =x".to_owned()));
        assert_eq!(check_label("=x"), Err("invalid label '=x': empty name".to_owned()));
        assert_eq!(check_label("a b=x"), Err("label 'a b' contains whitespaces".to_owned()));
        assert_eq!(check_label("a"), Ok("a".to_owned()));
    }
}
