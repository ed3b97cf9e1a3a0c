//! Archives that are written to a file or to standard output as they come.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use api_client::transport::BodyStream;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{CommandError, go_error, path_error};
use crate::ui::Ui;

/// Refuses a path that cannot become a file before the engine starts to work. `failed` begins the message.
pub(crate) fn check_output(path: &str, failed: &str) -> Result<(), CommandError> {
    if path.is_empty() {
        return Ok(());
    }
    let fail = |why: String| Err(CommandError::new(format!("{failed}: {why}")));
    let parent = match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Err(error) = std::fs::metadata(parent) {
        let parent = parent.to_string_lossy();
        return fail(format!("invalid output path: {}", path_error("stat", &parent, &error)));
    }
    // The archive is renamed over whatever is here: what is no file would be one afterwards, /dev/null too.
    match std::fs::symlink_metadata(path).ok().and_then(|found| special(found.file_type())) {
        Some(kind) => fail(format!("cannot write to {kind}")),
        None => Ok(()),
    }
}

/// What a path is that is no regular file.
fn special(kind: FileType) -> Option<&'static str> {
    [
        (kind.is_dir(), "a directory"),
        (kind.is_symlink(), "a symbolic link directly"),
        (kind.is_fifo(), "a named pipe (FIFO)"),
        (kind.is_char_device(), "a character device file"),
        (kind.is_block_device(), "a block device file"),
        (kind.is_socket(), "a socket"),
    ]
    .into_iter()
    .find_map(|(is, name)| is.then_some(name))
}

/// Writes the stream to the file at `path`, to standard output if that is empty.
pub(crate) async fn write(
    stream: &mut BodyStream,
    path: &str,
    failed: &str,
    ui: &mut Ui,
) -> Result<(), CommandError> {
    if !path.is_empty() {
        return write_file(stream, Path::new(path), failed).await;
    }
    to_stdout(stream, ui).await
}

/// Writes the stream to standard output.
pub(crate) async fn to_stdout(stream: &mut BodyStream, ui: &mut Ui) -> Result<(), CommandError> {
    while let Some(bytes) = stream.next().await? {
        ui.stdout().write_all(&bytes)?;
    }
    Ok(ui.flush()?)
}

/// Pieces of a stream as a thread reads them.
pub(crate) struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Pieces {
    /// Those that `receiver` gets.
    pub(crate) fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, piece: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// Writes beside the file and renames, so that a broken transfer leaves no half an archive under its name.
async fn write_file(stream: &mut BodyStream, path: &Path, failed: &str) -> Result<(), CommandError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = Temporary(path.with_file_name(name));
    let fail =
        |error: io::Error| CommandError::new(format!("{failed}: {}: {}", path.display(), go_error(&error)));
    let mut file = create(&temporary.0).map_err(fail)?;
    while let Some(bytes) = stream.next().await? {
        file.write_all(&bytes).map_err(fail)?;
    }
    std::fs::rename(&temporary.0, path).map_err(fail)?;
    Ok(())
}

/// For nobody else to read: a container's files may be secret.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Removed when dropped, unless it has been renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_are_replaced() {
        let dir = std::env::temp_dir().join(format!("corten-download-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("folder")).unwrap();
        std::fs::File::create(dir.join("file")).unwrap();
        symlink("file", dir.join("link")).unwrap();
        let _socket = UnixListener::bind(dir.join("socket")).unwrap();
        let error =
            |path: &Path| check_output(&path.to_string_lossy(), "failed").err().map(|error| error.message);
        for (name, want) in [
            ("new", None),
            ("file", None),
            ("folder", Some("failed: cannot write to a directory")),
            ("link", Some("failed: cannot write to a symbolic link directly")),
            ("socket", Some("failed: cannot write to a socket")),
        ] {
            assert_eq!(error(&dir.join(name)).as_deref(), want, "{name}");
        }
        let device = error(Path::new("/dev/null"));
        assert_eq!(device.as_deref(), Some("failed: cannot write to a character device file"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
