//! Whiteouts and opaque directories, as overlayfs sees them.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use snapshots::changes::{ChangeKind, changes};
use snapshots::pack::{Contents, pack};
use snapshots::{Settings, upper};

use crate::kit::{TempDir, add};

/// An overlay mount that goes on drop.
struct Overlay(PathBuf);

impl Overlay {
    /// `lowers` is uppermost first.
    fn new(dir: &Path, lowers: &[PathBuf]) -> Self {
        let container = dir.join("container");
        fs::create_dir_all(container.join("merged")).unwrap();
        upper::prepare(&container, &Settings::default()).unwrap();
        let lowers: Vec<String> = lowers.iter().map(|lower| lower.display().to_string()).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lowers.join(":"),
            container.join(upper::UPPER).display(),
            container.join(upper::WORK).display()
        );
        let merged = container.join("merged");
        let data = std::ffi::CString::new(options).unwrap();
        mount("overlay", &merged, "overlay", MountFlags::empty(), &*data).unwrap();
        Self(merged)
    }

    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(path)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// An archive of empty files, and of directories where a name ends in a slash.
fn archive(names: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_ustar();
        let kind = if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(0);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() {
    let dir = TempDir::new();
    let layers = dir.layers();
    let lower = add(&layers, &archive(&["a", "b", "d/x", "d/y", "o/x", "o/sub/z", "r/x", "s/x"]));
    for (names, expected) in [
        // Each folder is listed as it should be seen: "folder: names".
        (&[".wh.a"][..], &[(".", "b d o r s")][..]),
        (&[".wh.d", "new"], &[(".", "a b new o r s")]),
        (&["d/.wh.x"], &[("d", "y")]),
        (&["o/.wh..wh..opq", "o/new"], &[("o", "new")]),
        (&["o/new", "o/.wh..wh..opq"], &[("o", "new")]),
        // A directory removed and made anew, in both orders.
        (&[".wh.r", "r/", "r/new"], &[("r", "new")]),
        (&["r/", "r/new", ".wh.r"], &[("r", "new")]),
        (&[".wh.b", "b"], &[(".", "a b d o r s")]),
        (&["b", ".wh.b"], &[(".", "a b d o r s")]),
        (&[".wh..wh.plnk", ".wh..wh.aufs"], &[(".", "a b d o r s")]),
        (&[".wh.absent"], &[(".", "a b d o r s")]),
        (&["s", "s2"], &[(".", "a b d o r s s2")]),
    ] {
        let upper = add(&layers, &archive(names));
        let overlay = Overlay::new(&dir.0, &[layers.tree(&upper), layers.tree(&lower)]);
        for (folder, listed) in expected {
            assert_eq!(overlay.names(folder).join(" "), *listed, "{names:?} in {folder}");
        }
        drop(overlay);
        upper::remove(&dir.0.join("container")).unwrap();
        drop(layers.detach(&upper).unwrap());
    }
}

#[test]
fn a_whiteout_in_a_first_layer_hides_nothing_and_shows_nothing() {
    let dir = TempDir::new();
    let layers = dir.layers();
    let only = add(&layers, &archive(&["a", ".wh.b", "d/.wh..wh..opq", "d/x"]));
    let overlay = Overlay::new(&dir.0, &[layers.tree(&only)]);
    assert_eq!(overlay.names("."), ["a", "d"]);
    assert_eq!(overlay.names("d"), ["x"]);
}

#[test]
fn upper_directories_come_and_go_whatever_is_in_them() {
    let dir = TempDir::new();
    let layers = dir.layers();
    let lower = add(&layers, &archive(&["a", "d/x"]));
    let overlay = Overlay::new(&dir.0, &[layers.tree(&lower)]);
    fs::remove_file(overlay.0.join("a")).unwrap();
    fs::remove_dir_all(overlay.0.join("d")).unwrap();
    fs::create_dir(overlay.0.join("d")).unwrap();
    linux::fs::replace(&overlay.0.join("d/file"), &[1; 1234]).unwrap();
    drop(overlay);
    let container = dir.0.join("container");
    assert_eq!(upper::size(&container.join(upper::UPPER)).unwrap(), 1234);
    upper::remove(&container).unwrap();
    upper::remove(&container).unwrap();
    assert!(!container.join(upper::UPPER).exists() && !container.join(upper::WORK).exists());
}

/// The changes as `docker diff` prints them.
fn diff(dir: &TempDir, lowers: &[PathBuf]) -> String {
    let upper = dir.0.join("container").join(upper::UPPER);
    let changes = changes(&upper, lowers, &Settings::default()).unwrap();
    let letter = |kind| match kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    let lines: Vec<String> =
        changes.iter().map(|change| format!("{} {}", letter(change.kind), change.path.display())).collect();
    lines.join("\n")
}

#[test]
fn changes_are_those_that_docker_lists() {
    let dir = TempDir::new();
    let layers = dir.layers();
    let bottom =
        add(&layers, &archive(&["etc/passwd", "d/x", "d/y/z", "o/hidden", "r/1", "r/2", "f", "g", "t"]));
    let middle = add(&layers, &archive(&["o/.wh..wh..opq", "o/seen", ".wh.g", "d-e"]));
    let lowers = [layers.tree(&middle), layers.tree(&bottom)];
    let overlay = Overlay::new(&dir.0, &lowers);
    assert_eq!(diff(&dir, &lowers), "");
    let at = |path: &str| overlay.0.join(path);
    fs::create_dir_all(at("new/sub")).unwrap();
    linux::fs::replace(&at("new/sub/file"), b"x").unwrap();
    fs::remove_file(at("d/x")).unwrap();
    linux::fs::replace(&at("etc/passwd"), b"root").unwrap();
    linux::fs::replace(&at("d-e"), b"longer").unwrap();
    // Made to mount on, by the engine.
    fs::create_dir(at("dev")).unwrap();
    fs::File::create(at("dev/console")).unwrap();
    fs::File::create(at("etc/hosts")).unwrap();
    // Removed and made anew: what it had is gone, what it has is compared.
    fs::remove_dir_all(at("r")).unwrap();
    fs::create_dir(at("r")).unwrap();
    linux::fs::replace(&at("r/2"), b"other").unwrap();
    // Gone and come again while nobody looked: not a change for whiteouts of names that were never there.
    linux::fs::replace(&at("g"), b"x").unwrap();
    fs::remove_file(at("o/seen")).unwrap();
    // Opened for writing and not written: copied up, and the same.
    fs::OpenOptions::new().append(true).open(at("f")).unwrap();
    fs::remove_file(at("t")).unwrap();
    fs::create_dir(at("t")).unwrap();
    fs::File::create(at("t/x")).unwrap();
    assert_eq!(
        diff(&dir, &lowers),
        "C /d\nC /d-e\nD /d/x\nC /etc\nC /etc/passwd\nA /g\nA /new\nA /new/sub\nA /new/sub/file\nC /o\nD /o/seen\n\
         C /r\nD /r/1\nC /r/2\nC /t\nA /t/x"
    );
}

#[test]
fn a_packed_upper_directory_is_the_same_layer_again() {
    let dir = TempDir::new();
    let layers = dir.layers();
    let lower = add(&layers, &archive(&["a", "d/x", "d/y", "o/x", "etc/passwd"]));
    let overlay = Overlay::new(&dir.0, &[layers.tree(&lower)]);
    let at = |path: &str| overlay.0.join(path);
    fs::remove_file(at("a")).unwrap();
    fs::remove_file(at("d/x")).unwrap();
    fs::remove_dir_all(at("o")).unwrap();
    fs::create_dir(at("o")).unwrap();
    fs::File::create(at("o/new")).unwrap();
    fs::hard_link(at("o/new"), at("o/other")).unwrap();
    std::os::unix::fs::symlink("../d", at("o/link")).unwrap();
    linux::fs::replace(&at("etc/passwd"), b"root").unwrap();
    fs::File::create(at("etc/hosts")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
    drop(overlay);
    let upper_dir = dir.0.join("container").join(upper::UPPER);
    let fd = linux::fs::open_dir(&upper_dir).unwrap();
    let packed = || pack(fd.as_fd(), Contents::Layer, &Settings::default(), Vec::new()).unwrap();
    assert!(packed() == packed());
    let names: Vec<String> = tar::Archive::new(packed().as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(
        names,
        [
            ".wh.a",
            "d/",
            "d/.wh.x",
            "etc/",
            "etc/passwd",
            "o/",
            "o/.wh..wh..opq",
            "o/link",
            "o/new",
            "o/other"
        ]
    );
    let committed = add(&layers, &packed());
    upper::remove(&dir.0.join("container")).unwrap();
    let lowers = [layers.tree(&committed), layers.tree(&lower)];
    let overlay = Overlay::new(&dir.0, &lowers);
    assert_eq!(overlay.names("."), ["d", "etc", "o"]);
    assert_eq!(overlay.names("d"), ["y"]);
    assert_eq!(overlay.names("o"), ["link", "new", "other"]);
    assert_eq!(fs::read(overlay.0.join("etc/passwd")).unwrap(), b"root");
}
