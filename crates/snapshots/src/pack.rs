//! The archive of a directory: of an upper directory as a layer (commit, build), of a whole root file system (export).
//!
//! The same tree gives the same bytes: names sorted, times in whole seconds, no names of users, hard links to the
//! first of their names.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::changes::is_mount_point;
use crate::settings::{OverlayAttributes, Settings};
use crate::tar::{Header, Kind, Time, Writer};
use crate::upper::{Item, is_whiteout, walk};

/// What of a directory becomes an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// A layer: overlayfs' marks become whiteouts, and what the engine made to mount on is left out.
    Layer,
    /// Everything, as it is.
    Tree,
}

/// Writes the archive of `root` to `out`. Sockets are left out, as archives have none.
pub fn pack<W: Write>(
    root: BorrowedFd<'_>,
    contents: Contents,
    settings: &Settings,
    out: W,
) -> io::Result<W> {
    let mut packer = Packer { writer: Writer::new(out), contents, settings, links: HashMap::new() };
    walk(root, &mut |item| packer.item(&item))?;
    packer.writer.finish()
}

struct Packer<'a, W> {
    writer: Writer<W>,
    contents: Contents,
    settings: &'a Settings,
    /// First name of each file with several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<'_, W> {
    fn item(&mut self, item: &Item<'_>) -> io::Result<()> {
        let layer = self.contents == Contents::Layer;
        if layer && is_mount_point(item) {
            return Ok(());
        }
        if layer && is_whiteout(item.stat) {
            return self.whiteout(item);
        }
        let kind = match item.kind() {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => return Ok(()),
        };
        let mut header = self.header(item.path.to_vec(), item.stat, kind);
        header.xattrs = xattrs(item)?;
        if kind != Kind::Directory && item.stat.st_nlink > 1 {
            let identity = (item.stat.st_dev, item.stat.st_ino);
            if let Some(first) = self.links.get(&identity) {
                let link = first.clone();
                return self.writer.entry(&Header { kind: Kind::HardLink, link, size: 0, ..header });
            }
            self.links.insert(identity, item.path.to_vec());
        }
        match kind {
            Kind::File => return self.file(item, header),
            Kind::Directory => header.name.push(b'/'),
            Kind::Symlink => {
                header.link = rustix::fs::readlinkat(item.dir, item.name, Vec::new())?.into_bytes();
            }
            _ => {
                header.major = rustix::fs::major(item.stat.st_rdev);
                header.minor = rustix::fs::minor(item.stat.st_rdev);
            }
        }
        self.writer.entry(&header)?;
        if layer && kind == Kind::Directory { self.opaque(item) } else { Ok(()) }
    }

    fn file(&mut self, item: &Item<'_>, mut header: Header) -> io::Result<()> {
        // Another file may have taken the name since it was looked at; it must not be a pipe that blocks.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(item.dir, item.name, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(());
        }
        header.size = metadata.len();
        self.writer.file(&header, file)
    }

    fn whiteout(&mut self, item: &Item<'_>) -> io::Result<()> {
        let (folder, name) = match item.path.iter().rposition(|&b| b == b'/') {
            Some(slash) => item.path.split_at(slash + 1),
            None => (&b""[..], item.path),
        };
        let name = [folder, b".wh.", name].concat();
        let header = self.header(name, item.stat, Kind::File);
        self.writer.file(&Header { size: 0, mode: 0, ..header }, io::empty())
    }

    fn opaque(&mut self, item: &Item<'_>) -> io::Result<()> {
        let attribute = OsStr::new(self.settings.attributes.opaque());
        if linux::fs::xattr(item.dir, item.name, attribute)?.is_none() {
            return Ok(());
        }
        let name = [item.path, b"/.wh..wh..opq"].concat();
        let header = self.header(name, item.stat, Kind::File);
        self.writer.file(&Header { size: 0, mode: 0, ..header }, io::empty())
    }

    fn header(&self, name: Vec<u8>, stat: &Stat, kind: Kind) -> Header {
        let unshifted = |id: u32| u64::from(id.saturating_sub(self.settings.id_shift));
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

/// Attributes that belong to the file and not to this machine: labels of security modules stay here.
fn xattrs(item: &Item<'_>) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    use std::os::unix::ffi::OsStringExt;
    let attributes = linux::fs::xattrs(item.dir, item.name)?;
    let own = attributes.into_iter().map(|(name, value)| (name.into_vec(), value));
    Ok(own
        .filter(|(name, _)| {
            let portable = name == b"security.capability" || name.starts_with(b"user.");
            portable && !OverlayAttributes::is_overlays_own(name)
        })
        .collect())
}
