//! A root file system made of Debian's static busybox: the image of most tests.
//!
//! The same busybox gives the same bytes: sorted names, owner root, time 0. Every applet is a link to
//! `/bin/busybox`; users and groups are those that Debian gives every system.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tar::{Builder, EntryType, Header};

use crate::binaries;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    daemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
    bin:x:2:2:bin:/bin:/bin/false\n\
    mail:x:8:8:mail:/var/mail:/bin/false\n\
    www-data:x:33:33:www-data:/var/www:/bin/false\n\
    nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";

const GROUP: &str = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\n\
    wheel:x:10:root\nwww-data:x:33:\nstaff:x:50:\nusers:x:100:\nnogroup:x:65534:\n";

const FILES: [(&str, u32, &str); 5] = [
    ("etc/group", 0o644, GROUP),
    ("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("etc/passwd", 0o644, PASSWD),
    ("etc/services", 0o644, "ssh\t22/tcp\ndomain\t53/tcp\ndomain\t53/udp\nhttp\t80/tcp\nhttps\t443/tcp\n"),
    ("etc/shadow", 0o640, "root:*:19000:0:99999:7:::\n"),
];

const FOLDERS: [(&str, u32); 24] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("lib", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/lib", 0o755),
    ("usr/local", 0o755),
    ("usr/local/bin", 0o755),
    ("usr/local/sbin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/mail", 0o755),
    ("var/tmp", 0o1777),
    ("var/www", 0o755),
];

enum Entry {
    Folder(u32),
    File(u32, Vec<u8>),
    Link(String),
}

/// The root file system as a tar; made once per process.
///
/// # Panics
/// When no static busybox is installed.
pub fn rootfs_tar() -> &'static [u8] {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| build(find_busybox()))
}

fn find_busybox() -> &'static Path {
    ["/usr/bin/busybox", "/bin/busybox"]
        .map(Path::new)
        .into_iter()
        .find(|path| matches!(binaries::wants_loader(path), Ok(false)))
        .expect("tests need a static busybox: apt-get install busybox-static")
}

fn build(busybox: &Path) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, entry) in entries(busybox) {
        let mut header = Header::new_ustar();
        let (kind, mode, data) = match &entry {
            Entry::Folder(mode) => (EntryType::Directory, *mode, &[][..]),
            Entry::File(mode, data) => (EntryType::Regular, *mode, data.as_slice()),
            Entry::Link(target) => {
                header.set_link_name(target).expect("short link");
                (EntryType::Symlink, 0o777, &[][..])
            }
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        tar.append_data(&mut header, format!("./{name}"), data).expect("append to memory");
    }
    tar.into_inner().expect("end of the tar")
}

fn entries(busybox: &Path) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for (name, mode) in FOLDERS {
        entries.insert(name.to_owned(), Entry::Folder(mode));
    }
    for (name, mode, text) in FILES {
        entries.insert(name.to_owned(), Entry::File(mode, text.into()));
    }
    let list = Command::new(busybox).arg("--list").output().expect("busybox --list");
    for applet in String::from_utf8_lossy(&list.stdout).split_whitespace().filter(|name| *name != "busybox") {
        entries.insert(format!("bin/{applet}"), Entry::Link("busybox".into()));
    }
    entries.insert("usr/bin/env".into(), Entry::Link("../../bin/env".into()));
    let program = std::fs::read(busybox).expect("busybox is readable");
    entries.insert("bin/busybox".into(), Entry::File(0o755, program));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_busybox_gives_the_same_bytes_with_every_parent_before_its_children() {
        let tar = rootfs_tar();
        assert_eq!(tar, build(find_busybox()));
        let mut archive = tar::Archive::new(tar);
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        for (at, name) in names.iter().enumerate() {
            let parent = name.parent().unwrap();
            assert!(
                parent == Path::new(".")
                    || parent == Path::new("")
                    || names[..at].iter().any(|n| n == parent),
                "{} comes before its parent",
                name.display()
            );
        }
        assert!(names.iter().any(|name| name.ends_with("bin/sh")));
    }
}
