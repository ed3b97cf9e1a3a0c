//! An archive into a directory that is in use: `docker cp`.
//!
//! Others may change the directory meanwhile, a container its own root file system. So every parent is opened by the
//! kernel with the directory as `/`, every entry is made in an open parent, and what was made is then known by its
//! descriptor: a name that was exchanged for a symbolic link gets nobody's attributes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, StatxAttributes, StatxFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

use crate::compression::Decompressor;
use crate::parents::{Parent, Parents};
use crate::path::{EntryPath, shown};
use crate::tar::{Header, Kind, Reader, Segment, TarError, Time};
use crate::walk::{Descend, walk};

const BUFFER: usize = 256 * 1024;

/// Why an archive was not extracted. What was extracted before stays.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The stream is not an archive, or only a part of one.
    #[error("{0}")]
    Archive(#[from] TarError),
    /// The compressed stream is damaged or cut off, or its source failed.
    #[error("{0}")]
    Stream(#[source] io::Error),
    /// One entry cannot be made.
    #[error("cannot extract {name:?}: {}", plain(source))]
    Entry {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// What has the name of an entry cannot be removed. The words are Docker's.
    #[error("RemoveAll {name}: {}", plain(source))]
    Remove {
        /// The name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// One entry must not be made. The words are Docker's.
    #[error("{reason} {name:?}")]
    Refused {
        /// Why.
        reason: &'static str,
        /// Its name or target, as the archive has it.
        name: String,
    },
    /// A file would replace a directory, or the other way round. The words are Docker's.
    #[error("cannot overwrite {present} {name:?} with {wanted} {directory:?}")]
    OtherKind {
        /// `directory` or `non-directory`.
        present: &'static str,
        /// The entry.
        name: String,
        /// `non-directory` or `directory`.
        wanted: &'static str,
        /// The directory that is extracted into.
        directory: String,
    },
    /// An entry of a type that no archive of files has.
    #[error("unhandled tar header type {kind} of {name:?}")]
    UnknownKind {
        /// Its name.
        name: String,
        /// The type byte.
        kind: u8,
    },
}

/// An operating system error in Go's words: lower case, no number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Whom extracted files belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Those whom the archive names.
    Archive,
    /// One user and group.
    Fixed(u32, u32),
    /// Whoever extracts.
    Caller,
}

/// How to extract.
pub struct Options<'a> {
    /// Owners.
    pub owner: Owner,
    /// A directory does not replace a file, and a file no directory.
    pub keep_kinds: bool,
    /// The first part of every name that is the first of these becomes the second.
    pub rename: Option<(&'a [u8], &'a [u8])>,
    /// The directory's name in messages.
    pub directory: &'a str,
    /// Asked about each directory that something is made in.
    pub guard: &'a dyn Fn(BorrowedFd<'_>) -> io::Result<()>,
}

/// Extracts an archive of any compression into `directory`, and reads it to its end.
pub fn extract(
    archive: impl Read,
    directory: BorrowedFd<'_>,
    options: &Options<'_>,
) -> Result<(), ExtractError> {
    let mut reader = Reader::new(Decompressor::new(archive).map_err(ExtractError::Stream)?);
    let owner = match options.owner {
        Owner::Caller => None,
        Owner::Archive | Owner::Fixed(..) => Some(0),
    };
    let parents = Parents::new(directory, owner).map_err(ExtractError::Stream)?;
    let mut extractor =
        Extractor { parents, options, times: HashMap::new(), buffer: vec![0; BUFFER], directory };
    while let Some(mut header) = reader.next()? {
        if let Some(names) = options.rename {
            header.name = renamed(&header.name, names);
            if header.kind == Kind::HardLink {
                header.link = renamed(&header.link, names);
            }
        }
        extractor.entry(&header, &mut reader)?;
    }
    reader.drain()?;
    extractor.finish();
    Ok(())
}

/// Replaces the first part of a name.
fn renamed(name: &[u8], (from, to): (&[u8], &[u8])) -> Vec<u8> {
    match name.strip_prefix(from) {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") || from.ends_with(b"/") => {
            [to, rest].concat()
        }
        _ => name.to_vec(),
    }
}

struct Extractor<'a> {
    directory: BorrowedFd<'a>,
    parents: Parents<'a>,
    options: &'a Options<'a>,
    /// Times of directories, set last: making entries changes them.
    times: HashMap<EntryPath, Timestamps>,
    buffer: Vec<u8>,
}

/// Where an entry is made.
struct Place<'a> {
    parent: Rc<Parent>,
    name: &'a OsStr,
}

impl Place<'_> {
    fn dir(&self) -> BorrowedFd<'_> {
        self.parent.fd.as_fd()
    }
}

