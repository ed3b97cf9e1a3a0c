//! Archives that become images.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use images::{ImportOptions, Removed};
use oci::digest::Digest;

use crate::fixture::{Archive, DataRoot, gzip, import, nobody, rootfs};

#[test]
fn an_archive_becomes_an_image_that_the_next_start_knows() {
    let root = DataRoot::new();
    let images = root.open();
    let id = import(&images, &rootfs(), "app:1");
    let image = images.resolve("app:1").unwrap();
    assert_eq!(image.id, id);
    assert_eq!(image.repo_tags(), ["app:1"]);
    assert_eq!(image.layers[0].diff_id, Digest::sha256(rootfs()));
    assert_eq!(image.size(), 3000 + 22 + 7);
    assert_eq!(image.config.comment, "Imported from -");
    assert_eq!(Digest::sha256(&*image.raw_config), *id.digest());
    let tree = image.lower_dirs[0].clone();
    assert_eq!(fs::read(tree.join("bin/sh")).unwrap().len(), 3000);
    assert_eq!(fs::metadata(tree.join("etc/passwd")).unwrap().nlink(), 2);
    assert_eq!(fs::metadata(tree.join("etc")).unwrap().mtime(), 1_700_000_000);
    drop(images);

    let images = root.open();
    let again = images.resolve("app:1").unwrap();
    assert_eq!((&again.id, again.size(), &again.lower_dirs), (&id, image.size(), &image.lower_dirs));
    assert_eq!(images.resolve(id.short()).unwrap().id, id);
    assert_eq!(images.resolve(&id.to_string()[..15]).unwrap().id, id);
    assert!(images.hold(&id).is_some());
}

#[test]
fn a_second_image_of_the_same_archive_shares_its_layer() {
    let root = DataRoot::new();
    let images = root.open();
    import(&images, &rootfs(), "a");
    let options = ImportOptions { changes: vec!["CMD x".into()], ..ImportOptions::default() };
    let second = images.import(gzip(&rootfs()).as_slice(), &options).unwrap();
    assert_eq!(images.list().len(), 2);
    assert_eq!(root.layers().len(), 1);
    let removed = images.remove("a", false, true, &nobody).unwrap();
    assert_eq!(removed.len(), 2, "the shared layer is not listed: {removed:?}");
    assert_eq!(root.layers().len(), 1);
    let removed = images.remove(second.short(), false, true, &nobody).unwrap();
    assert_eq!(removed[0], Removed::Deleted(second.to_string()));
    assert!(root.is_empty());
}

#[test]
fn the_archive_of_a_layer_comes_back_byte_for_byte() {
    let root = DataRoot::new();
    let images = root.open();
    // With entries that replace earlier ones, files below a link, padding and trailing zeros.
    let mut archive = Archive::new()
        .dir("d/")
        .file("d/a", &[b'a'; 700])
        .file("d/b", b"first")
        .symlink("l", "d")
        .file("l/c", b"through the link")
        .file("d/b", b"second")
        .file("d", b"a file now")
        .symlink("l", "elsewhere")
        .file("empty", b"")
        .bytes();
    archive.extend([0; 4096]);
    import(&images, &archive, "a");
    let layer = &images.resolve("a").unwrap().layers[0];
    let mut again = Vec::new();
    images.layers().archive(&layer.diff_id, &mut again).unwrap();
    assert_eq!(again, archive);
    assert_eq!(layer.archive_size, archive.len() as u64);
    assert_eq!(layer.size, 10 + 9);
}

#[test]
fn a_changed_file_is_noticed_when_the_archive_is_made_again() {
    let root = DataRoot::new();
    let images = root.open();
    import(&images, &rootfs(), "a");
    let image = images.resolve("a").unwrap();
    linux::fs::replace(&image.lower_dirs[0].join("etc/passwd"), b"root::0:0::/:/bin/sh\n\n").unwrap();
    let error = images.layers().archive(&image.layers[0].diff_id, &mut Vec::new()).unwrap_err();
    assert!(format!("{:?}", error.source).contains("changed since it was unpacked"), "{error:?}");
}

