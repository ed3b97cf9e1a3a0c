//! Reading `json-file` logs, rotated files included, while the shim writes them.
//!
//! The shim rotates by renaming: the file that is open here keeps its bytes, and its successor has the old name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify;
use serde::Deserialize;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::container::Container;
use crate::error::{EngineError, Result};
use crate::params::{LogEntry, LogStream, LogsQuery};
use crate::shared::Shared;
use crate::time::rfc3339_fixed;

/// One line of the file.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    attrs: std::collections::BTreeMap<String, String>,
    time: jiff::Timestamp,
}

/// Starts reading; entries come through the channel.
pub(crate) fn read(
    shared: &Shared,
    container: &Arc<Container>,
    query: LogsQuery,
) -> Result<mpsc::Receiver<LogEntry>> {
    let record = container.record();
    if record.host_config.log_config.kind != "json-file" {
        return Err(EngineError::new(
            crate::error::ErrorKind::NotImplemented,
            "configured logging driver does not support reading",
        ));
    }
    let path = shared.layout.container(&record.id).log();
    let (sender, receiver) = mpsc::channel(64);
    let container = Arc::clone(container);
    tokio::spawn(async move {
        let id = container.id.clone();
        if let Err(error) = (Reader { path, query, sender, finished: false }).run(&container).await {
            tracing::warn!(container = %id, %error, "cannot read a log");
        }
    });
    Ok(receiver)
}

/// Ends early, without an error, when the client has gone.
struct Reader {
    path: PathBuf,
    query: LogsQuery,
    sender: mpsc::Sender<LogEntry>,
    /// An entry was newer than the query wants, or the client has gone.
    finished: bool,
}

/// A file being read, and the begin of a line whose end is not there yet.
struct Position {
    file: BufReader<File>,
    inode: u64,
    partial: Vec<u8>,
}

impl Position {
    fn open(path: &Path, offset: u64) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let inode = file.metadata()?.ino();
        file.seek(SeekFrom::Start(offset))?;
        Ok(Some(Self { file: BufReader::with_capacity(64 * 1024, file), inode, partial: Vec::new() }))
    }

    /// The next whole line; none at the present end.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.file.read_until(b'\n', &mut self.partial)?;
        if self.partial.last() == Some(&b'\n') {
            return Ok(Some(std::mem::take(&mut self.partial)));
        }
        Ok(None)
    }
}

/// Entries that are read at once, on a thread that may block.
const BATCH: usize = 256;

impl Reader {
    async fn run(mut self, container: &Container) -> io::Result<()> {
        // The watch begins before the first look, so that nothing is missed between the two.
        let changes = if self.query.follow { Some(watch(&self.path)?) } else { None };
        let mut lives = container.watch();
        let start = self.path.clone();
        let tail = self.query.tail;
        let (older, offset) = tokio::task::spawn_blocking(move || find_start(&start, tail))
            .await
            .map_err(io::Error::other)??;
        for (path, offset) in older {
            if let Some(position) = Position::open(&path, offset)? {
                self.drain(position).await?;
            }
            if self.finished {
                return Ok(());
            }
        }
        let mut position = Position::open(&self.path, offset)?;
        loop {
            // Asked before reading: what was written before the end is then certainly read.
            let running = lives.borrow_and_update().record.state.run().is_some();
            let removed = lives.borrow().removed;
            position = self.catch_up(position).await?;
            let Some(changes) = &changes else { return Ok(()) };
            if self.finished || !running || removed {
                return Ok(());
            }
            tokio::select! {
                () = self.sender.closed() => return Ok(()),
                changed = changed(changes) => changed?,
                _ = lives.changed() => {}
            }
        }
    }

    /// Reads to the present end, over rotations.
    async fn catch_up(&mut self, position: Option<Position>) -> io::Result<Option<Position>> {
        let Some(mut position) = position else {
            return match Position::open(&self.path, 0)? {
                Some(position) => Ok(Some(self.drain(position).await?)),
                None => Ok(None),
            };
        };
        loop {
            position = self.drain(position).await?;
            let current = std::fs::metadata(&self.path).map(|status| status.ino());
            match current {
                Ok(inode) if inode != position.inode && !self.finished => {
                    // Rotated: what came between the last read and the rename first.
                    self.drain(position).await?;
                    match Position::open(&self.path, 0)? {
                        Some(next) => position = next,
                        None => return Ok(None),
                    }
                }
                _ => return Ok(Some(position)),
            }
        }
    }

    async fn drain(&mut self, mut position: Position) -> io::Result<Position> {
        while !self.finished {
            let query = self.query.clone();
            let (back, entries, end) = tokio::task::spawn_blocking(move || read_batch(position, &query))
                .await
                .map_err(io::Error::other)??;
            position = back;
            for entry in entries {
                if self.sender.send(entry).await.is_err() {
                    self.finished = true;
                    return Ok(position);
                }
            }
            match end {
                BatchEnd::More => {}
                BatchEnd::EndOfFile => break,
                BatchEnd::Until => self.finished = true,
            }
        }
        Ok(position)
    }
}

enum BatchEnd {
    More,
    EndOfFile,
    Until,
}

