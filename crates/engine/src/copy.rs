//! `cp`: what a path of a container is, its files as an archive, an archive into its files.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use archive::extract::{self, Owner};
use archive::pack::pack_path;
use archive::walk::Descend;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::container::Container;
use crate::error::{EngineError, ErrorKind, Result};
use crate::failpoints;
use crate::mounts::{self, MountSource};
use crate::params::{CopyOptions, PathStat};
use crate::pipe::{self, ByteStream};
use crate::record::Record;
use crate::roots::{self, Writing};
use crate::shared::Shared;
use crate::supervise::container_event;
use crate::tree::{Last, Place, Tree};

/// A path that a client asked for.
#[derive(Debug, Clone)]
struct Asked {
    /// How the client named the container.
    container: String,
    /// The path, from the root, as Go cleans it but for a `/` or `/.` at its end.
    path: String,
}

impl Asked {
    fn new(container: &str, path: &str) -> Result<Self> {
        if path.is_empty() {
            // Docker's words; a blank is missing there.
            return Err(EngineError::invalid("bad parameter: pathcannot be empty"));
        }
        let clean = mounts::clean(path);
        let end = match path {
            _ if path == "." || path.ends_with("/.") => "/.",
            _ if path.ends_with('/') => "/",
            _ => "",
        };
        let path = if clean == "/" { end.replace("//", "/") } else { format!("{clean}{end}") };
        let path = if path.is_empty() { "/".to_owned() } else { path };
        Ok(Self { container: container.to_owned(), path })
    }

    /// The last part of the path: what the archive and the description call the file.
    fn name(&self) -> &str {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        match path.rsplit('/').next() {
            Some("") | None => "/",
            Some(name) => name,
        }
    }

    fn not_found(&self) -> EngineError {
        let Self { container, path } = self;
        EngineError::not_found(format!("Could not find the file {path} in container {container}"))
    }

    fn failed(&self, error: Errno) -> EngineError {
        match error {
            Errno::NOENT => self.not_found(),
            error => EngineError::new(
                ErrorKind::System,
                format!("lstat {}: {}", self.path, crate::error::plain(&error.into())),
            ),
        }
    }

    fn find(&self, tree: &Tree, last: Last) -> Result<Place> {
        tree.find(&self.path, last).map_err(|error| self.failed(error))
    }

    fn open_dir(&self, place: &Place) -> Result<OwnedFd> {
        place.open_dir().map_err(|error| {
            EngineError::system(format!("cannot open {} in container {}", self.path, self.container), error)
        })
    }

    fn describe(&self, tree: &Tree, place: &Place) -> Result<PathStat> {
        let link_target = if place.kind() == FileType::Symlink {
            let target = tree.evaluate(&self.path).map_err(|_| {
                let text = format!("evalSymlinksInScope: too many links in {}", self.path);
                EngineError::new(ErrorKind::System, text)
            })?;
            String::from_utf8_lossy(&target).into_owned()
        } else {
            String::new()
        };
        Ok(PathStat {
            name: self.name().to_owned(),
            size: place.stat.st_size,
            mode: go_mode(&place.stat),
            modified: place
                .stat
                .st_mtime
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::try_from(place.stat.st_mtime_nsec).unwrap_or(0)),
            link_target,
        })
    }
}

/// A file's mode as Go's `os.FileMode` has it.
fn go_mode(stat: &Stat) -> u32 {
    const SET_UID: u32 = 0o4000;
    const SET_GID: u32 = 0o2000;
    const STICKY: u32 = 0o1000;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::RegularFile => 0,
        FileType::Unknown => 1 << 19,
    };
    let bit = |mode: u32, go: u32| if stat.st_mode & mode == 0 { 0 } else { 1 << go };
    kind | bit(SET_UID, 23) | bit(SET_GID, 22) | bit(STICKY, 20) | stat.st_mode & 0o777
}

/// What is at a path. A link at its end is described itself.
pub(crate) async fn stat(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    name: &str,
    path: &str,
) -> Result<PathStat> {
    let asked = Asked::new(name, path)?;
    let tree = roots::for_reading(shared, container).await?;
    blocking(move || {
        let place = asked.find(&tree, Last::Keep)?;
        asked.describe(&tree, &place)
    })
    .await
}

