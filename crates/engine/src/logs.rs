//! Reading `json-file` logs, rotated files included, while the shim writes them.
//!
//! The shim rotates by renaming: a file that is open here keeps its bytes. Files are told apart by their inodes, for
//! their names may move on between any two looks.

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
    if record.host_config.log_config.kind == "none" {
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
    /// Bytes up to where the file ended when it was opened; none for a follower, which reads on.
    left: Option<u64>,
}

impl Position {
    fn open(path: &Path, offset: u64) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let inode = file.metadata()?.ino();
        file.seek(SeekFrom::Start(offset))?;
        Ok(Some(Self {
            file: BufReader::with_capacity(64 * 1024, file),
            inode,
            partial: Vec::new(),
            left: None,
        }))
    }

    /// The next whole line; none at the present end.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        match &mut self.left {
            Some(left) => {
                let count = self.file.by_ref().take(*left).read_until(b'\n', &mut self.partial)?;
                *left -= count as u64;
            }
            None => drop(self.file.read_until(b'\n', &mut self.partial)?),
        }
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
        let mut files = tokio::task::spawn_blocking(move || find_start(&start, tail))
            .await
            .map_err(io::Error::other)??;
        if changes.is_some() {
            files.iter_mut().for_each(|file| file.left = None);
        }
        // Whoever does not follow gets what there was when he asked, however fast more is written.
        let mut position = if changes.is_some() { files.pop() } else { None };
        for older in files {
            self.drain(older).await?;
            if self.finished {
                return Ok(());
            }
        }
        let Some(changes) = &changes else { return Ok(()) };
        loop {
            // Asked before reading: what was written before the end is then certainly read.
            let running = lives.borrow_and_update().record.state.run().is_some();
            let removed = lives.borrow().removed;
            position = self.catch_up(position).await?;
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
            if self.finished || inode(&self.path) == Some(position.inode) {
                return Ok(Some(position));
            }
            // Rotated: what came between the last read and the rename first.
            position = self.drain(position).await?;
            match successor(&self.path, position.inode)? {
                Some(next) => position = next,
                // In the middle of a rotation; the new file is a change that wakes us.
                None => return Ok(Some(position)),
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

/// As in a query: what is not a letter, a digit or one of `-_.~` is `%XX`, and a blank is `+`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
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

/// Reads a file from its begin and from its end, as clients may ask for it.
pub(crate) fn read_through(path: &Path) {
    let query =
        LogsQuery { stdout: true, stderr: true, timestamps: true, details: true, ..LogsQuery::default() };
    for tail in [0, 1, 3] {
        let begin = File::open(path).and_then(|mut file| {
            let end = file.metadata()?.len();
            tail_offset(&mut file, end, tail)
        });
        let Ok((offset, _)) = begin else { return };
        let Ok(Some(mut position)) = Position::open(path, offset) else { return };
        while let Ok((next, _, BatchEnd::More)) = read_batch(position, &query) {
            position = next;
        }
    }
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
            line.attrs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        text.push_str(&attributes.join(","));
        text.push(' ');
    }
    text.push_str(&line.log);
    Some(LogEntry { stream, line: text.into_bytes() })
}

/// The files to read, the oldest first and the current one last, each open where the last `tail` lines begin.
///
/// They are opened from the current one on: a rotation meanwhile moves a file to where it is still looked for.
fn find_start(path: &Path, tail: Option<u64>) -> io::Result<Vec<Position>> {
    let mut files: Vec<Position> = Vec::new();
    let mut wanted = tail;
    for number in 0.. {
        let Some(mut position) = Position::open(&numbered(path, number), 0)? else {
            // The current one may be missing for a moment, or for good.
            if number == 0 {
                continue;
            }
            break;
        };
        if files.iter().any(|known| known.inode == position.inode) {
            continue;
        }
        let length = position.file.get_ref().metadata()?.len();
        position.left = Some(length);
        if let Some(wanted) = &mut wanted {
            if *wanted == 0 && !files.is_empty() {
                break;
            }
            let (offset, found) = tail_offset(position.file.get_mut(), length, *wanted)?;
            position.file.seek(SeekFrom::Start(offset))?;
            position.left = Some(length - offset);
            *wanted -= found;
        }
        files.push(position);
    }
    files.reverse();
    Ok(files)
}

/// `…`, `….1`, `….2`: the younger, the lower the number.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|status| status.ino())
}

