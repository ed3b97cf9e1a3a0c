//! Making one entry after another.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use archive::parents::{Parent, Parents};
use archive::path::{EntryPath, shown};
use archive::tar::{Header, Kind, Reader, Segment, Time};
use linux::fs::set_xattr;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{self, set_times, times, timestamps};
use super::{Tap, UnpackError};
use crate::settings::Settings;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names with this prefix are AUFS' private files, which are no whiteouts and never shown.
const AUFS_PRIVATE: &[u8] = b".wh..wh.";
const BUFFER: usize = 256 * 1024;

/// Makes entries below one root.
pub(super) struct Unpacker<'a> {
    parents: Parents<'a>,
    shadowed: BorrowedFd<'a>,
    settings: &'a Settings,
    root: BorrowedFd<'a>,
    /// Times of directories, set last: making entries changes them.
    directories: HashMap<EntryPath, (Time, Time)>,
    buffer: Vec<u8>,
    size: u64,
    moved: u64,
}

/// Where an entry is made.
struct Place {
    parent: Rc<Parent>,
    path: EntryPath,
}

impl Place {
    fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.path.split().1)
    }

    fn dir(&self) -> BorrowedFd<'_> {
        self.parent.fd.as_fd()
    }

    /// The path below the root without symbolic links in it.
    fn real(&self) -> Vec<u8> {
        let name = self.path.split().1;
        if self.parent.real.is_empty() {
            name.to_vec()
        } else {
            [&self.parent.real, &b"/"[..], name].concat()
        }
    }
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(
        root: BorrowedFd<'a>,
        shadowed: BorrowedFd<'a>,
        settings: &'a Settings,
    ) -> Result<Self, UnpackError> {
        Ok(Self {
            parents: Parents::new(root, Some(settings.id_shift)).map_err(UnpackError::Store)?,
            shadowed,
            settings,
            root,
            directories: HashMap::new(),
            buffer: vec![0; BUFFER],
            size: 0,
            moved: 0,
        })
    }

    /// Makes one entry, reading its content from `reader`.
    pub(super) fn entry<R: Read>(
        &mut self,
        header: &Header,
        reader: &mut Reader<Tap<R>>,
    ) -> Result<(), UnpackError> {
        if let Kind::Other(kind) = header.kind {
            return Err(UnpackError::UnknownKind { name: shown(&header.name), kind });
        }
        let path = EntryPath::new(&header.name).ok_or_else(|| refused("invalid entry name", &header.name))?;
        if path.is_root() {
            // Its attributes do not matter: the root of a container is that of its upper directory. Something else
            // than a directory in its place is ignored, as by Docker.
            return Ok(());
        }
        if path.is_too_long() {
            return Err(failed(header, Errno::NAMETOOLONG.into()));
        }
        let parent = self.parents.get(path.split().0).map_err(|source| failed(header, source))?;
        let place = Place { parent, path };
        match place.path.split().1 {
            OPAQUE => self.opaque(&place).map_err(|source| failed(header, source)),
            name if name.starts_with(AUFS_PRIVATE) => Ok(()),
            name if name.starts_with(WHITEOUT) => self.whiteout(header, &place),
            _ => self.make(header, &place, reader),
        }
    }

    /// Sets the times of directories; returns the size of what was unpacked.
    pub(super) fn finish(mut self) -> Result<u64, UnpackError> {
        for (path, times) in std::mem::take(&mut self.directories) {
            let (parent, name) = path.split();
            // A directory that a later entry replaced has no times to set.
            let Ok(parent) = self.parents.existing(parent) else { continue };
            match set_times(parent.fd.as_fd(), OsStr::from_bytes(name), times) {
                Err(error) if error.raw_os_error() != Some(Errno::NOENT.raw_os_error()) => {
                    return Err(UnpackError::Entry { name: shown(path.bytes()), source: error });
                }
                _ => {}
            }
        }
        if self.moved > 0 {
            // What was replaced had been counted.
            self.size = crate::upper::tree_size(self.root).map_err(UnpackError::Store)?;
        }
        Ok(self.size)
    }

    fn opaque(&self, place: &Place) -> io::Result<()> {
        set_xattr(place.dir(), OsStr::new("."), OsStr::new(self.settings.attributes.opaque()), b"y")
    }

    fn whiteout(&mut self, header: &Header, place: &Place) -> Result<(), UnpackError> {
        let hidden = &place.path.split().1[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused("invalid whiteout entry", &header.name));
        }
        let hidden = OsStr::from_bytes(hidden);
        let made = rustix::fs::mknodat(place.dir(), hidden, FileType::CharacterDevice, Mode::empty(), 0);
        let outcome = match made {
            Ok(()) => attributes::set_owner(self.settings, place.dir(), hidden, header),
            // Whiteouts hide what lower layers have. An entry of this layer stays, and a directory of it hides
            // the lower one whole.
            Err(Errno::EXIST) => self.make_opaque_if_directory(place.dir(), hidden),
            Err(error) => Err(error.into()),
        };
        outcome.map_err(|source| failed(header, source))
    }

    fn make_opaque_if_directory(&self, dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            set_xattr(dir, name, OsStr::new(self.settings.attributes.opaque()), b"y")?;
        }
        Ok(())
    }

    fn make<R: Read>(
        &mut self,
        header: &Header,
        place: &Place,
        reader: &mut Reader<Tap<R>>,
    ) -> Result<(), UnpackError> {
        let fail = |source| failed(header, source);
        match header.kind {
            Kind::Directory => return self.directory(header, place, reader),
            Kind::File => return self.file(header, place, reader),
            Kind::HardLink => return self.hard_link(header, place, reader),
            Kind::Symlink => {
                let target = OsStr::from_bytes(&header.link);
                self.create(header, place, reader, |dir, name| {
                    Ok(rustix::fs::symlinkat(target, dir, name)?)
                })?;
                self.size += header.link.len() as u64;
            }
            Kind::CharDevice => self.node(header, place, reader, FileType::CharacterDevice)?,
            Kind::BlockDevice => self.node(header, place, reader, FileType::BlockDevice)?,
            Kind::Fifo => self.node(header, place, reader, FileType::Fifo)?,
            Kind::Other(_) => unreachable!("refused before"),
        }
        attributes::set(self.settings, place.dir(), place.name(), header).map_err(fail)?;
        set_times(place.dir(), place.name(), times(header)).map_err(fail)
    }

    fn node<R: Read>(
        &mut self,
        header: &Header,
        place: &Place,
        reader: &mut Reader<Tap<R>>,
        kind: FileType,
    ) -> Result<(), UnpackError> {
        let device = match kind {
            FileType::Fifo => 0,
            _ => rustix::fs::makedev(header.major, header.minor),
        };
        self.create(header, place, reader, |dir, name| {
            Ok(rustix::fs::mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, device)?)
        })
    }

    fn directory<R: Read>(
        &mut self,
        header: &Header,
        place: &Place,
        reader: &mut Reader<Tap<R>>,
    ) -> Result<(), UnpackError> {
        let fail = |source| failed(header, source);
        let make = || rustix::fs::mkdirat(place.dir(), place.name(), Mode::RWXU);
        match make() {
            Ok(()) => {}
            Err(Errno::EXIST) => match self.existing(place).map_err(fail)? {
                // A directory listed twice has the attributes of the second.
                Some(Existing::Directory) => {}
                existing => {
                    self.shadow(place, reader).map_err(|error| error.of(header))?;
                    make().map_err(|error| fail(error.into()))?;
                    if matches!(existing, Some(Existing::Whiteout)) {
                        let opaque = OsStr::new(self.settings.attributes.opaque());
                        set_xattr(place.dir(), place.name(), opaque, b"y").map_err(fail)?;
                    }
                }
            },
            Err(error) => return Err(fail(error.into())),
        }
        attributes::set(self.settings, place.dir(), place.name(), header).map_err(fail)?;
        self.directories.insert(place.path.clone(), times(header));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        header: &Header,
        place: &Place,
        reader: &mut Reader<Tap<R>>,
    ) -> Result<(), UnpackError> {
        let fail = |source| failed(header, source);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut opened = None;
        self.create(header, place, reader, |dir, name| {
            opened = Some(rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?);
            Ok(())
        })?;
        let mut file = File::from(opened.expect("create ran it without error"));
        let real_size = match &header.sparse {
            None => {
                let length = header.size;
                reader.source().content_begins(&place.real(), length)?;
                let outcome = self.copy(header, reader, &mut file, length);
                reader.source().content_ends();
                outcome?;
                length
            }
            // The content of a file with holes is not stored as one run, so its bytes stay in the recipe.
            Some(sparse) => {
                for &Segment { offset, length } in &sparse.segments {
                    file.seek(SeekFrom::Start(offset)).map_err(fail)?;
                    self.copy(header, reader, &mut file, length)?;
                }
                file.set_len(sparse.real_size).map_err(fail)?;
                sparse.real_size
            }
        };
        self.size = self.size.saturating_add(real_size);
        attributes::set_owner_of(self.settings, &file, header).map_err(fail)?;
        attributes::set_xattrs(place.dir(), place.name(), header).map_err(fail)?;
        // After the owner, whose change takes set-id bits away.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(header.mode)).map_err(|error| fail(error.into()))?;
        rustix::fs::futimens(&file, &timestamps(times(header))).map_err(|error| fail(error.into()))
    }

    /// Copies `length` bytes of the entry's content into `file`.
    fn copy<R: Read>(
        &mut self,
        header: &Header,
        reader: &mut Reader<Tap<R>>,
        file: &mut File,
        length: u64,
    ) -> Result<(), UnpackError> {
        let mut left = length;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = match reader.payload().read(&mut self.buffer[..wanted]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(UnpackError::Archive(error.into())),
            };
            file.write_all(&self.buffer[..read]).map_err(|source| failed(header, source))?;
            left -= read as u64;
        }
        Ok(())
    }

    fn hard_link<R: Read>(
        &mut self,
        header: &Header,
        place: &Place,
        reader: &mut Reader<Tap<R>>,
    ) -> Result<(), UnpackError> {
        let target = EntryPath::new(&header.link)
            .filter(|target| !target.is_root())
            .ok_or_else(|| refused("invalid hardlink target", &header.link))?;
        // A file may be listed as a link to itself; replacing it first would lose it.
        if target == place.path {
            return Ok(());
        }
        let (parent, name) = target.split();
        let parent = self.parents.existing(parent).map_err(|source| failed(header, source))?;
        self.create(header, place, reader, |dir, new| {
            Ok(rustix::fs::linkat(&parent.fd, OsStr::from_bytes(name), dir, new, AtFlags::empty())?)
        })
    }

    /// Runs `make`; if the name is taken, what has it gives way and `make` runs again.
    fn create<R: Read>(
        &mut self,
        header: &Header,
        place: &Place,
        reader: &mut Reader<Tap<R>>,
        mut make: impl FnMut(BorrowedFd<'_>, &OsStr) -> io::Result<()>,
    ) -> Result<(), UnpackError> {
        match make(place.dir(), place.name()) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                self.shadow(place, reader).map_err(|error| error.of(header))?;
                make(place.dir(), place.name()).map_err(|source| failed(header, source))
            }
            outcome => outcome.map_err(|source| failed(header, source)),
        }
    }

    /// Moves away what an earlier entry put at `place`. It is kept, because the recipe still needs its content.
    fn shadow<R: Read>(&mut self, place: &Place, reader: &mut Reader<Tap<R>>) -> Result<(), ShadowError> {
        let index = self.moved;
        self.moved += 1;
        rustix::fs::renameat(place.dir(), place.name(), self.shadowed, index.to_string())
            .map_err(|error| ShadowError::Rename(error.into()))?;
        self.parents.forget();
        reader.source().shadowed(&place.real(), index).map_err(ShadowError::Recipe)
    }

    fn existing(&self, place: &Place) -> io::Result<Option<Existing>> {
        let stat = match rustix::fs::statat(place.dir(), place.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Existing::Directory,
            FileType::CharacterDevice if stat.st_rdev == 0 => Existing::Whiteout,
            _ => Existing::Other,
        }))
    }
}

enum Existing {
    Directory,
    Whiteout,
    Other,
}

enum ShadowError {
    Rename(io::Error),
    Recipe(UnpackError),
}

impl ShadowError {
    fn of(self, header: &Header) -> UnpackError {
        match self {
            Self::Rename(source) => failed(header, source),
            Self::Recipe(error) => error,
        }
    }
}

fn failed(header: &Header, source: io::Error) -> UnpackError {
    UnpackError::Entry { name: shown(&header.name), source }
}

fn refused(reason: &'static str, name: &[u8]) -> UnpackError {
    UnpackError::Refused { reason, name: shown(name) }
}
