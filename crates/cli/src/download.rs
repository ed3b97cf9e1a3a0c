//! Archives that are written to a file or to standard output as they come.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use api_client::transport::BodyStream;

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
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => fail("cannot write to a directory".to_owned()),
        _ => Ok(()),
    }
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
    while let Some(bytes) = stream.next().await? {
        ui.stdout().write_all(&bytes)?;
    }
    ui.flush()?;
    Ok(())
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
