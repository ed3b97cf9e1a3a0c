//! What a command printed and how it ended, with the assertions of a test on it.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::pattern;

/// A finished command.
#[derive(Debug, Clone)]
pub struct Output {
    pub(crate) command: String,
    /// Exit code as a shell gives it: 128 + n when a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Output {
    /// The command ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code of {}", self.describe());
        self
    }

    /// It succeeded and standard output is this pattern (see [`pattern`]).
    #[track_caller]
    pub fn prints(self, wanted: &str) -> Self {
        let this = self.exits(0);
        assert!(
            pattern::matches(wanted, &this.stdout()),
            "standard output is not what was expected\nwanted:\n{wanted}\n\n{}",
            this.describe()
        );
        this
    }

    /// Standard output contains this pattern, whatever the exit code.
    #[track_caller]
    pub fn stdout_has(self, wanted: &str) -> Self {
        assert!(
            pattern::contained(wanted, &self.stdout()),
            "not on standard output: {wanted}\n{}",
            self.describe()
        );
        self
    }

    /// Standard error contains this pattern, whatever the exit code.
    #[track_caller]
    pub fn stderr_has(self, wanted: &str) -> Self {
        assert!(
            pattern::contained(wanted, &self.stderr()),
            "not on standard error: {wanted}\n{}",
            self.describe()
        );
        self
    }

    /// It failed, and standard error contains this pattern.
    #[track_caller]
    pub fn fails_with(self, wanted: &str) -> Self {
        assert_ne!(self.code, 0, "expected a failure of {}", self.describe());
        self.stderr_has(wanted)
    }

    /// It succeeded and standard output is a tar with exactly these regular files; directories do not count.
    #[track_caller]
    pub fn prints_tar<const N: usize>(self, wanted: [(&str, &str); N]) -> Self {
        let this = self.exits(0);
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(this.stdout.as_slice());
        for entry in archive.entries().expect("standard output is a tar") {
            let mut entry = entry.expect("entry of the tar");
            if entry.header().entry_type().is_file() {
                let mut text = String::new();
                entry.read_to_string(&mut text).expect("file in the tar is text");
                files.insert(entry.path().expect("name in the tar").display().to_string(), text);
            }
        }
        let wanted = wanted.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(files, BTreeMap::from(wanted), "files in the tar of {}", this.command);
        this
    }

    /// Exit code; 128 + n after signal n.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// Standard output as text.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output, its last newline taken off: `let id = host.run("…").line();`
    #[track_caller]
    pub fn line(self) -> String {
        self.exits(0).stdout().trim_end_matches('\n').to_owned()
    }

    /// Standard output as it came.
    pub fn stdout_bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// Standard error as text.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    fn describe(&self) -> String {
        let shown = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let cut = text.char_indices().nth(4000).map_or(text.len(), |(at, _)| at);
            text[..cut].to_owned()
        };
        format!(
            "`{}`\nexit code: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.code,
            shown(&self.stdout),
            shown(&self.stderr)
        )
    }
}
