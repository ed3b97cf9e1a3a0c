//! How a command fails: what people read, and the exit code.

use std::io;

use api_client::ClientError;

/// Exit code of a command that failed.
pub(crate) const FAILURE: u8 = 1;
/// Exit code of `run` and of wrong flags: the failure is ours or the engine's, not the container's.
pub(crate) const OWN_FAILURE: u8 = 125;
/// Exit code of `run` when the program may not be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// Exit code of `run` when there is no such program.
pub(crate) const NOT_FOUND: u8 = 127;
/// Exit code when whoever read our output has left.
const BROKEN_PIPE: u8 = 141;

/// A command's failure. Its text goes to standard error as it is; an empty one prints nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandError {
    /// What people read.
    pub(crate) message: String,
    /// Exit code.
    pub(crate) code: u8,
}

/// What a command ends with: its exit code, or a failure.
pub(crate) type Outcome = Result<u8, CommandError>;

impl CommandError {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: FAILURE }
    }

    /// The same with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// A failure that has been told already.
    pub(crate) fn told(code: u8) -> Self {
        Self { message: String::new(), code }
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Io(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // As if the signal had ended us, which the standard library switches off.
            io::ErrorKind::BrokenPipe => Self::told(BROKEN_PIPE),
            _ => Self::new(go_error(&error)),
        }
    }
}

/// What an engine's error text suggests in place of a name that it does not know, with the blank before it; often
/// nothing.
pub(crate) fn suggestion(text: &str) -> &str {
    text.find(" (did you mean ").map_or("", |at| &text[at..])
}

/// An operating system error in Go's words, which are the C library's in lower case, without the number.
pub(crate) fn go_error(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.find(" (os error ") {
        Some(end) => &text[..end],
        None => return text,
    };
    let mut letters = text.chars();
    match letters.next() {
        // "I/O error", "RFS specific error": abbreviations keep their capitals.
        Some(first) if !letters.as_str().starts_with(|c: char| c.is_ascii_uppercase() || c == '/') => {
            format!("{}{}", first.to_lowercase(), letters.as_str())
        }
        _ => text.to_owned(),
    }
}

/// An operation on a path that failed: `open /x: no such file or directory`.
pub(crate) fn path_error(operation: &str, path: &str, error: &io::Error) -> String {
    format!("{operation} {path}: {}", go_error(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_worded_as_in_go() {
        for (number, want) in
            [(2, "no such file or directory"), (13, "permission denied"), (5, "input/output error")]
        {
            assert_eq!(go_error(&io::Error::from_raw_os_error(number)), want);
        }
    }

    #[test]
    fn a_reader_that_left_is_no_news() {
        let error = CommandError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error, CommandError::told(141));
    }
}
