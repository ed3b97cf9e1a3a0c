//! The store of unpacked layers.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::digest::{Algorithm, Digest, Hasher};
use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::recipe;
use crate::settings::Settings;
use crate::unpack::{UnpackError, Unpacked, unpack};

const STAGING: &str = ".staging";
const EMPTY: &str = ".empty";
const ROOT: &str = "root";
const SHADOWED: &str = "shadowed";
const RECIPE: &str = "recipe";

/// The layers of one data root. Clones share the store.
#[derive(Debug, Clone)]
pub struct Layers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    dir: OwnedFd,
    staging: OwnedFd,
    settings: Settings,
    next: AtomicU64,
}

/// The store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct LayersError {
    /// What was tried.
    pub action: &'static str,
    /// With which directory.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl Layers {
    /// Opens the store at `path` (`<data-root>/layers`), making it if it is absent, and empties its staging area.
    pub fn open(path: &Path, settings: Settings) -> Result<Self, LayersError> {
        let fail = |source| LayersError { action: "open the layer store", path: path.to_owned(), source };
        let (dir, staging) = open_dirs(path).map_err(fail)?;
        linux::fs::empty_tree(staging.as_fd()).map_err(fail)?;
        let inner = Inner { path: path.to_owned(), dir, staging, settings, next: AtomicU64::new(0) };
        Ok(Self(Arc::new(inner)))
    }

    /// How this store keeps layers.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The tree of a layer: a lower directory for overlay mounts.
    pub fn tree(&self, diff_id: &Digest) -> PathBuf {
        self.0.path.join(diff_id.hex()).join(ROOT)
    }

    /// An empty directory: what an image without layers is mounted from, since overlayfs wants a lower directory.
    pub fn empty_tree(&self) -> PathBuf {
        self.0.path.join(EMPTY)
    }

    /// Whether the layer's directory is there.
    pub fn contains(&self, diff_id: &Digest) -> bool {
        rustix::fs::accessat(
            &self.0.dir,
            diff_id.hex(),
            rustix::fs::Access::EXISTS,
            rustix::fs::AtFlags::empty(),
        )
        .is_ok()
    }

    /// Unpacks an archive of any compression into the staging area, digesting its plain bytes to the end of the
    /// stream.
    pub fn unpack(&self, source: impl Read, algorithm: Algorithm) -> Result<Staged, UnpackError> {
        let staging = self.stage().map_err(UnpackError::Store)?;
        let dir = self.open_staged(&staging.name).map_err(UnpackError::Store)?;
        let (root, shadowed, recipe) = make_parts(&dir).map_err(UnpackError::Store)?;
        let settings = &self.0.settings;
        let unpacked = unpack(source, algorithm, root.as_fd(), shadowed.as_fd(), recipe, settings)?;
        // Only few archives replace their own files.
        match rustix::fs::unlinkat(&dir, SHADOWED, rustix::fs::AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(UnpackError::Store(error.into())),
        }
        Ok(Staged { directory: staging, unpacked })
    }

    /// Makes everything unpacked so far survive a power cut: one `syncfs(2)` for any number of layers. To be called
    /// before [`Self::publish`].
    pub fn sync(&self) -> Result<(), LayersError> {
        rustix::fs::syncfs(&self.0.dir).map_err(|error| self.error("sync", "", error.into()))
    }

    /// Moves staged layers to their places, durably. A layer that is there already stays.
    ///
    /// Returns those that were not there.
    pub fn publish(&self, layers: Vec<Staged>) -> Result<Vec<Digest>, LayersError> {
        let mut added = Vec::new();
        for mut layer in layers {
            let hex = layer.unpacked.diff_id.hex();
            let (staging, dir) = (&self.0.staging, &self.0.dir);
            let name = &layer.directory.name;
            match rustix::fs::renameat_with(staging, name, dir, hex, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    layer.directory.kept = true;
                    added.push(layer.unpacked.diff_id.clone());
                }
                Err(Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(error) => return Err(self.error("publish layer", hex, error.into())),
            }
        }
        rustix::fs::fsync(&self.0.dir).map_err(|error| self.error("sync", "", error.into()))?;
        Ok(added)
    }

    /// Takes a layer out of the store in one step; its files are removed when the result is dropped or, after a
    /// crash, at the next start. `None` if it was not there.
    pub fn detach(&self, diff_id: &Digest) -> Result<Option<Detached>, LayersError> {
        let detached = self.detach_named(OsStr::new(diff_id.hex()));
        detached.map_err(|error| self.error("remove layer", diff_id.hex(), error))
    }

    /// Removes every directory that `keep` does not name: shadows of rows that were removed, or never written.
    ///
    /// Returns how many there were.
    pub fn sweep(&self, keep: impl Fn(&str) -> bool) -> Result<usize, LayersError> {
        let fail = |error| self.error("sweep", "", error);
        let mut removed = 0;
        for entry in linux::fs::entries(self.0.dir.as_fd()).map_err(fail)? {
            let known =
                entry.name.to_str().is_some_and(|name| [STAGING, EMPTY].contains(&name) || keep(name));
            if !known {
                drop(self.detach_named(&entry.name).map_err(fail)?);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Writes the layer's archive to `out`, the same bytes that it was unpacked from; an error if they are not.
    pub fn archive(&self, diff_id: &Digest, out: &mut impl Write) -> Result<(), LayersError> {
        let fail = |error| self.error("read layer", diff_id.hex(), error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let layer = rustix::fs::openat(&self.0.dir, diff_id.hex(), flags, Mode::empty())
            .map_err(|error| fail(error.into()))?;
        let mut tee = Tee { out, hasher: Hasher::new(diff_id.algorithm()) };
        recipe::replay(layer.as_fd(), &mut tee).map_err(fail)?;
        if tee.hasher.finish() == *diff_id {
            return Ok(());
        }
        let text = "the layer's files changed since it was unpacked";
        Err(fail(io::Error::new(io::ErrorKind::InvalidData, text)))
    }

    fn stage(&self) -> io::Result<Directory> {
        let name = OsString::from(self.0.next.fetch_add(1, Ordering::Relaxed).to_string());
        rustix::fs::mkdirat(&self.0.staging, &name, Mode::RWXU)?;
        Ok(self.staged(name))
    }

    fn open_staged(&self, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0.staging, name, flags, Mode::empty())?)
    }

    /// Out of sight in one step, so that no half-removed layer is ever in its place.
    fn detach_named(&self, name: &OsStr) -> io::Result<Option<Detached>> {
        let target = OsString::from(self.0.next.fetch_add(1, Ordering::Relaxed).to_string());
        match rustix::fs::renameat(&self.0.dir, name, &self.0.staging, &target) {
            Ok(()) => Ok(Some(Detached { _directory: self.staged(target) })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn staged(&self, name: OsString) -> Directory {
        Directory { store: self.clone(), name, kept: false }
    }

    fn error(&self, action: &'static str, name: &str, source: io::Error) -> LayersError {
        LayersError { action, path: self.0.path.join(name), source }
    }
}

/// An unpacked layer that is not in the store yet. Dropped, it is removed.
#[derive(Debug)]
pub struct Staged {
    directory: Directory,
    unpacked: Unpacked,
}

impl Staged {
    /// What its archive was.
    pub fn unpacked(&self) -> &Unpacked {
        &self.unpacked
    }
}

/// A layer that was taken out of the store. Dropped, its files are removed, which may take long.
#[derive(Debug)]
pub struct Detached {
    _directory: Directory,
}

#[derive(Debug)]
struct Directory {
    store: Layers,
    name: OsString,
    kept: bool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed at the next start.
            let _ = linux::fs::remove_tree(self.store.0.staging.as_fd(), &self.name);
        }
    }
}

struct Tee<'a, W> {
    out: &'a mut W,
    hasher: Hasher,
}

impl<W: Write> Write for Tee<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn open_dirs(path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Err(error) if error != Errno::EXIST => return Err(error.into()),
        _ => {}
    }
    let dir = linux::fs::open_dir(path)?;
    for name in [STAGING, EMPTY] {
        match rustix::fs::mkdirat(&dir, name, Mode::RWXU | Mode::from_raw_mode(0o055)) {
            Err(error) if error != Errno::EXIST => return Err(error.into()),
            _ => {}
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let staging = rustix::fs::openat(&dir, STAGING, flags, Mode::empty())?;
    Ok((dir, staging))
}

fn make_parts(dir: &OwnedFd) -> io::Result<(OwnedFd, OwnedFd, recipe::Writer)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for name in [ROOT, SHADOWED] {
        rustix::fs::mkdirat(dir, name, Mode::RWXU)?;
    }
    let root = rustix::fs::openat(dir, ROOT, flags, Mode::empty())?;
    // Lower directories are reached through the mount, whose look-ups run with the container's credentials.
    rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755))?;
    let shadowed = rustix::fs::openat(dir, SHADOWED, flags, Mode::empty())?;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let recipe = rustix::fs::openat(dir, RECIPE, create, Mode::RUSR | Mode::WUSR)?;
    Ok((root, shadowed, recipe::Writer::new(File::from(recipe))?))
}
