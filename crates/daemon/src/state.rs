//! Directories, the lock on them, pid file, engine id.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file in the data root that a running daemon holds locked; its content is the daemon's pid.
const LOCK: &str = "daemon.lock";
/// How long the lock of a dead daemon may last: a child that was on its way to become a shim when the daemon was
/// killed shares it until its `exec`.
const LEFT_BEHIND: Duration = Duration::from_secs(2);
/// How long one that seems to live may keep it: what was killed this instant has its files for a moment more.
const DYING: Duration = Duration::from_millis(300);
/// The file in the data root with the engine's id.
const ENGINE_ID: &str = "engine-id";

/// What can go wrong with directories and files of the daemon.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use by another daemon{}", path.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse { path: PathBuf, pid: Option<u32> },
    #[error("{} is writable by others and not this daemon's own directory; take their rights away (chmod 700), or name another with --data-root or --exec-root", path.display())]
    Shared { path: PathBuf },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Io { what, path: path.to_owned(), source }
}

/// Makes `path`, or takes it over, with mode 0700.
pub(crate) fn private_directory(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make directory", path))?;
    let metadata = fs::metadata(path).map_err(failed("look at", path))?;
    // A directory such as /tmp is never ours, and its mode not ours to change.
    if metadata.mode() & 0o1000 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(StateError::Shared { path: path.to_owned() });
    }
    if metadata.mode() & 0o777 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("change mode of", path))?;
    }
    Ok(())
}

/// A lock on the data root, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(data_root: &Path) -> Result<Self, StateError> {
        let path = data_root.join(LOCK);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed("open", &path))?;
        let began = Instant::now();
        while let Err(error) = file.try_lock() {
            if let TryLockError::Error(source) = error {
                return Err(failed("lock", &path)(source));
            }
            let pid = holder(&mut file);
            let patience = if pid.is_none_or(lives) { DYING } else { LEFT_BEHIND };
            if began.elapsed() >= patience {
                return Err(StateError::InUse { path: data_root.to_owned(), pid });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(failed("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Whether the process does more than wait for its parent to take its exit status. `exe` of one that has given its
/// memory back leads nowhere, whatever its threads still hold.
fn lives(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// The pid that the daemon with the lock has written into it.
fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().and_then(|()| lock.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

/// The engine's id: a random UUID, made once.
pub(crate) fn engine_id(data_root: &Path) -> Result<String, StateError> {
    let path = data_root.join(ENGINE_ID);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read", &path)(error)),
    }
    let source = Path::new("/proc/sys/kernel/random/uuid");
    let id = fs::read_to_string(source).map_err(failed("read", source))?;
    linux::fs::replace(&path, id.as_bytes()).map_err(failed("write", &path))?;
    Ok(id.trim().to_owned())
}

/// A pid file, gone with this value.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes our pid.
    pub(crate) fn write(path: &Path) -> Result<Self, StateError> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(failed("make directory", parent))?;
        }
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o644);
        options
            .open(path)
            .and_then(|mut file| write!(file, "{}", std::process::id()))
            .map_err(failed("write", path))?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