fn read_batch(mut position: Position, query: &LogsQuery) -> io::Result<(Position, Vec<LogEntry>, BatchEnd)> {
    let mut entries = Vec::new();
    for _ in 0..BATCH {
        let Some(bytes) = position.next_line()? else { return Ok((position, entries, BatchEnd::EndOfFile)) };
        // A line that a crash has cut is skipped: what follows it is good.
        let Ok(line) = serde_json::from_slice::<Line>(&bytes) else { continue };
        let time = i64::try_from(line.time.as_nanosecond()).unwrap_or(i64::MAX);
        if query.until.is_some_and(|until| time > until) {
            return Ok((position, entries, BatchEnd::Until));
        }
        if query.since.is_none_or(|since| time >= since) {
            entries.extend(format_entry(line, time, query));
        }
    }
    Ok((position, entries, BatchEnd::More))
}

fn format_entry(line: Line, time: i64, query: &LogsQuery) -> Option<LogEntry> {
    let (stream, wanted) = match line.stream.as_str() {
        "stderr" => (LogStream::Stderr, query.stderr),
        _ => (LogStream::Stdout, query.stdout),
    };
    if !wanted {
        return None;
    }
    let mut text = String::new();
    if query.timestamps {
        text = rfc3339_fixed(time);
        text.push(' ');
    }
    if query.details {
        let attributes: Vec<String> =
            line.attrs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&attributes.join(","));
        text.push(' ');
    }
    text.push_str(&line.log);
    Some(LogEntry { stream, line: text.into_bytes() })
}

/// Older files to read with their offsets, and the offset in the current one.
type Start = (Vec<(PathBuf, u64)>, u64);

/// Where the last `tail` lines begin.
fn find_start(path: &Path, tail: Option<u64>) -> io::Result<Start> {
    let mut rotated = rotated_files(path);
    let Some(mut wanted) = tail else {
        return Ok((rotated.into_iter().map(|path| (path, 0)).collect(), 0));
    };
    let (offset, found) = tail_offset(path, wanted)?;
    wanted -= found;
    let mut older = Vec::new();
    while wanted > 0 {
        let Some(path) = rotated.pop() else { break };
        let (offset, found) = tail_offset(&path, wanted)?;
        wanted -= found;
        older.insert(0, (path, offset));
    }
    Ok((older, offset))
}

/// `….2`, `….1`: the oldest first.
fn rotated_files(path: &Path) -> Vec<PathBuf> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let mut files: Vec<PathBuf> = (1..).map(numbered).take_while(|path| path.exists()).collect();
    files.reverse();
    files
}

/// Offset of the last `wanted` whole lines of a file, and how many there are (at most `wanted`).
fn tail_offset(path: &Path, wanted: u64) -> io::Result<(u64, u64)> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        file => file?,
    };
    let mut end = file.metadata()?.len();
    if wanted == 0 {
        return Ok((last_line_end(&mut file, end)?, 0));
    }
    let mut block = vec![0; 64 * 1024];
    let mut newlines = 0;
    while end > 0 {
        let size = end.min(block.len() as u64);
        let start = end - size;
        let bytes = &mut block[..usize::try_from(size).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(bytes)?;
        for (at, byte) in bytes.iter().enumerate().rev() {
            if *byte == b'\n' {
                newlines += 1;
                if newlines == wanted + 1 {
                    return Ok((start + at as u64 + 1, wanted));
                }
            }
        }
        end = start;
    }
    Ok((0, newlines))
}

/// Where a line that is being written begins, so that a follower gets it whole.
fn last_line_end(file: &mut File, end: u64) -> io::Result<u64> {
    let size = end.min(64 * 1024);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.seek(SeekFrom::Start(end - size))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.iter().rposition(|byte| *byte == b'\n').map_or(end, |at| end - size + at as u64 + 1))
}

/// Watches the directory of a log: writing, and the renames of a rotation.
#[expect(
    deprecated,
    reason = "the replacement is unsafe for types that may give another fd each time; OwnedFd never does"
)]
fn watch(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let watcher = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let directory = path.parent().unwrap_or(path);
    inotify::add_watch(
        &watcher,
        directory,
        inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO,
    )?;
    AsyncFd::new(watcher)
}

/// Waits until something changed, and takes all notices.
async fn changed(watcher: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut buffer = [0_u8; 4096];
    let mut guard = watcher.readable().await?;
    loop {
        match rustix::io::read(watcher.get_ref().as_fd(), &mut buffer) {
            Ok(1..) => {}
            Ok(0) | Err(rustix::io::Errno::AGAIN) => {
                guard.clear_ready();
                return Ok(());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_at_a_line() {
        let dir = std::env::temp_dir().join(format!("corten-logs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("log");
        std::io::Write::write_all(&mut File::create(&path).unwrap(), b"one\ntwo\nthree\npart").unwrap();
        for (wanted, expected) in [(0, (14, 0)), (1, (8, 1)), (2, (4, 2)), (3, (0, 3)), (9, (0, 3))] {
            assert_eq!(tail_offset(&path, wanted).unwrap(), expected, "{wanted}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
