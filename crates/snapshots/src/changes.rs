//! What a container changed: `docker diff`.
//!
//! Read from the upper directory, whose size is that of the changes; lower layers are only asked about names that
//! are in it. Needs overlays mounted without `redirect_dir` and `metacopy`, with which an upper directory would not
//! say everything.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use archive::walk::{Descend, Item, walk};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::settings::Settings;
use crate::upper::is_whiteout;

/// How a path changed. The numbers are those of Docker's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was there and is different, or something in it is.
    Modified = 0,
    /// It was not there.
    Added = 1,
    /// It is not there any more.
    Deleted = 2,
}

/// A path that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path in the container.
    pub path: PathBuf,
    /// How it changed.
    pub kind: ChangeKind,
}

/// Directories that an engine mounts over in every container: what the upper has there was made to mount on.
const MOUNTED_OVER: [&str; 3] = ["dev", "proc", "sys"];
/// Files that an engine mounts over in every container.
const MOUNTED_FILES: [&str; 5] = [".dockerenv", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];

/// Compares `upper` with the layers below it, uppermost first. The changes come in the order of their paths.
pub fn changes(upper: &Path, lower_dirs: &[PathBuf], settings: &Settings) -> io::Result<Vec<Change>> {
    let lower = Lower {
        layers: lower_dirs.iter().map(|dir| linux::fs::open_dir(dir)).collect::<io::Result<_>>()?,
        opaque: OsString::from(settings.attributes.opaque()),
    };
    let mut comparison = Comparison { lower, found: Vec::new(), folders: HashMap::new() };
    comparison.folders.insert(Vec::new(), Folder::Merged);
    walk(linux::fs::open_dir(upper)?.as_fd(), &mut |item| {
        comparison.item(&item)?;
        Ok(Descend::Yes)
    })?;
    Ok(comparison.finish())
}

/// What a directory of the upper has below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folder {
    /// A directory of lower layers, which is seen through it.
    Merged,
    /// A directory of lower layers, which it hides.
    Covering,
    /// Nothing.
    New,
}

/// A change that counts only if something in the directory changed.
struct Candidate {
    path: Vec<u8>,
    kind: ChangeKind,
    only_with_children: bool,
}

struct Comparison {
    lower: Lower,
    found: Vec<Candidate>,
    folders: HashMap<Vec<u8>, Folder>,
}

impl Comparison {
    fn item(&mut self, item: &Item<'_>) -> io::Result<()> {
        let parent = item.path.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &item.path[..slash]);
        let parent = self.folders.get(parent).copied().unwrap_or(Folder::New);
        if is_mount_point(item) {
            return Ok(());
        }
        let below = if parent == Folder::New { None } else { self.lower.stat(item.path)? };
        if is_whiteout(item.stat) {
            if below.is_some() {
                self.push(item.path.to_vec(), ChangeKind::Deleted, false);
            }
            return Ok(());
        }
        let Some(below) = below else {
            self.push(item.path.to_vec(), ChangeKind::Added, false);
            if item.is_dir() {
                self.folders.insert(item.path.to_vec(), Folder::New);
            }
            return Ok(());
        };
        let both_folders = item.is_dir() && is_dir(&below);
        if both_folders {
            self.push(item.path.to_vec(), ChangeKind::Modified, !differs(item.stat, &below));
            let opaque = linux::fs::xattr(item.dir, item.name, &self.lower.opaque)?.is_some();
            let covering = parent == Folder::Covering || opaque;
            let folder = if covering { Folder::Covering } else { Folder::Merged };
            self.folders.insert(item.path.to_vec(), folder);
            if covering {
                self.hidden_children(item)?;
            }
        } else if item.is_dir() || is_dir(&below) || differs(item.stat, &below) {
            self.push(item.path.to_vec(), ChangeKind::Modified, false);
        }
        Ok(())
    }

    /// Names of the lower directory that the covering one does not have.
    fn hidden_children(&mut self, item: &Item<'_>) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(item.dir, item.name, flags, Mode::empty())?;
        let present: HashSet<OsString> =
            linux::fs::entries(dir.as_fd())?.into_iter().map(|entry| entry.name).collect();
        for name in self.lower.children(item.path)? {
            if !present.contains(&name) {
                let path = [item.path, b"/", name.as_bytes()].concat();
                self.push(path, ChangeKind::Deleted, false);
            }
        }
        Ok(())
    }

    fn push(&mut self, path: Vec<u8>, kind: ChangeKind, only_with_children: bool) {
        self.found.push(Candidate { path, kind, only_with_children });
    }

    fn finish(mut self) -> Vec<Change> {
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        let mut parents: HashSet<Vec<u8>> = HashSet::new();
        let mut changes = Vec::with_capacity(self.found.len());
        for candidate in self.found.into_iter().rev() {
            if candidate.only_with_children && !parents.contains(&candidate.path) {
                continue;
            }
            if let Some(slash) = candidate.path.iter().rposition(|&b| b == b'/') {
                parents.insert(candidate.path[..slash].to_vec());
            }
            let path = PathBuf::from(OsString::from_vec([b"/", candidate.path.as_slice()].concat()));
            changes.push(Change { path, kind: candidate.kind });
        }
        changes.reverse();
        changes
    }
}