impl Extractor<'_> {
    fn entry<R: Read>(&mut self, header: &Header, reader: &mut Reader<R>) -> Result<(), ExtractError> {
        if let Kind::Other(kind) = header.kind {
            return Err(ExtractError::UnknownKind { name: shown(&header.name), kind });
        }
        let path = EntryPath::new(&header.name).ok_or_else(|| refused("invalid entry name", &header.name))?;
        if path.is_root() {
            // The directory itself keeps what attributes it has.
            return Ok(());
        }
        if path.is_too_long() {
            return Err(failed(header, Errno::NAMETOOLONG.into()));
        }
        let (parent, name) = path.split();
        let parent = self.parents.get(parent).map_err(|source| failed(header, source))?;
        (self.options.guard)(parent.fd.as_fd()).map_err(|source| failed(header, source))?;
        let place = Place { parent, name: OsStr::from_bytes(name) };
        self.make_way(header, &place)?;
        match header.kind {
            Kind::File => self.file(header, &place, reader),
            Kind::HardLink => self.hard_link(header, &place),
            Kind::Symlink => self.symlink(header, &place).map_err(|source| failed(header, source)),
            Kind::Directory => {
                self.directory(header, &place).map_err(|source| failed(header, source))?;
                self.times.insert(path.clone(), timestamps(header));
                Ok(())
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                self.node(header, &place).map_err(|source| failed(header, source))
            }
            Kind::Other(_) => unreachable!("refused above"),
        }
    }

    /// Removes what has the entry's name, unless both are directories.
    fn make_way(&mut self, header: &Header, place: &Place<'_>) -> Result<(), ExtractError> {
        let stat = match rustix::fs::statat(place.dir(), place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat.map_err(|error| failed(header, error.into()))?,
        };
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let wants_dir = header.kind == Kind::Directory;
        if is_dir && wants_dir {
            return Ok(());
        }
        if self.options.keep_kinds && is_dir != wants_dir {
            let word = |is_dir| if is_dir { "directory" } else { "non-directory" };
            return Err(ExtractError::OtherKind {
                present: word(is_dir),
                name: trimmed(&header.name),
                wanted: word(wants_dir),
                directory: self.options.directory.to_owned(),
            });
        }
        self.parents.forget();
        refuse_mounted(place, is_dir)
            .and_then(|()| linux::fs::remove_tree(place.dir(), place.name))
            .map_err(|source| ExtractError::Remove { name: trimmed(&header.name), source })
    }

    fn directory(&self, header: &Header, place: &Place<'_>) -> io::Result<()> {
        match rustix::fs::mkdirat(place.dir(), place.name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(place.dir(), place.name, flags, Mode::empty())?;
        self.own(made.as_fd(), header)?;
        set_xattrs(place, header)?;
        Ok(rustix::fs::fchmod(&made, Mode::from_raw_mode(header.mode))?)
    }

    fn file<R: Read>(
        &mut self,
        header: &Header,
        place: &Place<'_>,
        reader: &mut Reader<R>,
    ) -> Result<(), ExtractError> {
        let fail = |source: io::Error| failed(header, source);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(place.dir(), place.name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(made.map_err(|error| fail(error.into()))?);
        match &header.sparse {
            None => self.copy(header, reader, &mut file, header.size)?,
            Some(sparse) => {
                for &Segment { offset, length } in &sparse.segments {
                    file.seek(SeekFrom::Start(offset)).map_err(fail)?;
                    self.copy(header, reader, &mut file, length)?;
                }
                file.set_len(sparse.real_size).map_err(fail)?;
            }
        }
        self.own(file.as_fd(), header).map_err(fail)?;
        set_xattrs(place, header).map_err(fail)?;
        // After the owner, whose change takes set-id bits away.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(header.mode)).map_err(|error| fail(error.into()))?;
        rustix::fs::futimens(&file, &timestamps(header)).map_err(|error| fail(error.into()))
    }

    /// Copies `length` bytes of the entry's content into `file`.
    fn copy<R: Read>(
        &mut self,
        header: &Header,
        reader: &mut Reader<R>,
        file: &mut File,
        length: u64,
    ) -> Result<(), ExtractError> {
        let mut left = length;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = match reader.payload().read(&mut self.buffer[..wanted]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ExtractError::Archive(error.into())),
            };
            file.write_all(&self.buffer[..read]).map_err(|source| failed(header, source))?;
            left -= read as u64;
        }
        Ok(())
    }

    /// One more name of a file that is there; it has its attributes already.
    fn hard_link(&mut self, header: &Header, place: &Place<'_>) -> Result<(), ExtractError> {
        let target = EntryPath::new(&header.link)
            .filter(|target| !target.is_root())
            .ok_or_else(|| refused("invalid hardlink target", &header.link))?;
        let (parent, name) = target.split();
        let parent = self.parents.existing(parent).map_err(|source| failed(header, source))?;
        (self.options.guard)(parent.fd.as_fd()).map_err(|source| failed(header, source))?;
        rustix::fs::linkat(&parent.fd, OsStr::from_bytes(name), place.dir(), place.name, AtFlags::empty())
            .map_err(|error| failed(header, error.into()))
    }

    fn symlink(&self, header: &Header, place: &Place<'_>) -> io::Result<()> {
        rustix::fs::symlinkat(OsStr::from_bytes(&header.link), place.dir(), place.name)?;
        if let Some((uid, gid)) = self.owner(header)? {
            rustix::fs::chownat(place.dir(), place.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        set_xattrs(place, header)?;
        set_times(place.dir(), place.name, &timestamps(header))
    }

    fn node(&self, header: &Header, place: &Place<'_>) -> io::Result<()> {
        let (kind, device) = match header.kind {
            Kind::CharDevice => (FileType::CharacterDevice, rustix::fs::makedev(header.major, header.minor)),
            Kind::BlockDevice => (FileType::BlockDevice, rustix::fs::makedev(header.major, header.minor)),
            _ => (FileType::Fifo, 0),
        };
        rustix::fs::mknodat(place.dir(), place.name, kind, Mode::RUSR | Mode::WUSR, device)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(place.dir(), place.name, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&made)?.st_mode) != kind {
            return Err(io::Error::other("another file took its name"));
        }
        if let Some((uid, gid)) = self.owner(header)? {
            rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        set_xattrs(place, header)?;
        change_mode(&made, header.mode)?;
        set_times(place.dir(), place.name, &timestamps(header))
    }

    /// Whom an entry is to belong to.
    fn owner(&self, header: &Header) -> io::Result<Option<(Uid, Gid)>> {
        let valid = |id: u64| {
            // The highest number means "leave as it is" to the kernel.
            let id = u32::try_from(id).ok().filter(|&id| id != u32::MAX);
            id.ok_or_else(|| io::Error::other("a user or group id is out of range"))
        };
        Ok(match self.options.owner {
            Owner::Archive => Some((Uid::from_raw(valid(header.uid)?), Gid::from_raw(valid(header.gid)?))),
            Owner::Fixed(uid, gid) => Some((Uid::from_raw(uid), Gid::from_raw(gid))),
            Owner::Caller => None,
        })
    }

    fn own(&self, file: BorrowedFd<'_>, header: &Header) -> io::Result<()> {
        match self.owner(header)? {
            Some((uid, gid)) => Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?),
            None => Ok(()),
        }
    }

    /// Sets the times of directories. One that was removed or replaced meanwhile has none to set.
    fn finish(mut self) {
        for (path, times) in std::mem::take(&mut self.times) {
            let (parent, name) = path.split();
            let parent = match parent {
                b"" => self.directory.try_clone_to_owned(),
                parent => self.parents.existing(parent).and_then(|parent| parent.fd.try_clone()),
            };
            if let Ok(parent) = parent {
                let _ = set_times(parent.as_fd(), OsStr::from_bytes(name), &times);
            }
        }
    }
}

