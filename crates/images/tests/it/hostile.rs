//! Archives that mean harm: nothing outside is touched, and nothing is left in the stores.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use db::Database;
use images::{ImageId, Images, ImportError, ImportOptions};
use snapshots::Settings;

use crate::fixture::{Archive, DataRoot, gzip, nobody};

fn import(images: &Images, archive: &[u8]) -> Result<ImageId, ImportError> {
    images.import(archive, &ImportOptions::default())
}

/// The path from inside a layer to the canary beside the data root, up and absolute.
fn ways_out(root: &DataRoot) -> [String; 2] {
    let canary = root.canary().to_str().unwrap().to_owned();
    [format!("{}{canary}", "../".repeat(30)), canary]
}

#[test]
fn names_and_links_that_lead_out_stay_inside() {
    let root = DataRoot::new();
    let images = root.open();
    for out in ways_out(&root) {
        let folder = out.rsplit_once('/').unwrap().0.to_owned();
        let contained = [
            Archive::new().file(&out, b"overwritten"),
            Archive::new().symlink("link", &out).file("link", b"overwritten"),
            Archive::new().symlink("way", &folder).dir(&folder).file("way/canary", b"overwritten"),
            Archive::new().symlink("a", "..").symlink("a/b", "..").file("a/b/evil", b"x"),
            Archive::new().symlink("way", &folder).file("way/.wh.canary", b""),
            Archive::new().dir("d/").symlink("d", &folder).dir(&folder).file("d/canary", b"overwritten"),
            Archive::new().symlink("link", &out).hard_link("hard", "link").file("hard", b"overwritten"),
        ];
        for (n, archive) in contained.into_iter().enumerate() {
            let outcome = import(&images, &archive.bytes());
            assert_eq!(fs::read(root.canary()).unwrap(), b"untouched", "{n}: {out}");
            if let Ok(id) = outcome {
                images.remove(&id.to_string(), true, true, &nobody).unwrap();
            }
            assert!(root.is_empty(), "{n}: {:?}", root.layers());
        }
    }
}

#[test]
fn a_file_written_through_a_link_lands_in_the_layer() {
    let root = DataRoot::new();
    let images = root.open();
    let archive = Archive::new()
        .dir("real/")
        .symlink("link", "/real")
        .file("link/file", b"inside")
        .file("/absolute", b"inside")
        .file("a/../dots", b"inside")
        .symlink("var/run", "/run")
        .file("var/run/early", b"inside")
        .dir("run/")
        .file(".", b"ignored")
        .bytes();
    let id = import(&images, &archive).unwrap();
    let tree = images.get(&id).unwrap().lower_dirs[0].clone();
    for path in ["real/file", "absolute", "dots", "run/early"] {
        assert_eq!(fs::read(tree.join(path)).unwrap(), b"inside", "{path}");
    }
    assert!(fs::symlink_metadata(tree.join("link")).unwrap().is_symlink());
}

