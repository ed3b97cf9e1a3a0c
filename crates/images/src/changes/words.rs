//! Quotes, escapes and variables in a word, as the Dockerfile frontend treats them.

use std::iter::Peekable;
use std::str::Chars;

use super::error::ChangeError;

/// Replaces variables by their values in an environment.
pub(super) struct Expander<'a> {
    environment: &'a [String],
}

impl<'a> Expander<'a> {
    pub(super) fn new(environment: &'a [String]) -> Self {
        Self { environment }
    }

    /// The word without quotes and escapes, variables replaced.
    pub(super) fn word(&self, word: &str) -> Result<String, ChangeError> {
        self.run(word).map(|(text, _)| text)
    }

    /// Like [`Self::word`]; blanks that no quotes protect divide it into several.
    pub(super) fn words(&self, word: &str) -> Result<Vec<String>, ChangeError> {
        self.run(word).map(|(_, words)| words)
    }

    fn run(&self, word: &str) -> Result<(String, Vec<String>), ChangeError> {
        let mut expansion = Expansion { expander: self, chars: word.chars().peekable() };
        let mut words = Words::default();
        let text = expansion
            .until(None, &mut words)
            .map_err(|reason| ChangeError::Expansion { word: word.to_owned(), reason })?;
        Ok((text, words.finish()))
    }

    fn value(&self, name: &str) -> Option<&str> {
        let lines = self.environment.iter().rev();
        lines.filter_map(|line| line.split_once('=')).find(|(known, _)| *known == name).map(|(_, v)| v)
    }
}

/// The words that an expansion falls into.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
    /// Quoted emptiness is a word too.
    begun: bool,
}

impl Words {
    fn plain(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.divide();
            } else {
                self.current.push(c);
                self.begun = true;
            }
        }
    }

    fn quoted(&mut self, text: &str) {
        self.current.push_str(text);
        self.begun |= !text.is_empty();
    }

    fn divide(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.divide();
        self.done
    }
}

struct Expansion<'a, 'b> {
    expander: &'b Expander<'a>,
    chars: Peekable<Chars<'b>>,
}

impl Expansion<'_, '_> {
    /// Up to `end`, which is left to read, or to the end of the word.
    fn until(&mut self, end: Option<char>, words: &mut Words) -> Result<String, String> {
        let mut text = String::new();
        while let Some(&c) = self.chars.peek() {
            if Some(c) == end {
                break;
            }
            match c {
                '\'' => {
                    let quoted = self.single_quoted()?;
                    words.quoted(&quoted);
                    text.push_str(&quoted);
                }
                '"' => {
                    let quoted = self.double_quoted()?;
                    words.quoted(&quoted);
                    text.push_str(&quoted);
                }
                '$' => {
                    let value = self.variable()?;
                    words.plain(&value);
                    text.push_str(&value);
                }
                '\\' => {
                    self.chars.next();
                    // A backslash at the very end stands for nothing.
                    if let Some(escaped) = self.chars.next() {
                        words.quoted(escaped.encode_utf8(&mut [0; 4]));
                        text.push(escaped);
                    }
                }
                c => {
                    self.chars.next();
                    words.plain(c.encode_utf8(&mut [0; 4]));
                    text.push(c);
                }
            }
        }
        Ok(text)
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.chars.next();
        let mut text = String::new();
        loop {
            match self.chars.next() {
                None => return Err(unmatched("single")),
                Some('\'') => return Ok(text),
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        self.chars.next();
        let mut text = String::new();
        loop {
            match self.chars.peek() {
                None => return Err(unmatched("double")),
                Some('"') => {
                    self.chars.next();
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.variable()?),
                Some('\\') => {
                    self.chars.next();
                    match self.chars.next() {
                        None => return Err(unmatched("double")),
                        Some(c @ ('"' | '$' | '\\')) => text.push(c),
                        Some(c) => text.extend(['\\', c]),
                    }
                }
                Some(&c) => {
                    self.chars.next();
                    text.push(c);
                }
            }
        }
    }

    /// `$name` or `${name…}`; a dollar before anything else is itself.
    fn variable(&mut self) -> Result<String, String> {
        self.chars.next();
        if self.chars.peek() != Some(&'{') {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                self.expander.value(&name).unwrap_or_default().to_owned()
            });
        }
        self.chars.next();
        if self.chars.peek() == Some(&'}') {
            return Err("syntax error: bad substitution".to_owned());
        }
        let name = self.name();
        let value = self.expander.value(&name).map(str::to_owned);
        match self.chars.next() {
            Some('}') => Ok(value.unwrap_or_default()),
            Some(':') => {
                let modifier = self.chars.next();
                // With a colon, an empty value counts as none.
                self.modified(&name, value.filter(|v| !v.is_empty()), modifier, true)
            }
            modifier => self.modified(&name, value, modifier, false),
        }
    }

    fn modified(
        &mut self,
        name: &str,
        value: Option<String>,
        modifier: Option<char>,
        colon: bool,
    ) -> Result<String, String> {
        let Some(modifier @ ('+' | '-' | '?')) = modifier else {
            let shown = format!(
                "{}{}",
                if colon { ":" } else { "" },
                modifier.unwrap_or(char::REPLACEMENT_CHARACTER)
            );
            return Err(format!("unsupported modifier ({shown}) in substitution"));
        };
        let word = self.until(Some('}'), &mut Words::default())?;
        if self.chars.next() != Some('}') {
            return Err("unexpected end of statement while looking for matching }".to_owned());
        }
        match (modifier, value) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            ('?', None) => {
                let unset = if colon { "is not allowed to be empty" } else { "is not allowed to be unset" };
                Err(format!("{name}: {}", if word.is_empty() { unset } else { &word }))
            }
            (_, Some(value)) => Ok(value),
            (_, None) => Ok(String::new()),
        }
    }

    /// Letters, digits and underscores; or one digit or special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(&c) = self.chars.peek()
            && (c.is_ascii_digit() || "@*#".contains(c))
        {
            self.chars.next();
            return c.to_string();
        }
        while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }
}

fn unmatched(kind: &str) -> String {
    format!("unexpected end of statement while looking for matching {kind}-quote")
}