/// Refuses to remove what something is mounted on, or what has a mount in it: the kernel protects only the mounts of
/// our own mount namespace, and would empty the others.
fn refuse_mounted(place: &Place<'_>, is_dir: bool) -> io::Result<()> {
    if is_mount(place.dir(), place.name)? {
        return Err(Errno::BUSY.into());
    }
    if !is_dir {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::openat(place.dir(), place.name, flags, Mode::empty())?;
    walk(root.as_fd(), &mut |item| match is_mount(item.dir, item.name)? {
        true => Err(Errno::BUSY.into()),
        false => Ok(Descend::Yes),
    })
}

/// Whether something is mounted here.
fn is_mount(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(dir, name, flags, StatxFlags::empty()) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// `chmod(2)` of exactly this file; a symbolic link is refused by the kernel.
fn change_mode(file: &OwnedFd, mode: u32) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode))?)
}

fn set_xattrs(place: &Place<'_>, header: &Header) -> io::Result<()> {
    for (key, value) in header.xattrs.iter().filter(|(key, _)| !crate::is_overlays_own(key)) {
        match linux::fs::set_xattr(place.dir(), place.name, OsStr::from_bytes(key), value) {
            // A file system or namespace that cannot hold it: Docker goes on as well.
            Err(error)
                if [Errno::OPNOTSUPP, Errno::PERM]
                    .map(Errno::raw_os_error)
                    .contains(&error.raw_os_error().unwrap_or(0)) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn set_times(dir: BorrowedFd<'_>, name: &OsStr, times: &Timestamps) -> io::Result<()> {
    Ok(rustix::fs::utimensat(dir, name, times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn timestamps(header: &Header) -> Timestamps {
    let timespec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) as _ };
    Timestamps {
        last_access: timespec(header.atime.unwrap_or(header.mtime)),
        last_modification: timespec(header.mtime),
    }
}

/// A directory's name without the slash that archives put at its end.
fn trimmed(name: &[u8]) -> String {
    shown(name.strip_suffix(b"/").unwrap_or(name))
}

fn failed(header: &Header, source: io::Error) -> ExtractError {
    ExtractError::Entry { name: shown(&header.name), source }
}

fn refused(reason: &'static str, name: &[u8]) -> ExtractError {
    ExtractError::Refused { reason, name: shown(name) }
}
