//! The `json-file` log of a container: lines out of bytes, rotation, and a disk that is full.
//!
//! **Invariant:** the file consists of whole lines of JSON. A line of output ends at its newline, after 16,384
//! bytes (the rest follows in further entries with the same time), or with its stream. Writes wait for the disk;
//! when there is no space, lines are left out and counted, and an entry says how many as soon as there is again.
//!
//! ```text
//! <path>      the current file
//! <path>.1    the one before; renamed when the current one has reached max_size, before the next line
//! <path>.2    …
//! ```

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, Mode, OFlags, fdatasync, fstat, ftruncate, openat};
use rustix::io::{Errno, write};

use super::json_line::{Clock, attributes, escape};
use super::stream::Stream;
use crate::plan;

/// Longest entry, as Docker's copier splits lines.
const MAX_LINE: usize = 16 * 1024;

/// Writer of one container's log.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    max_size: Option<u64>,
    max_file: u32,
    attributes: Vec<u8>,
    /// None after a rotation that could not open the new file.
    file: Option<OwnedFd>,
    size: u64,
    lines: [Line; 2],
    clock: Clock,
    /// Entries of this batch, not written yet.
    batch: Vec<u8>,
    batch_lines: u64,
    lost: Lost,
}

/// What one stream has sent of a line that has not ended.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// Time of the line's first entry, once it has one.
    time: Option<i64>,
}

/// Lines that could not be written.
#[derive(Debug, Default)]
struct Lost {
    lines: u64,
    error: Option<Errno>,
}

impl Log {
    /// Opens the log for appending, as a container that is started again goes on with its log.
    pub(super) fn open(log: plan::Log) -> io::Result<Self> {
        let (file, size) = open_file(&log.path)?;
        Ok(Self {
            attributes: attributes(&log.attrs),
            path: log.path,
            max_size: log.max_size,
            max_file: log.max_file,
            file: Some(file),
            size,
            lines: Default::default(),
            clock: Clock::default(),
            batch: Vec::new(),
            batch_lines: 0,
            lost: Lost::default(),
        })
    }

