//! Containers' own directories that become images.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use images::{CommitError, CommitOptions, Image, ImageId, Images, Removed};
use oci::digest::Digest;
use rustix::fs::{CWD, FileType, Mode};

use crate::fixture::{DataRoot, import, nobody, rootfs};

const OPAQUE: &str = "trusted.overlay.opaque";

/// An upper directory as overlayfs leaves it.
fn upper(root: &DataRoot) -> PathBuf {
    let upper = root.path().join("upper");
    let dir = |name: &str| fs::create_dir_all(upper.join(name)).unwrap();
    let file = |name: &str| linux::fs::replace(&upper.join(name), b"new").unwrap();
    dir("etc");
    dir("bin");
    dir("new");
    file("new/f");
    file("bin/only");
    fs::hard_link(upper.join("new/f"), upper.join("etc/h")).unwrap();
    let whiteout = upper.join("etc/passwd");
    rustix::fs::mknodat(CWD, whiteout, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    mark(&upper, "bin", OPAQUE, b"y");
    mark(&upper, "new", "trusted.overlay.origin", b"x");
    mark(&upper, "new/f", "user.mine", b"value");
    // The place for a mount, and the runtime's own.
    dir("dev/pts");
    linux::fs::replace(&upper.join("etc/hosts"), b"").unwrap();
    upper
}

fn mark(root: &Path, name: &str, key: &str, value: &[u8]) {
    let dir = linux::fs::open_dir(root).unwrap();
    linux::fs::set_xattr(dir.as_fd(), OsStr::new(name), OsStr::new(key), value).unwrap();
}

fn attribute(root: &Path, name: &str, key: &str) -> Option<Vec<u8>> {
    let dir = linux::fs::open_dir(root).unwrap();
    linux::fs::xattr(dir.as_fd(), OsStr::new(name), OsStr::new(key)).unwrap()
}

fn options(parent: &ImageId, name: &str) -> CommitOptions {
    CommitOptions {
        parent: parent.clone(),
        container: "c".repeat(64),
        container_config: oci::image::RunConfig::default(),
        config: oci::image::RunConfig::default(),
        author: "me".into(),
        comment: "why".into(),
        reference: Some(name.parse().unwrap()),
    }
}

fn commit(
    images: &Images,
    upper: &Path,
    options: CommitOptions,
) -> Result<std::sync::Arc<Image>, CommitError> {
    let upper = linux::fs::open_dir(upper).unwrap();
    images.commit(upper.as_fd(), options, || Ok(()))
}

#[test]
fn a_layer_of_a_container_has_what_its_directory_says() {
    let root = DataRoot::new();
    let images = root.open();
    let base = import(&images, &rootfs(), "base:1");
    let image = commit(&images, &upper(&root), options(&base, "mine:1")).unwrap();
    assert_eq!((image.layers.len(), image.parent.as_ref()), (2, Some(&base)));
    assert_eq!(image.config.history.len(), 2);
    assert!(!image.config.history[1].empty_layer);
    let tree = image.lower_dirs[0].clone();
    let stat = |name: &str| fs::symlink_metadata(tree.join(name));
    let whiteout = stat("etc/passwd").unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert_eq!(attribute(&tree, "bin", OPAQUE), Some(b"y".to_vec()));
    assert_eq!(attribute(&tree, "new", "trusted.overlay.origin"), None);
    assert_eq!(attribute(&tree, "new/f", "user.mine"), Some(b"value".to_vec()));
    assert_eq!(stat("new/f").unwrap().ino(), stat("etc/h").unwrap().ino());
    assert!(stat("dev").is_err() && stat("etc/hosts").is_err(), "made for mounts alone");
    let name = "mine:1".to_owned();
    // It survives a restart, and can be written as an archive.
    let archive = images.save(std::slice::from_ref(&name), Vec::new()).unwrap();
    drop(images);
    let images = root.open();
    let again = images.resolve("mine:1").unwrap();
    assert_eq!((&again.id, &again.lower_dirs), (&image.id, &image.lower_dirs));
    assert!(images.save(std::slice::from_ref(&name), Vec::new()).unwrap() == archive);
}

#[test]
fn nothing_changed_is_no_layer() {
    let root = DataRoot::new();
    let images = root.open();
    let base = import(&images, &rootfs(), "base:1");
    let empty = root.path().join("upper");
    fs::create_dir_all(empty.join("dev")).unwrap();
    let image = commit(&images, &empty, options(&base, "same:1")).unwrap();
    assert_eq!((image.layers.len(), root.layers().len()), (1, 1));
    assert!(image.config.history[1].empty_layer);
}

#[test]
fn a_commit_that_fails_leaves_nothing() {
    let root = DataRoot::new();
    let images = root.open();
    let base = import(&images, &rootfs(), "base:1");
    let (layers, blobs) = (root.layers(), root.blobs());
    let upper = upper(&root);
    let opened = linux::fs::open_dir(&upper).unwrap();
    let gone = || Err(CommitError::Read(std::io::Error::other("it is being removed")));
    assert!(images.commit(opened.as_fd(), options(&base, "mine:1"), gone).is_err());
    let unknown = ImageId::from(Digest::sha256("none"));
    assert!(matches!(commit(&images, &upper, options(&unknown, "mine:1")), Err(CommitError::ParentGone(_))));
    assert!(matches!(commit(&images, &upper, options(&base, "sha256:1")), Err(CommitError::Name(_))));
    assert_eq!((root.layers(), root.blobs()), (layers, blobs));
    assert_eq!(images.list().len(), 1);
}

#[test]
fn a_parent_that_has_a_name_outlives_its_child() {
    let root = DataRoot::new();
    let images = root.open();
    let base = import(&images, &rootfs(), "base:1");
    let upper = upper(&root);
    let child = commit(&images, &upper, options(&base, "mine:1")).unwrap();
    commit(&images, &upper, options(&child.id, "top:1")).unwrap();
    assert!(images.remove(child.id.short(), false, true, &nobody).is_err(), "it has a child");
    let removed = images.remove("mine:1", false, true, &nobody).unwrap();
    assert_eq!(removed, [Removed::Untagged("mine:1".into())]);
    images.remove("top:1", false, true, &nobody).unwrap();
    let left: Vec<_> = images.list().iter().map(|image| image.id.clone()).collect();
    assert_eq!(left, std::slice::from_ref(&base), "the nameless one in between went with its last child");
    images.remove("base:1", false, true, &nobody).unwrap();
    assert!(root.is_empty());
}