#[test]
fn what_cannot_be_contained_is_refused_by_name() {
    let root = DataRoot::new();
    let images = root.open();
    let deep = "a/".repeat(1_000_000);
    let long_path = record("path", deep.as_bytes());
    let huge = {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XHeader);
        header.set_size(1 << 40);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    for (archive, expected) in [
        (Archive::new().file("../../evil", b"").bytes(), "invalid entry name \"../../evil\""),
        (Archive::new().file("a/../../evil", b"").bytes(), "invalid entry name \"a/../../evil\""),
        (
            Archive::new().hard_link("hard", "../../canary").bytes(),
            "invalid hardlink target \"../../canary\"",
        ),
        (Archive::new().hard_link("hard", "/").bytes(), "invalid hardlink target \"/\""),
        (
            Archive::new().hard_link("hard", &ways_out(&root)[1]).bytes(),
            "cannot unpack \"hard\": No such file or directory",
        ),
        (Archive::new().file("d/.wh...", b"").bytes(), "invalid whiteout entry \"d/.wh...\""),
        (Archive::new().file("d/.wh.", b"").bytes(), "invalid whiteout entry \"d/.wh.\""),
        (Archive::new().file("f", b"").file("f/x", b"").bytes(), "cannot unpack \"f/x\": Not a directory"),
        (Archive::new().symlink("l", "l").file("l/x", b"").bytes(), "cannot unpack \"l/x\": Too many levels"),
        (Archive::new().pax(&long_path).file("x", b"").bytes(), "archive/tar: header field too long"),
        (
            Archive::new().pax(&record("path", "a/".repeat(3000).as_bytes())).file("x", b"").bytes(),
            "cannot unpack \"a/a/",
        ),
        (
            Archive::new().pax(&record("path", b"a\0b")).file("x", b"").bytes(),
            "archive/tar: invalid tar header",
        ),
        (
            Archive::new().pax(&record("uid", b"99999999999")).file("x", b"").bytes(),
            "cannot unpack \"x\": user or",
        ),
        (Archive::new().pax(b"999 path=x\n").file("x", b"").bytes(), "archive/tar: invalid tar header"),
        (huge, "archive/tar: header field too long"),
        (b"not a tar archive at all".repeat(100), "archive/tar: invalid tar header"),
        (b"short".to_vec(), "unexpected EOF"),
    ] {
        let error = import(&images, &archive).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{expected:?}: {error:?}");
        assert!(error.len() < 600, "{error}");
        assert!(root.is_empty(), "{expected}: {:?} {:?}", root.layers(), root.blobs());
    }
    assert_eq!(fs::read(root.canary()).unwrap(), b"untouched");
}

#[test]
fn a_truncated_archive_is_refused_wherever_it_is_cut() {
    let root = DataRoot::new();
    let images = root.open();
    let whole = Archive::new().dir("d/").file("d/a", &[1; 5000]).file("d/b", &[2; 100]).bytes();
    let compressed = gzip(&whole);
    // Not at the end of a block, where an archive may end, and not in the padding of a file, which may be missing.
    let padding = [1024 + 5000..6144, 6656 + 100..7168];
    let cuts = (1..whole.len() - 1024)
        .filter(|cut| cut % 512 != 0 && !padding.iter().any(|range| range.contains(cut)))
        .step_by(97);
    for cut in cuts {
        let error = import(&images, &whole[..cut]).unwrap_err().to_string();
        assert!(error.contains("unexpected EOF"), "cut at {cut}: {error}");
    }
    for cut in [1, 5, 12, compressed.len() / 2, compressed.len() - 1] {
        assert!(import(&images, &compressed[..cut]).is_err(), "cut at {cut}");
    }
    assert!(root.is_empty(), "{:?}", root.layers());
}

#[test]
fn bombs_are_stopped_at_the_configured_maximum() {
    let root = DataRoot::new();
    let database = Database::open(&root.path().join("corten.db")).unwrap();
    let settings = Settings { max_unpacked: Some(8 << 20), ..Settings::default() };
    let images = Images::open_with(&root.path(), database, settings).unwrap();
    let zeros = vec![0u8; 64 << 20];
    let in_a_file = gzip(&Archive::new().file("zeros", &zeros).bytes());
    let after_the_end = gzip(&[Archive::new().bytes(), zeros].concat());
    for bomb in [in_a_file, after_the_end] {
        assert!(bomb.len() < 1 << 20);
        let error = import(&images, &bomb).unwrap_err().to_string();
        assert_eq!(error, "the archive unpacks to more than the configured maximum of 8388608 bytes");
        assert!(root.is_empty());
    }
}