    /// Takes output, and writes the entries that are complete with one call.
    pub(super) fn append(&mut self, stream: Stream, bytes: &[u8]) {
        let mut line = std::mem::take(&mut self.lines[stream.index()]);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.add_part(stream, &mut line, part);
        }
        self.lines[stream.index()] = line;
        self.commit();
    }

    /// Takes a part of a line, which may be its end.
    fn add_part(&mut self, stream: Stream, line: &mut Line, part: &[u8]) {
        let (mut content, ends) = match part.split_last() {
            Some((b'\n', content)) => (content, true),
            _ => (part, false),
        };
        while line.bytes.len() + content.len() >= MAX_LINE {
            let (head, tail) = content.split_at(MAX_LINE - line.bytes.len());
            let time = *line.time.get_or_insert_with(now);
            self.add_entry(stream, &line.bytes, head, false, time);
            line.bytes = Vec::new();
            content = tail;
        }
        if ends {
            let time = line.time.take().unwrap_or_else(now);
            self.add_entry(stream, &line.bytes, content, true, time);
            line.bytes = Vec::new();
        } else {
            line.bytes.extend_from_slice(content);
        }
    }

    /// A stream has ended: what it sent of its last line is an entry.
    pub(super) fn end(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.lines[stream.index()]);
        if !line.bytes.is_empty() {
            let time = line.time.unwrap_or_else(now);
            self.add_entry(stream, &line.bytes, b"", false, time);
            self.commit();
        }
    }

    /// Both streams have ended and nothing follows.
    pub(super) fn finish(&mut self) {
        self.end(Stream::Stdout);
        self.end(Stream::Stderr);
        self.tell_lost();
        self.commit();
    }

    /// Waits until what was written is on the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => Ok(fdatasync(file)?),
            None => Ok(()),
        }
    }

    /// Adds an entry for `head` and `tail` together, and a newline if the line `ends` here.
    fn add_entry(&mut self, stream: Stream, head: &[u8], tail: &[u8], ends: bool, time: i64) {
        if self.max_size.is_some_and(|max| self.size + self.batch.len() as u64 >= max) {
            self.commit();
            self.rotate();
        }
        let batch = &mut self.batch;
        batch.extend_from_slice(b"{\"log\":\"");
        if head.is_empty() {
            escape(batch, tail);
        } else {
            // Joined first: a character may be cut where the two meet.
            escape(batch, &[head, tail].concat());
        }
        if ends {
            batch.extend_from_slice(b"\\n");
        }
        batch.extend_from_slice(b"\",\"stream\":\"");
        batch.extend_from_slice(stream.name().as_bytes());
        batch.push(b'"');
        batch.extend_from_slice(&self.attributes);
        batch.extend_from_slice(b",\"time\":\"");
        self.clock.append(batch, time);
        batch.extend_from_slice(b"\"}\n");
        self.batch_lines += 1;
    }

    /// Writes the batch, the whole of it or nothing.
    fn commit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let lines = std::mem::take(&mut self.batch_lines);
        match self.write_all(&batch) {
            Ok(()) => {
                self.size += batch.len() as u64;
                if self.lost.lines > 0 {
                    self.tell_lost();
                }
            }
            Err(error) => {
                self.lost.lines += lines;
                self.lost.error = Some(error);
            }
        }
        self.keep_small(batch);
    }

    /// Reuses a batch's memory while output flows, but does not hold on to much of it.
    fn keep_small(&mut self, mut batch: Vec<u8>) {
        if batch.capacity() <= 4096 {
            batch.clear();
            self.batch = batch;
        }
    }

    fn write_all(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        let file = self.file.as_ref().ok_or(Errno::NOENT)?;
        while !bytes.is_empty() {
            match write(file, bytes) {
                Ok(0) => return Err(self.undo(Errno::NOSPC)),
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.undo(error)),
            }
        }
        Ok(())
    }

    /// Takes back what a failed write has written of its batch: no half lines.
    fn undo(&self, error: Errno) -> Errno {
        if let Some(file) = &self.file {
            let _ = ftruncate(file, self.size);
        }
        error
    }

    /// Says in the log how many lines it lacks. Silent for as long as that cannot be written either.
    fn tell_lost(&mut self) {
        let Lost { lines, error } = std::mem::take(&mut self.lost);
        let Some(error) = error else { return };
        let why = io::Error::from(error);
        let text = format!("corten: {lines} lines of output are missing here: cannot write the log: {why}");
        self.add_entry(Stream::Stderr, text.as_bytes(), b"", true, now());
        let batch = std::mem::take(&mut self.batch);
        self.batch_lines = 0;
        match self.write_all(&batch) {
            Ok(()) => self.size += batch.len() as u64,
            Err(_) => self.lost = Lost { lines, error: Some(error) },
        }
    }

    /// Makes the current file `.1` and starts an empty one. A file that cannot be renamed goes on being used.
    fn rotate(&mut self) {
        for number in (1..self.max_file.saturating_sub(1)).rev() {
            let _ = std::fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1));
        }
        // With one file, the old one is unlinked rather than truncated: whoever follows it reads it to its end.
        let moved = if self.max_file > 1 {
            std::fs::rename(&self.path, numbered(&self.path, 1))
        } else {
            std::fs::remove_file(&self.path)
        };
        if moved.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            return;
        }
        match open_file(&self.path) {
            Ok((file, size)) => (self.file, self.size) = (Some(file), size),
            Err(_) => (self.file, self.size) = (None, 0),
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn open_file(path: &Path) -> io::Result<(OwnedFd, u64)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::from_raw_mode(0o640))?;
    let size = u64::try_from(fstat(&file)?.st_size).unwrap_or(0);
    Ok((file, size))
}

/// Nanoseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
