//! The exit record: how a container ended, on disk before anyone is told.
//!
//! ```text
//! <run_dir>/exit
//!     corten-exit 1
//!     code 137
//!     oom_killed true
//!     at 1700000000000000001      nanoseconds since the Unix epoch
//!     sure true
//! ```
//!
//! Written by the shim when it has reaped init; by the engine, with `sure false`, when the shim itself was killed.
//! Written to `exit.tmp` and renamed, so that a reader sees all of it or nothing. It is not synced: the directory
//! is on a tmpfs, and what a crash of the whole machine means for a container is known without it.
//! An unknown line is ignored; a record without one of the lines above is no record.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::{Errno, write};

use crate::protocol::Exit;

const NAME: &str = "exit";
const TEMPORARY: &str = "exit.tmp";
const HEAD: &str = "corten-exit 1";
/// Largest record that is read; a real one has some 90 bytes.
const MAX_SIZE: u64 = 4096;

/// How a container ended, and whether its supervisor saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRecord {
    /// How it ended.
    pub exit: Exit,
    /// The supervisor reaped the process itself; `false`: concluded from outside.
    pub sure: bool,
}

impl ExitRecord {
    /// Writes the record into `run_dir`, in place of an older one.
    pub fn write(&self, run_dir: &Path) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let directory = openat(CWD, run_dir, flags, Mode::empty())?;
        self.write_in(directory.as_fd())
    }

    /// The same, where the directory is open already.
    pub fn write_in(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        write_text(directory, NAME, TEMPORARY, &self.to_text())
    }

    /// Reads the record in `run_dir`; none if there is none.
    pub fn read(run_dir: &Path) -> io::Result<Option<Self>> {
        let Some(text) = read_text(&run_dir.join(NAME))? else { return Ok(None) };
        let record = Self::from_text(&text);
        record.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an exit record"))
    }

    /// Removes the record in `run_dir`, before the container is started again.
    pub fn remove(run_dir: &Path) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        Self::remove_in(openat(CWD, run_dir, flags, Mode::empty())?.as_fd())
    }

    /// The same, where the directory is open already.
    pub fn remove_in(directory: BorrowedFd<'_>) -> io::Result<()> {
        match unlinkat(directory, NAME, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn to_text(self) -> String {
        let Self { exit: Exit { code, oom_killed, at }, sure } = self;
        format!("{HEAD}\ncode {code}\noom_killed {oom_killed}\nat {at}\nsure {sure}\n")
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) || !text.ends_with('\n') {
            return None;
        }
        let (mut code, mut oom_killed, mut at, mut sure) = (None, None, None, None);
        for line in lines {
            match line.split_once(' ')? {
                ("code", value) => code = Some(value.parse().ok()?),
                ("oom_killed", value) => oom_killed = Some(value.parse().ok()?),
                ("at", value) => at = Some(value.parse().ok()?),
                ("sure", value) => sure = Some(value.parse().ok()?),
                _ => {}
            }
        }
        Some(Self { exit: Exit { code: code?, oom_killed: oom_killed?, at: at? }, sure: sure? })
    }
}

/// Writes a file of the run directory, so that a reader sees all of it or nothing.
pub(crate) fn write_text(
    directory: BorrowedFd<'_>,
    name: &str,
    temporary: &str,
    text: &str,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, temporary, flags, Mode::from_raw_mode(0o600))?;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match write(&file, rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    renameat(directory, temporary, directory, name)?;
    Ok(())
}

/// Reads such a file; none if there is none.
pub(crate) fn read_text(path: &Path) -> io::Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let bytes = linux::memfd::read(file.as_fd(), MAX_SIZE)?;
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: ExitRecord =
        ExitRecord { exit: Exit { code: 137, oom_killed: true, at: 1_700_000_000_000_000_001 }, sure: true };

    #[test]
    fn the_text_is_the_one_in_the_module_documentation() {
        let text = "corten-exit 1\ncode 137\noom_killed true\nat 1700000000000000001\nsure true\n";
        assert_eq!(RECORD.to_text(), text);
        assert_eq!(ExitRecord::from_text(text), Some(RECORD));
    }

    #[test]
    fn anything_else_is_no_record() {
        let text = RECORD.to_text();
        for end in 0..text.len() {
            assert_eq!(ExitRecord::from_text(&text[..end]), None, "cut after {end} bytes");
        }
        assert_eq!(ExitRecord::from_text(&text.replace("137", "x")), None);
        assert_eq!(ExitRecord::from_text(&text.replace("exit 1", "exit 2")), None);
        assert_eq!(ExitRecord::from_text(&format!("{text}later 1\n")), Some(RECORD));
    }

    #[test]
    fn a_record_replaces_an_older_one_and_can_be_removed() {
        let directory = std::env::temp_dir().join(format!("corten-record-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        assert_eq!(ExitRecord::read(&directory).unwrap(), None);
        RECORD.write(&directory).unwrap();
        let later = ExitRecord { sure: false, ..RECORD };
        later.write(&directory).unwrap();
        assert_eq!(ExitRecord::read(&directory).unwrap(), Some(later));
        ExitRecord::remove(&directory).unwrap();
        ExitRecord::remove(&directory).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        std::fs::remove_dir(&directory).unwrap();
    }
}
