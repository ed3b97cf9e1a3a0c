//! What can go wrong, by kind. The text is what the user reads; Docker's phrases are part of the interface.

use std::fmt;

/// What sort of failure it is; the API's status comes from this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such object.
    NotFound,
    /// The request cannot be right.
    InvalidParameter,
    /// The request cannot be right, and Docker's clients are used to hear of it as a failure of the engine.
    Unclassified,
    /// The object's state does not allow it.
    Conflict,
    /// Already so.
    NotModified,
    /// Never allowed.
    Forbidden,
    /// Not now.
    Unavailable,
    /// Not something this engine does.
    NotImplemented,
    /// The engine or the host failed.
    System,
}

/// A failed operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineError {
    kind: ErrorKind,
    message: String,
}

/// Result of an engine operation.
pub type Result<T> = std::result::Result<T, EngineError>;

impl EngineError {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
    /// No such object.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    /// The request cannot be right.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, message)
    }
    /// The object's state does not allow it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }
    /// The engine or the host failed: `what` was being done.
    pub fn system(what: impl fmt::Display, source: impl fmt::Display) -> Self {
        Self::new(ErrorKind::System, format!("{what}: {source}"))
    }
    /// The same failure as another kind.
    #[must_use]
    pub fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }
    /// The same failure, with what was being done before its text.
    #[must_use]
    pub fn within(self, what: impl fmt::Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EngineError {}

impl From<::failpoints::Injected> for EngineError {
    fn from(injected: ::failpoints::Injected) -> Self {
        Self::new(ErrorKind::System, injected.to_string())
    }
}

/// An I/O error in Go's words, which clients and scripts know: lower case, no error number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// An error with everything that caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // `transparent` errors say what their source says.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