/// The files at a path as an archive whose names begin with the path's last part.
pub(crate) async fn read(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    name: &str,
    path: &str,
) -> Result<(PathStat, ByteStream)> {
    let asked = Asked::new(name, path)?;
    let tree = roots::for_reading(shared, container).await?;
    let root_name = asked.name().to_owned();
    let (described, tree, place) = blocking(move || {
        let mut place = asked.find(&tree, Last::Keep)?;
        failpoints::COPY_OUT_BEGUN.check()?;
        let described = asked.describe(&tree, &place)?;
        if place.kind() == FileType::Directory {
            // Held open: by its name the container may put a link in its place, which a client would then have where
            // it asked for a directory.
            place.dir = asked.open_dir(&place)?;
            place.name = ".".into();
        }
        Ok((described, tree, place))
    })
    .await?;
    let stream = pipe::stream_of(move |out| {
        let mut choose = |item: &archive::walk::Item<'_>| {
            Ok(if tree.hides(item.dir, item.name)? { Descend::No } else { Descend::Yes })
        };
        pack_path(place.dir.as_fd(), &place.name, root_name.as_bytes(), out, &mut choose).map(drop)
    });
    shared.events.publish(container_event(&container.record(), "archive-path", &[]));
    Ok((described, stream))
}

/// Extracts an archive into the directory at a path.
pub(crate) async fn write(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    name: &str,
    path: &str,
    options: CopyOptions,
    archive: ByteStream,
) -> Result<()> {
    let asked = Asked::new(name, path)?;
    let Writing { tree, writer } = roots::for_writing(shared, container).await?;
    let record = container.record();
    let archive = pipe::Reader::new(archive, writer.cut());
    let outcome = blocking(move || {
        let begun = failpoints::COPY_IN_BEGUN.check().map_err(EngineError::from);
        let outcome = begun.and_then(|()| extract_into(&asked, &tree, &record, options, archive));
        failpoints::COPY_IN_DONE.pass();
        // The mount goes before the right to use it.
        drop(tree);
        drop(writer);
        outcome
    })
    .await;
    outcome?;
    shared.events.publish(container_event(&container.record(), "extract-to-dir", &[]));
    Ok(())
}

fn extract_into(
    asked: &Asked,
    tree: &Tree,
    record: &Record,
    options: CopyOptions,
    mut archive: pipe::Reader,
) -> Result<()> {
    let place = match tree.find(asked.path.trim_end_matches('/'), Last::Follow) {
        Err(Errno::NOTDIR) => None,
        place => Some(place.map_err(|error| asked.failed(error))?),
    };
    let place = place.filter(|place| place.kind() == FileType::Directory);
    let place = place.ok_or_else(|| EngineError::invalid("extraction point is not a directory"))?;
    refuse_read_only(record, &place)?;
    let directory = asked.open_dir(&place)?;
    let owner = match options.copy_owner && !record.config.user.is_empty() {
        true => {
            let identity = runtime::users::resolve(tree.root(), &record.config.user, &[])
                .map_err(|error| EngineError::system("cannot find the container's user", error))?;
            Owner::Fixed(identity.uid, identity.gid)
        }
        false => Owner::Archive,
    };
    let guard = |parent: std::os::fd::BorrowedFd<'_>| match tree.hides(parent, OsStr::new(""))? {
        true => Err(std::io::Error::other("it is on a file system of the kernel")),
        false => Ok(()),
    };
    let shown = String::from_utf8_lossy(&place.path).into_owned();
    let options = extract::Options {
        owner,
        keep_kinds: options.keep_kinds,
        rename: None,
        directory: &shown,
        guard: &guard,
    };
    match extract::extract(&mut archive, directory.as_fd(), &options) {
        Err(_) if archive.was_cut() => {
            Err(EngineError::conflict("the copy was cut off: the container is being started or removed"))
        }
        outcome => outcome.map_err(|error| EngineError::new(ErrorKind::System, error.to_string())),
    }
}

/// Docker's refusals; the kernel would refuse most of it as well, in its own words.
fn refuse_read_only(record: &Record, place: &Place) -> Result<()> {
    let path = Path::new(OsStr::from_bytes(&place.path));
    let running = record.state.run().is_some();
    let mounted = record
        .mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.destination))
        .filter(|mount| running || matches!(mount.what, MountSource::Bind { .. }))
        .max_by_key(|mount| mount.destination.len());
    match mounted {
        Some(mount) if mount.read_only => Err(EngineError::invalid("mounted volume is marked read-only")),
        None if record.host_config.readonly_rootfs => {
            Err(EngineError::invalid("container rootfs is marked read-only"))
        }
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::system("the copy failed", error))
        .and_then(|outcome| outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_what_their_end_says() {
        for (path, clean, name) in [
            ("o", "/o", "o"),
            ("/o/", "/o/", "o"),
            ("/o/.", "/o/.", "."),
            ("/o//x/../f", "/o/f", "f"),
            ("../../etc", "/etc", "etc"),
            ("/", "/", "/"),
            ("/.", "/.", "."),
            (".", "/.", "."),
            ("//", "/", "/"),
            ("/o/..", "/", "/"),
        ] {
            let asked = Asked::new("c", path).unwrap();
            assert_eq!((asked.path.as_str(), asked.name()), (clean, name), "{path}");
        }
        let error = Asked::new("c", "").unwrap_err();
        assert_eq!(error.message(), "bad parameter: pathcannot be empty");
    }
}