#[test]
fn bombs_are_stopped_before_the_disk_is_full() {
    let root = DataRoot::new();
    let database = Database::open(&root.path().join("corten.db")).unwrap();
    let free = rustix::fs::statvfs(root.path()).unwrap();
    // As if all but the last bytes were taken already.
    let settings = Settings { reserve: free.f_bavail * free.f_frsize + (1 << 40), ..Settings::default() };
    let images = Images::open_with(&root.path(), database, settings).unwrap();
    let error = import(&images, &Archive::new().file("x", b"y").bytes()).unwrap_err().to_string();
    assert!(error.starts_with("no space left on device"), "{error}");
    assert!(root.is_empty());
}

#[test]
fn a_sparse_file_of_petabytes_takes_no_space() {
    let root = DataRoot::new();
    let images = root.open();
    let mut records = record("GNU.sparse.size", b"1000000000000000");
    records.extend(record("GNU.sparse.map", b"4096,4"));
    let archive = Archive::new().pax(&records).file("big", b"data").bytes();
    match import(&images, &archive) {
        Ok(id) => {
            let path = images.get(&id).unwrap().lower_dirs[0].join("big");
            let mut file = fs::File::open(path).unwrap();
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(4096)).unwrap();
            let mut data = [0; 4];
            file.read_exact(&mut data).unwrap();
            assert_eq!(&data, b"data");
        }
        // A file system with smaller files.
        Err(error) => assert!(error.to_string().contains("File too large"), "{error}"),
    }
    for map in ["4096,5", "0,2,1,2", "1,2,3", "999999999999999999999,4", "x"] {
        let mut records = record("GNU.sparse.size", b"8192");
        records.extend(record("GNU.sparse.map", map.as_bytes()));
        let archive = Archive::new().pax(&records).file("big", b"data").bytes();
        let error = import(&images, &archive).unwrap_err().to_string();
        assert!(error.starts_with("archive/tar: invalid tar header"), "{map}: {error}");
    }
}

#[test]
fn devices_and_overlays_own_attributes_bring_nothing_in() {
    let root = DataRoot::new();
    let images = root.open();
    let mut records = record("SCHILY.xattr.trusted.overlay.redirect", b"/etc");
    records.extend(record("SCHILY.xattr.user.overlay.opaque", b"y"));
    records.extend(record("SCHILY.xattr.user.kept", b"1"));
    let archive = Archive::new().device("null", 1, 3).pax(&records).dir("d/").bytes();
    let id = import(&images, &archive).unwrap();
    let tree = images.get(&id).unwrap().lower_dirs[0].clone();
    let fd = linux::fs::open_dir(&tree).unwrap();
    let attributes = linux::fs::xattrs(std::os::fd::AsFd::as_fd(&fd), "d".as_ref()).unwrap();
    assert_eq!(attributes, [("user.kept".into(), b"1".to_vec())]);
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let null = fs::symlink_metadata(tree.join("null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
}

#[test]
fn a_failing_source_leaves_nothing() {
    struct Failing(Vec<u8>);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the client left"));
            }
            let n = self.0.len().min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }
    let root = DataRoot::new();
    let images = root.open();
    let whole = Archive::new().file("a", &[1; 5000]).bytes();
    let error = images.import(Failing(whole[..3000].to_vec()), &ImportOptions::default()).unwrap_err();
    let texts: Vec<String> = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
        .map(ToString::to_string)
        .collect();
    assert!(texts.join(": ").contains("the client left"), "{texts:?}");
    assert!(root.is_empty());
}

/// A PAX record, whose length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// Where the tests run; here so that a failure says which file system it was.
#[test]
fn the_canary_is_where_the_ways_out_lead() {
    let root = DataRoot::new();
    let [up, absolute] = ways_out(&root);
    assert_eq!(fs::read(&absolute).unwrap(), b"untouched");
    let from_a_layer: PathBuf = root.path().join("layers").join(up.trim_start_matches('/'));
    fs::create_dir_all(root.path().join("layers")).unwrap();
    assert_eq!(fs::read(from_a_layer).unwrap(), b"untouched");
}
