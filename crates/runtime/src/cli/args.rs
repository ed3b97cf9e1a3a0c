//! Options of a command, declared as a table; no library, for start-up time.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::Failure;

/// One option of a command.
pub(crate) struct Option {
    long: &'static str,
    short: core::option::Option<&'static str>,
    /// What its value is called; none for a flag.
    value: core::option::Option<&'static str>,
    help: &'static str,
}

impl Option {
    /// An option without a value.
    pub(crate) const fn flag(
        long: &'static str,
        short: core::option::Option<&'static str>,
        help: &'static str,
    ) -> Self {
        Self { long, short, value: None, help }
    }

    /// An option with a value; it may be given more than once.
    pub(crate) const fn value(
        long: &'static str,
        short: core::option::Option<&'static str>,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Self { long, short, value: Some(value), help }
    }
}

/// The words of a command, told apart.
#[derive(Debug, Default)]
pub(crate) struct Args {
    given: Vec<(&'static str, OsString)>,
    /// What is no option.
    pub rest: Vec<OsString>,
}

impl Args {
    /// Tells options from arguments. With `stop`, and always for `exec` and `ps` after the container, the first
    /// argument ends the options: what follows belongs to somebody else.
    pub(crate) fn parse(
        command: &str,
        options: &[Option],
        words: Vec<OsString>,
        stop: bool,
    ) -> Result<Self, Failure> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        let stops = stop || ["exec", "ps"].contains(&command);
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            if bytes == b"--" {
                break;
            }
            if bytes.len() < 2 || bytes[0] != b'-' {
                args.rest.push(word);
                if stops {
                    break;
                }
                continue;
            }
            let (name, attached) = split(&word);
            // One dash or two, as Go programs take either.
            let known = options.iter().find(|option| {
                option.short.is_some_and(|short| name == short)
                    || name == option.long
                    || name.len() > 2 && name.as_bytes() == &option.long.as_bytes()[1..]
            });
            let Some(option) = known else {
                let of = if command.is_empty() { String::new() } else { format!(" of {command}") };
                return Err(Failure::new(format_args!("unknown option {}{of}", word.display())));
            };
            let value = match (option.value, attached) {
                (Some(_), Some(value)) => value,
                (Some(_), None) => words
                    .next()
                    .ok_or_else(|| Failure::new(format_args!("option {} needs a value", option.long)))?,
                (None, None) => OsString::new(),
                (None, Some(value)) if value == "true" => OsString::new(),
                (None, Some(value)) if value == "false" => continue,
                (None, Some(_)) => {
                    return Err(Failure::new(format_args!("option {} takes no value", option.long)));
                }
            };
            args.given.push((option.long, value));
        }
        args.rest.extend(words);
        Ok(args)
    }

    /// Whether a flag was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == long)
    }

    /// The value of an option, the last one given.
    pub(crate) fn value(&self, long: &str) -> core::option::Option<&OsStr> {
        self.given.iter().rev().find(|(given, _)| *given == long).map(|(_, value)| value.as_os_str())
    }

    /// The value of an option, as text.
    pub(crate) fn text(&self, long: &str) -> Result<core::option::Option<String>, Failure> {
        self.value(long).map(|value| text(value, long)).transpose()
    }

    /// All values of an option, as text.
    pub(crate) fn texts(&self, long: &str) -> Result<Vec<String>, Failure> {
        self.given.iter().filter(|(given, _)| *given == long).map(|(_, value)| text(value, long)).collect()
    }

    /// The value of an option, as a number.
    pub(crate) fn number<T: std::str::FromStr>(
        &self,
        long: &str,
    ) -> Result<core::option::Option<T>, Failure> {
        let parse = |text: String| {
            text.parse().map_err(|_| Failure::new(format_args!("{long}: {text:?} is not a valid number")))
        };
        self.text(long)?.map(parse).transpose()
    }

    /// The container's id, the first argument; at most `more` may follow.
    pub(crate) fn container(&self, more: usize) -> Result<String, Failure> {
        let id = self.rest.first().ok_or_else(|| Failure::new("which container? Its id is missing"))?;
        if self.rest.len() > 1 + more {
            return Err(Failure::new(format_args!("too many arguments: {}", self.rest[1 + more].display())));
        }
        text(id, "container id")
    }
}

fn text(value: &OsStr, what: &str) -> Result<String, Failure> {
    value
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format_args!("{what}: {} is not valid UTF-8", value.display())))
}

fn split(word: &OsStr) -> (String, core::option::Option<OsString>) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let value = OsString::from_vec(bytes[at + 1..].to_vec());
            (String::from_utf8_lossy(&bytes[..at]).into_owned(), Some(value))
        }
        None => (word.to_string_lossy().into_owned(), None),
    }
}

/// The help text of a command.
pub(crate) fn help(command: &str, usage: &str, options: &[Option]) -> String {
    let mut text = format!("Usage: corten-runtime {command} [OPTIONS] {usage}\n\nOptions:\n");
    for option in options {
        let mut name = option.long.to_owned();
        if let Some(short) = option.short {
            name = format!("{short}, {name}");
        }
        if let Some(value) = option.value {
            name = format!("{name} {value}");
        }
        let _ = writeln!(text, "  {name:<28} {}", option.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[Option] =
        &[Option::value("--bundle", Some("-b"), "DIR", ""), Option::flag("--detach", Some("-d"), "")];

    fn parse(command: &str, words: &[&str]) -> Result<Args, Failure> {
        Args::parse(command, OPTIONS, words.iter().map(OsString::from).collect(), false)
    }

    #[test]
    fn options_are_taken_in_every_spelling() {
        for words in [
            ["--bundle", "/b", "-d", "c"].as_slice(),
            &["c", "--bundle=/b", "--detach"],
            &["-b", "/b", "--detach=true", "c"],
            &["-bundle", "/b", "-detach", "c"],
        ] {
            let args = parse("run", words).unwrap();
            assert_eq!(args.value("--bundle").unwrap(), "/b", "{words:?}");
            assert!(args.has("--detach"), "{words:?}");
            assert_eq!(args.container(0).unwrap(), "c", "{words:?}");
        }
    }

    #[test]
    fn words_of_the_program_are_left_alone() {
        let args = parse("exec", &["-d", "c", "ls", "-l", "--bundle"]).unwrap();
        assert_eq!(args.rest, ["c", "ls", "-l", "--bundle"]);
    }

    #[test]
    fn nonsense_is_named() {
        for (words, text) in [
            (["--nope"].as_slice(), "unknown option --nope of run"),
            (&["--bundle"], "option --bundle needs a value"),
            (&["--detach=maybe"], "option --detach takes no value"),
        ] {
            assert_eq!(parse("run", words).unwrap_err().message, text);
        }
        assert_eq!(
            parse("run", &["a", "b"]).unwrap().container(0).unwrap_err().message,
            "too many arguments: b"
        );
    }
}
