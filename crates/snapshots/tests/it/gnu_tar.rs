//! What GNU tar writes, in every format it knows, comes out as it went in.

use std::fs::{self, File, FileTimes};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::XattrFlags;

use crate::kit::{TempDir, add};

/// A tree with everything that a root file system can have and the formats can carry.
fn make_tree(root: &Path, long_names: bool) {
    let write =
        |name: &str, content: &[u8]| File::create(root.join(name)).unwrap().write_all(content).unwrap();
    fs::create_dir_all(root.join("dir/empty")).unwrap();
    write("dir/file", b"content");
    write("dir/large", &vec![0xa5; 3_000_000]);
    write("setuid", b"#!");
    fs::hard_link(root.join("dir/file"), root.join("dir/other-name")).unwrap();
    symlink("../dir/file", root.join("dir/link")).unwrap();
    symlink("/absolute/and/dangling", root.join("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0)
        .unwrap();
    let null = rustix::fs::makedev(1, 3);
    let device = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("null"), device, 0o666.into(), null).unwrap();
    if long_names {
        let deep = root.join("a-directory-with-a-long-name/".repeat(6));
        fs::create_dir_all(&deep).unwrap();
        File::create(deep.join("f".repeat(180))).unwrap();
        symlink("t".repeat(200), deep.join("long-link")).unwrap();
    }
    let mut sparse = File::create(root.join("sparse")).unwrap();
    for offset in [0, 1 << 20, 5 << 20] {
        sparse.seek(SeekFrom::Start(offset)).unwrap();
        sparse.write_all(&[7; 5000]).unwrap();
    }
    sparse.set_len(9 << 20).unwrap();
    for (name, mode) in [("setuid", 0o4755), ("dir", 0o1777), ("dir/file", 0o600)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 0));
    File::open(root.join("dir")).unwrap().set_times(times).unwrap();
}

/// Everything that can be seen of a tree, one line per name.
fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_file() {
                oci::digest::Digest::sha256(fs::read(&path).unwrap()).to_string()
            } else if stat.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                format!("{:x}", stat.rdev())
            };
            let links = if stat.is_dir() { 0 } else { stat.nlink() };
            let mtime = stat.mtime();
            lines.push(format!(
                "{name} {:o} {}:{} {links} {mtime} {content}",
                stat.mode(),
                stat.uid(),
                stat.gid()
            ));
            if stat.is_dir() {
                folders.push(path);
            }
        }
    }
    lines.sort();
    lines
}

fn tar(tree: &Path, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new("tar").arg("-C").arg(tree).args(arguments).args(["-cf", "-", "."]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn every_format_of_gnu_tar_is_read() {
    let dir = TempDir::new();
    for (format, long_names) in [
        (&["--format=gnu"][..], true),
        (&["--format=oldgnu"], true),
        (&["--format=pax"], true),
        (&["--format=ustar"], false),
        (&["--format=gnu", "--sparse"], true),
        (&["--format=oldgnu", "--sparse"], true),
        (&["--format=pax", "--sparse", "--sparse-version=0.0"], true),
        (&["--format=pax", "--sparse", "--sparse-version=0.1"], true),
        (&["--format=pax", "--sparse", "--sparse-version=1.0"], true),
    ] {
        let tree = dir.0.join("tree");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir(&tree).unwrap();
        make_tree(&tree, long_names);
        let archive = tar(&tree, format);
        let layers = dir.layers();
        let diff_id = add(&layers, &archive);
        let (expected, unpacked) = (listing(&tree), listing(&layers.tree(&diff_id)));
        assert_eq!(unpacked, expected, "{format:?}");
        let mut again = Vec::new();
        layers.archive(&diff_id, &mut again).unwrap();
        assert!(again == archive, "{format:?}: the archive comes out changed");
        drop(layers.detach(&diff_id).unwrap());
    }
}

#[test]
fn sparse_files_keep_their_holes() {
    let dir = TempDir::new();
    let tree = dir.0.join("tree");
    fs::create_dir(&tree).unwrap();
    make_tree(&tree, false);
    let layers = dir.layers();
    let diff_id = add(&layers, &tar(&tree, &["--format=pax", "--sparse"]));
    let stat = fs::metadata(layers.tree(&diff_id).join("sparse")).unwrap();
    assert_eq!(stat.size(), 9 << 20);
    assert!(stat.blocks() * 512 < 1 << 20, "{} blocks", stat.blocks());
}

#[test]
fn ids_beyond_16_bits_nanoseconds_and_capabilities_are_kept() {
    let dir = TempDir::new();
    let tree = dir.0.join("tree");
    fs::create_dir(&tree).unwrap();
    File::create(tree.join("ping")).unwrap().write_all(b"x").unwrap();
    // cap_net_raw+ep, revision 2.
    let mut capability = vec![0x01, 0, 0, 0x02, 0, 0x20];
    capability.resize(20, 0);
    rustix::fs::setxattr(tree.join("ping"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(tree.join("ping"), "user.note", b"a\nb=c", XattrFlags::empty()).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    File::open(tree.join("ping")).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
    let archive = tar(
        &tree,
        &["--format=pax", "--xattrs", "--xattrs-include=*", "--owner=:4000000000", "--group=:70000"],
    );
    let layers = dir.layers();
    let path = layers.tree(&add(&layers, &archive)).join("ping");
    let stat = fs::metadata(&path).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (4_000_000_000, 70_000));
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_700_000_000, 123_456_789));
    let read = |name: &str| {
        let mut value = vec![0; 100];
        let length = rustix::fs::getxattr(&path, name, value.as_mut_slice()).unwrap();
        value.truncate(length);
        value
    };
    assert_eq!(read("security.capability"), capability);
    assert_eq!(read("user.note"), b"a\nb=c");
}
