//! One line: its keyword, flags and arguments.

use super::error::ChangeError;

/// Instructions that change a configuration without a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    OnBuild,
    StopSignal,
    User,
    Volume,
    Workdir,
}

impl Keyword {
    const ALL: [Self; 11] = [
        Self::Cmd,
        Self::Entrypoint,
        Self::Env,
        Self::Expose,
        Self::Healthcheck,
        Self::Label,
        Self::OnBuild,
        Self::StopSignal,
        Self::User,
        Self::Volume,
        Self::Workdir,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Cmd => "CMD",
            Self::Entrypoint => "ENTRYPOINT",
            Self::Env => "ENV",
            Self::Expose => "EXPOSE",
            Self::Healthcheck => "HEALTHCHECK",
            Self::Label => "LABEL",
            Self::OnBuild => "ONBUILD",
            Self::StopSignal => "STOPSIGNAL",
            Self::User => "USER",
            Self::Volume => "VOLUME",
            Self::Workdir => "WORKDIR",
        }
    }
}

/// One parsed line.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) keyword: Keyword,
    /// Words, or alternating names and values.
    pub(super) arguments: Vec<String>,
    /// The arguments were a JSON array.
    pub(super) json: bool,
    /// `--name=value`, or `--name` with nothing.
    pub(super) flags: Vec<(String, Option<String>)>,
    /// The line as it was.
    pub(super) original: String,
}

impl Instruction {
    pub(super) fn parse(line: &str) -> Result<Self, ChangeError> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let keyword = Keyword::ALL
            .into_iter()
            .find(|keyword| word.eq_ignore_ascii_case(keyword.as_str()))
            .ok_or_else(|| ChangeError::NotAllowed(shown_keyword(word)))?;
        let (flags, rest) = split_flags(rest.trim());
        if keyword != Keyword::Healthcheck
            && let Some((flag, _)) = flags.first()
        {
            return Err(ChangeError::UnknownFlag(flag.clone()));
        }
        let (arguments, json) = arguments(keyword, rest)?;
        Ok(Self { keyword, arguments, json, flags, original: line.to_owned() })
    }
}

/// Docker's text has known instructions in upper case and others as they are.
fn shown_keyword(word: &str) -> String {
    const OTHERS: [&str; 8] = ["ADD", "ARG", "COPY", "FROM", "MAINTAINER", "RUN", "SHELL", "FOO"];
    let upper = word.to_ascii_uppercase();
    if OTHERS.contains(&upper.as_str()) { upper } else { word.to_owned() }
}

fn arguments(keyword: Keyword, rest: &str) -> Result<(Vec<String>, bool), ChangeError> {
    let name = keyword.as_str();
    match keyword {
        Keyword::Cmd | Keyword::Entrypoint => json_or_line(rest),
        Keyword::Env | Keyword::Label => Ok((pairs(name, rest)?, false)),
        Keyword::Expose => Ok((at_least_one(name, split_blanks(rest))?, false)),
        Keyword::Volume => {
            let (words, json) = match json_strings(rest)? {
                Some(words) => (words, true),
                None => (split_blanks(rest), false),
            };
            Ok((at_least_one(name, words)?, json))
        }
        Keyword::Healthcheck => {
            let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let kind = at_least_one(name, split_blanks(kind))?;
            let (rest, json) = json_or_line(rest.trim())?;
            Ok((kind.into_iter().chain(rest).collect(), json))
        }
        Keyword::OnBuild => Ok((line(rest), false)),
        Keyword::StopSignal | Keyword::User | Keyword::Workdir => match line(rest) {
            words if words.is_empty() => Err(ChangeError::ExactlyOne(name)),
            words => Ok((words, false)),
        },
    }
}

fn line(rest: &str) -> Vec<String> {
    if rest.is_empty() { Vec::new() } else { vec![rest.to_owned()] }
}

fn split_blanks(rest: &str) -> Vec<String> {
    rest.split_whitespace().map(str::to_owned).collect()
}

fn at_least_one(name: &'static str, words: Vec<String>) -> Result<Vec<String>, ChangeError> {
    if words.is_empty() { Err(ChangeError::AtLeastOne(name)) } else { Ok(words) }
}

fn json_or_line(rest: &str) -> Result<(Vec<String>, bool), ChangeError> {
    Ok(match json_strings(rest)? {
        Some(words) => (words, true),
        None => (line(rest), false),
    })
}

/// The strings of a JSON array; `None` if the text is no array at all.
fn json_strings(rest: &str) -> Result<Option<Vec<String>>, ChangeError> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else { return Ok(None) };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(ChangeError::NotStrings),
    });
    strings.collect::<Result<Vec<_>, _>>().map(Some)
}

/// `name=value …`, or the old form `name value with blanks`.
fn pairs(name: &'static str, rest: &str) -> Result<Vec<String>, ChangeError> {
    let words = split_words(rest);
    let first = words.first().ok_or(ChangeError::AtLeastOne(name))?;
    if !first.contains('=') {
        let (key, value) = rest.split_once(char::is_whitespace).ok_or(ChangeError::Two(name))?;
        return Ok(vec![key.to_owned(), value.trim_start().to_owned()]);
    }
    let mut pairs = Vec::new();
    for word in &words {
        let (key, value) = word.split_once('=').ok_or_else(|| ChangeError::NoEquals(word.clone()))?;
        if key.is_empty() {
            return Err(ChangeError::BlankName(name));
        }
        pairs.extend([key.to_owned(), value.to_owned()]);
    }
    Ok(pairs)
}

/// Words divided by blanks that are neither quoted nor escaped; quotes and escapes stay.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            // Between single quotes a backslash is itself.
            (None | Some('"'), '\\') => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Splits `--name[=value]` words off the front; a lone `--` ends them.
fn split_flags(mut rest: &str) -> (Vec<(String, Option<String>)>, &str) {
    let mut flags = Vec::new();
    while rest.starts_with("--") {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (flag, after) = rest.split_at(end);
        rest = after.trim_start();
        match flag[2..].split_once('=') {
            None if flag.len() == 2 => break,
            None => flags.push((flag[2..].to_owned(), None)),
            Some((name, value)) => flags.push((name.to_owned(), Some(value.to_owned()))),
        }
    }
    (flags, rest)
}
