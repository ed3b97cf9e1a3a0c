//! Files as entries of an archive.
//!
//! The same tree gives the same bytes: names sorted, times in whole seconds, no names of users, hard links to the
//! first of their names. Sockets are left out, as archives have none.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::tar::{Header, Kind, Time, Writer};
use crate::walk::{Descend, Item, walk};

/// Writes what [`walk`] finds as entries.
#[derive(Debug)]
pub struct Packer<W> {
    writer: Writer<W>,
    id_shift: u32,
    /// First name of each file with several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    /// Begins an archive. `id_shift` is taken from every owner and group.
    pub fn new(out: W, id_shift: u32) -> Self {
        Self { writer: Writer::new(out), id_shift, links: HashMap::new() }
    }

    /// Writes one file under `name`; a directory without what is in it.
    pub fn item(&mut self, item: &Item<'_>, name: Vec<u8>) -> io::Result<()> {
        let kind = match item.kind() {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => return Ok(()),
        };
        let mut header = self.header(name, item.stat, kind);
        header.xattrs = xattrs(item)?;
        if kind != Kind::Directory && item.stat.st_nlink > 1 {
            let identity = (item.stat.st_dev, item.stat.st_ino);
            if let Some(first) = self.links.get(&identity) {
                let link = first.clone();
                return self.writer.entry(&Header { kind: Kind::HardLink, link, size: 0, ..header });
            }
            self.links.insert(identity, header.name.clone());
        }
        match kind {
            Kind::File => return self.file(item, header),
            Kind::Directory if header.name.ends_with(b"/") => {}
            Kind::Directory => header.name.push(b'/'),
            Kind::Symlink => match rustix::fs::readlinkat(item.dir, item.name, Vec::new()) {
                Ok(target) => header.link = target.into_bytes(),
                // Another file took the name since it was looked at.
                Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            _ => {
                header.major = rustix::fs::major(item.stat.st_rdev);
                header.minor = rustix::fs::minor(item.stat.st_rdev);
            }
        }
        self.writer.entry(&header)
    }

    /// Writes an empty file that is in no directory, with the owner and time of another.
    pub fn mark(&mut self, name: Vec<u8>, like: &Stat) -> io::Result<()> {
        let header = self.header(name, like, Kind::File);
        self.writer.file(&Header { mode: 0, ..header }, io::empty())
    }

    /// Writes the end of the archive.
    pub fn finish(self) -> io::Result<W> {
        self.writer.finish()
    }

    fn file(&mut self, item: &Item<'_>, mut header: Header) -> io::Result<()> {
        // Another file may have taken the name since it was looked at; it must not be a pipe that blocks.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(item.dir, item.name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(());
        }
        header.size = metadata.len();
        self.writer.file(&header, file)
    }

    fn header(&self, name: Vec<u8>, stat: &Stat, kind: Kind) -> Header {
        let unshifted = |id: u32| u64::from(id.saturating_sub(self.id_shift));
        Header {
            name,
            link: Vec::new(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: unshifted(stat.st_uid),
            gid: unshifted(stat.st_gid),
            mtime: Time { seconds: stat.st_mtime, nanoseconds: 0 },
            atime: None,
            size: 0,
            major: 0,
            minor: 0,
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}

/// Writes the file `name` in `dir`, under the name `root_name`, and everything below it. `choose` is asked about each
/// directory before it is entered.
///
/// Follows no link. Fails with `ENOENT` if there is no such file.
pub fn pack_path<W: Write>(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    root_name: &[u8],
    out: W,
    choose: &mut dyn FnMut(&Item<'_>) -> io::Result<Descend>,
) -> io::Result<W> {
    let mut packer = Packer::new(out, 0);
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let top = Item { path: b"", dir, name, stat: &stat };
    packer.item(&top, root_name.to_vec())?;
    if top.is_dir() && choose(&top)? == Descend::Yes {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        let prefix = if root_name.ends_with(b"/") { root_name.to_vec() } else { [root_name, b"/"].concat() };
        walk(root.as_fd(), &mut |item| {
            packer.item(&item, [prefix.as_slice(), item.path].concat())?;
            if item.is_dir() { choose(&item) } else { Ok(Descend::No) }
        })?;
    }
    packer.finish()
}

/// Attributes that belong to the file and not to this machine: labels of security modules stay here.
fn xattrs(item: &Item<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let attributes = match linux::fs::xattrs(item.dir, item.name) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Vec::new(),
        attributes => attributes?,
    };
    let own = attributes.into_iter().map(|(name, value)| (name.into_vec(), value));
    Ok(own
        .filter(|(name, _)| {
            let portable = name == b"security.capability" || name.starts_with(b"user.");
            portable && !crate::is_overlays_own(name)
        })
        .collect())
}