/// The layers below, seen as one tree.
struct Lower {
    layers: Vec<OwnedFd>,
    opaque: OsString,
}

/// What one layer says about a path.
enum Seen {
    Here(Box<Stat>),
    /// Nothing, and layers below may know.
    Unknown,
    /// Nothing, and layers below are hidden.
    Hidden,
}

impl Lower {
    fn stat(&self, path: &[u8]) -> io::Result<Option<Stat>> {
        for layer in &self.layers {
            match self.look(layer, path)? {
                Seen::Here(stat) => return Ok(Some(*stat)),
                Seen::Hidden => return Ok(None),
                Seen::Unknown => {}
            }
        }
        Ok(None)
    }

    fn look(&self, layer: &OwnedFd, path: &[u8]) -> io::Result<Seen> {
        let mut covered = false;
        for end in component_ends(path) {
            let part = OsStr::from_bytes(&path[..end]);
            // No component is a link: a directory was found at each of the ones before.
            let stat = match rustix::fs::statat(layer, part, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => return Ok(if covered { Seen::Hidden } else { Seen::Unknown }),
                stat => stat?,
            };
            if is_whiteout(&stat) {
                return Ok(Seen::Hidden);
            }
            if end == path.len() {
                return Ok(Seen::Here(Box::new(stat)));
            }
            if !is_dir(&stat) {
                return Ok(Seen::Hidden);
            }
            covered |= self.is_opaque(layer, part)?;
        }
        Ok(Seen::Unknown)
    }

    /// Names in the directory `path`, all layers together.
    fn children(&self, path: &[u8]) -> io::Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        let mut hidden = HashSet::new();
        for layer in &self.layers {
            match self.look(layer, path)? {
                Seen::Hidden => break,
                Seen::Unknown => continue,
                Seen::Here(stat) if !is_dir(&stat) => break,
                Seen::Here(_) => {}
            }
            let part = OsStr::from_bytes(path);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let dir = rustix::fs::openat(layer, part, flags, Mode::empty())?;
            for entry in linux::fs::entries(dir.as_fd())? {
                let stat = rustix::fs::statat(&dir, &entry.name, AtFlags::SYMLINK_NOFOLLOW)?;
                if is_whiteout(&stat) {
                    hidden.insert(entry.name);
                } else if !hidden.contains(&entry.name) {
                    names.insert(entry.name);
                }
            }
            if self.is_opaque(layer, part)? {
                break;
            }
        }
        Ok(names)
    }

    fn is_opaque(&self, layer: &OwnedFd, path: &OsStr) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(layer, path, flags, Mode::empty())?;
        Ok(linux::fs::xattr(dir.as_fd(), OsStr::new("."), &self.opaque)?.is_some())
    }
}

/// Where each component of a path ends, the whole path last.
fn component_ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    slashes.chain(std::iter::once(path.len()))
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Whether a copy in the upper is another file than the one below. A directory's size and time change with what is
/// in it and do not count.
fn differs(upper: &Stat, below: &Stat) -> bool {
    let attributes = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    attributes(upper) != attributes(below) || (!is_dir(upper) && content(upper) != content(below))
}

/// Whether the item is only there to be mounted on, or is below such a place.
pub(crate) fn is_mount_point(item: &Item<'_>) -> bool {
    let Ok(path) = std::str::from_utf8(item.path) else { return false };
    if MOUNTED_OVER.contains(&path.split('/').next().unwrap_or_default()) {
        return true;
    }
    let placeholder = match item.kind() {
        FileType::RegularFile => item.stat.st_size == 0,
        FileType::Symlink => path == "etc/mtab",
        _ => false,
    };
    placeholder && MOUNTED_FILES.contains(&path)
}
