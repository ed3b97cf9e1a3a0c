//! A store in a directory of its own, and archives made by hand.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use db::Database;
use images::{ImageId, ImageUser, Images, ImportOptions};

/// A data root that is removed on drop, beside a canary that no archive may touch.
pub(crate) struct DataRoot {
    dir: PathBuf,
}

impl DataRoot {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("corten-images-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("data")).unwrap();
        linux::fs::replace(&dir.join("canary"), b"untouched").unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn canary(&self) -> PathBuf {
        self.dir.join("canary")
    }

    /// Opens the store as a start of the daemon does.
    pub(crate) fn open(&self) -> Images {
        let database = Database::open(&self.path().join("corten.db")).unwrap();
        Images::open(&self.path(), database).unwrap()
    }

    /// Names of layers in the store, with what is in the staging area.
    pub(crate) fn layers(&self) -> Vec<String> {
        let mut names = names_in(&self.path().join("layers"));
        names.retain(|name| name != ".staging" && name != ".empty");
        names.extend(
            names_in(&self.path().join("layers/.staging")).into_iter().map(|n| format!("staged {n}")),
        );
        names
    }

    /// Blobs in the store, with what is in the ingest area.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let mut names = names_in(&self.path().join("content/blobs/sha256"));
        names.extend(names_in(&self.path().join("content/ingest")));
        names
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.layers().is_empty() && self.blobs().is_empty()
    }
}

impl Drop for DataRoot {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An archive, entry by entry.
pub(crate) struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn dir(mut self, name: &str) -> Self {
        self.entry(tar::EntryType::Directory, name, "", 0o755, b"");
        self
    }

    pub(crate) fn file(mut self, name: &str, content: &[u8]) -> Self {
        self.entry(tar::EntryType::Regular, name, "", 0o644, content);
        self
    }

    pub(crate) fn symlink(mut self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, name, target, 0o777, b"");
        self
    }

    pub(crate) fn hard_link(mut self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Link, name, target, 0o644, b"");
        self
    }

    pub(crate) fn device(mut self, name: &str, major: u32, minor: u32) -> Self {
        let mut header = header(tar::EntryType::Char, 0o666, 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        set_name(&mut header, name);
        header.set_cksum();
        self.0.append(&header, &b""[..]).unwrap();
        self
    }

    /// PAX records for the next entry.
    pub(crate) fn pax(mut self, records: &[u8]) -> Self {
        self.entry(tar::EntryType::XHeader, "pax", "", 0o644, records);
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn entry(&mut self, kind: tar::EntryType, name: &str, link: &str, mode: u32, content: &[u8]) {
        for (long, kind) in [(name, tar::EntryType::GNULongName), (link, tar::EntryType::GNULongLink)] {
            if long.len() > FIELD {
                self.entry(kind, "long", "", 0, long.as_bytes());
            }
        }
        let mut header = header(kind, mode, content.len() as u64);
        set_name(&mut header, name);
        // Written directly: the builder would refuse what a hostile archive has.
        let field = &mut header.as_old_mut().linkname;
        let link = &link.as_bytes()[..link.len().min(FIELD)];
        field[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header
}

/// Room for a name in a header.
const FIELD: usize = 100;

fn set_name(header: &mut tar::Header, name: &str) {
    let name = &name.as_bytes()[..name.len().min(FIELD)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
}

/// A small root file system.
pub(crate) fn rootfs() -> Vec<u8> {
    Archive::new()
        .dir("bin/")
        .file("bin/busybox", &[0x7f; 3000])
        .symlink("bin/sh", "busybox")
        .dir("etc/")
        .file("etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        .hard_link("etc/shadow-of-passwd", "etc/passwd")
        .bytes()
}

pub(crate) fn import(images: &Images, archive: &[u8], name: &str) -> ImageId {
    let options = ImportOptions { reference: Some(name.parse().unwrap()), ..ImportOptions::default() };
    images.import(archive, &options).unwrap()
}

pub(crate) fn nobody(_: &ImageId) -> Option<ImageUser> {
    None
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