/// The file that was begun after the one with this inode; the oldest there is, if that one has been removed.
fn successor(path: &Path, before: u64) -> io::Result<Option<Position>> {
    loop {
        let last = (1..).take_while(|number| inode(&numbered(path, *number)).is_some()).last().unwrap_or(0);
        let place = (0..=last).find(|number| inode(&numbered(path, *number)) == Some(before));
        if place == Some(0) {
            return Ok(None);
        }
        let next = Position::open(&numbered(path, place.map_or(last, |place| place - 1)), 0)?;
        // Names that have moved between the looks are looked at again.
        match place {
            Some(place) if inode(&numbered(path, place)) != Some(before) => {}
            _ => return Ok(next.filter(|next| next.inode != before)),
        }
    }
}

/// Offset of the last `wanted` whole lines before `end` of a file, and how many there are (at most `wanted`).
fn tail_offset(file: &mut File, mut end: u64, wanted: u64) -> io::Result<(u64, u64)> {
    if wanted == 0 {
        return Ok((last_line_end(file, end)?, 0));
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
            let mut file = File::open(&path).unwrap();
            let end = file.metadata().unwrap().len();
            assert_eq!(tail_offset(&mut file, end, wanted).unwrap(), expected, "{wanted}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// A log that a test rotates.
    struct Rotated(PathBuf);

    impl Rotated {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("corten-rotated-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn path(&self) -> PathBuf {
            self.0.join("log")
        }

        /// Renames as the shim does, keeping `keep` files, and begins a new file.
        fn begin(&self, text: &str, keep: u32) {
            for number in (0..keep - 1).rev() {
                let _ = std::fs::rename(numbered(&self.path(), number), numbered(&self.path(), number + 1));
            }
            io::Write::write_all(&mut File::create(self.path()).unwrap(), text.as_bytes()).unwrap();
        }
    }

    impl Drop for Rotated {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn text(position: Position) -> String {
        let mut text = String::new();
        position.file.into_inner().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn files_are_followed_in_the_order_in_which_they_were_begun() {
        let log = Rotated::new("order");
        log.begin("a\n", 3);
        let first = Position::open(&log.path(), 0).unwrap().unwrap();
        assert!(successor(&log.path(), first.inode).unwrap().is_none());
        log.begin("b\n", 3);
        log.begin("c\n", 3);
        let second = successor(&log.path(), first.inode).unwrap().unwrap();
        let third = successor(&log.path(), second.inode).unwrap().unwrap();
        assert!(successor(&log.path(), third.inode).unwrap().is_none());
        assert_eq!((text(second), text(third)), ("b\n".to_owned(), "c\n".to_owned()));
        // The first is gone by now: the oldest that is left follows it.
        log.begin("d\n", 3);
        assert_eq!(text(successor(&log.path(), first.inode).unwrap().unwrap()), "b\n");
    }

    #[test]
    fn reading_begins_in_the_file_that_has_the_last_lines() {
        let log = Rotated::new("start");
        for part in ["a\nb\n", "c\n", "d\ne\n"] {
            log.begin(part, 3);
        }
        for (tail, expected) in [
            (None, "a b c d e"),
            (Some(9), "a b c d e"),
            (Some(4), "b c d e"),
            (Some(2), "d e"),
            (Some(1), "e"),
            (Some(0), ""),
        ] {
            let mut found = String::new();
            for mut position in find_start(&log.path(), tail).unwrap() {
                position.file.read_to_string(&mut found).unwrap();
            }
            assert_eq!(found.trim().replace('\n', " "), expected, "{tail:?}");
        }
    }

    #[test]
    fn details_are_escaped_as_in_a_query() {
        assert_eq!(escaped("y=z a/b,c-_.~é"), "y%3Dz+a%2Fb%2Cc-_.~%C3%A9");
    }
}
