//! A directory of a test's own, and archives written entry by entry.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use archive::tar::{Header, Kind, Time, Writer};

/// Removed when dropped.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("corten-archive-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn fd(&self, path: &str) -> OwnedFd {
        linux::fs::open_dir(&self.0.join(path)).unwrap()
    }

    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn file(&self, path: &str, text: &str) {
        linux::fs::replace(&self.0.join(path), text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An entry of mode 0640, user 33 and group 44.
pub(crate) fn entry(kind: Kind, name: &str) -> Header {
    Header {
        name: name.into(),
        link: Vec::new(),
        kind,
        mode: 0o640,
        uid: 33,
        gid: 44,
        mtime: Time { seconds: 1_600_000_000, nanoseconds: 0 },
        atime: None,
        size: if kind == Kind::File { 2 } else { 0 },
        major: 0,
        minor: 0,
        xattrs: Vec::new(),
        sparse: None,
    }
}

pub(crate) fn file(name: &str) -> Header {
    entry(Kind::File, name)
}

pub(crate) fn folder(name: &str) -> Header {
    Header { mode: 0o751, ..entry(Kind::Directory, &format!("{name}/")) }
}

pub(crate) fn link(kind: Kind, name: &str, target: &str) -> Header {
    Header { link: target.into(), ..entry(kind, name) }
}

/// An archive of these; every file has the content `x\n`.
pub(crate) fn tar(entries: &[Header]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for header in entries {
        writer.file(header, &b"x\n"[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// Everything below a directory: `path mode uid:gid`, links with their target.
pub(crate) fn listing(root: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let owner = format!("{}:{}", meta.uid(), meta.gid());
            match fs::read_link(&path) {
                Ok(target) => lines.push(format!("{name} -> {} {owner}", target.display())),
                Err(_) => lines.push(format!("{name} {:o} {owner}", meta.mode())),
            }
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    lines.sort();
    lines
}