#[test]
fn refusals_come_before_the_archive_is_read_and_leave_nothing() {
    let root = DataRoot::new();
    let images = root.open();
    for (options, expected) in [
        (
            ImportOptions { changes: vec!["RUN x".into()], ..ImportOptions::default() },
            "RUN is not a valid change command",
        ),
        (
            ImportOptions { reference: Some("sha256:abc".parse().unwrap()), ..ImportOptions::default() },
            "refusing to create an ambiguous tag using digest algorithm as name",
        ),
        (
            ImportOptions { platform: Some("windows/amd64".parse().unwrap()), ..ImportOptions::default() },
            "operating system is not supported: windows",
        ),
    ] {
        struct Untouchable;
        impl std::io::Read for Untouchable {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                panic!("read before it was refused")
            }
        }
        assert_eq!(images.import(Untouchable, &options).unwrap_err().to_string(), expected);
    }
    assert!(root.is_empty());
}

#[test]
fn an_empty_archive_is_an_image_too() {
    let root = DataRoot::new();
    let images = root.open();
    for archive in [&b""[..], &[0; 1024]] {
        let id = images.import(archive, &ImportOptions::default()).unwrap();
        let image = images.get(&id).unwrap();
        assert!(Path::new(&image.lower_dirs[0]).is_dir());
        assert_eq!(image.size(), 0);
    }
}

#[test]
fn history_says_what_each_layer_added() {
    let root = DataRoot::new();
    let images = root.open();
    let id = import(&images, &rootfs(), "app:1");
    let steps = images.history(&images.get(&id).unwrap());
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].id.as_ref(), Some(&id));
    assert_eq!(steps[0].tags, ["app:1"]);
    assert_eq!(steps[0].size, 3029);
    assert_eq!(steps[0].comment, "Imported from -");
}

#[test]
fn a_damaged_image_is_set_aside_alone_and_healed_by_importing_it_again() {
    let root = DataRoot::new();
    let images = root.open();
    let other = Archive::new().file("other", b"x").bytes();
    let broken_config = import(&images, &rootfs(), "config:1");
    let broken_layer = import(&images, &other, "layer:1");
    let whole = import(&images, &Archive::new().file("whole", b"x").bytes(), "whole:1");
    let archive = images.save(&["config:1".into(), "layer:1".into()], Vec::new()).unwrap();
    let tree = images.get(&broken_layer).unwrap().lower_dirs[0].clone();
    drop(images);
    let blob = root.path().join("content/blobs/sha256").join(broken_config.digest().hex());
    linux::fs::replace(&blob, b"{").unwrap();
    fs::remove_dir_all(tree.parent().unwrap()).unwrap();

    let images = root.open();
    assert_eq!(images.list().iter().map(|image| &image.id).collect::<Vec<_>>(), [&whole]);
    assert_eq!(images.resolve("config:1").unwrap_err().to_string(), "No such image: config:1");
    images.load(archive.as_slice(), &images::LoadOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(images.resolve("config:1").unwrap().id, broken_config);
    drop(images);
    let images = root.open();
    assert_eq!(images.list().len(), 3);
    assert!(images.resolve("layer:1").unwrap().lower_dirs[0].join("other").exists());
}

#[test]
fn an_unreadable_row_keeps_the_start_from_sweeping_what_it_may_mean() {
    let root = DataRoot::new();
    let images = root.open();
    import(&images, &rootfs(), "app:1");
    drop(images);
    let database = db::Database::open(&root.path().join("corten.db")).unwrap();
    database.write(|tx| Ok(tx.execute("UPDATE image SET parent = 'nonsense'", [])?)).unwrap();
    drop(database);
    let images = root.open();
    assert!(images.list().is_empty());
    assert_eq!((root.layers().len(), root.blobs().len()), (1, 1));
}
