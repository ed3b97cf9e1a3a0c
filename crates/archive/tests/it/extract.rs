//! Archives into a directory that is in use.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use archive::extract::{ExtractError, Options, Owner, extract};
use archive::tar::{Header, Kind};

use crate::kit::{TempDir, entry, file, folder, link, listing, tar};

fn options() -> Options<'static> {
    Options { owner: Owner::Archive, keep_kinds: false, rename: None, directory: "/o", guard: &|_| Ok(()) }
}

/// A directory `o` with a file, a link to it and a folder with a file.
fn present() -> TempDir {
    let dir = TempDir::new();
    dir.folder("o/s");
    dir.file("o/f", "old");
    dir.file("o/s/d", "deep");
    symlink("f", dir.0.join("o/l")).unwrap();
    dir
}

fn put(dir: &TempDir, entries: &[Header], options: &Options<'_>) -> Result<(), ExtractError> {
    extract(tar(entries).as_slice(), dir.fd("o").as_fd(), options)
}

#[test]
fn entries_replace_what_has_their_name_and_folders_are_merged() {
    let before = ["f 100644 0:0", "l -> f 0:0", "s 40755 0:0", "s/d 100644 0:0"];
    let (file_mode, folder_mode) = ("100640 33:44", "40751 33:44");
    let table: Vec<(Header, Vec<String>)> = vec![
        (file("f"), vec![format!("f {file_mode}"), before[1].into(), before[2].into(), before[3].into()]),
        (file("s"), vec![before[0].into(), before[1].into(), format!("s {file_mode}")]),
        (folder("s"), vec![before[0].into(), before[1].into(), format!("s {folder_mode}"), before[3].into()]),
        (folder("f"), vec![format!("f {folder_mode}"), before[1].into(), before[2].into(), before[3].into()]),
        (file("l"), vec![before[0].into(), format!("l {file_mode}"), before[2].into(), before[3].into()]),
        (
            link(Kind::Symlink, "f", "s"),
            vec!["f -> s 33:44".into(), before[1].into(), before[2].into(), before[3].into()],
        ),
    ];
    for (header, wanted) in table {
        let dir = present();
        put(&dir, std::slice::from_ref(&header), &options()).unwrap();
        assert_eq!(listing(&dir.0.join("o")), wanted, "{:?}", String::from_utf8_lossy(&header.name));
    }
}

#[test]
fn a_link_that_is_replaced_is_not_written_through() {
    let dir = present();
    put(&dir, &[file("l")], &options()).unwrap();
    assert_eq!((dir.read("o/f"), dir.read("o/l")), ("old".to_owned(), "x\n".to_owned()));
}

#[test]
fn kinds_are_kept_when_asked_for() {
    let keep = Options { keep_kinds: true, ..options() };
    for (entries, wanted) in [
        ([file("s")], "cannot overwrite directory \"s\" with non-directory \"/o\""),
        ([folder("f")], "cannot overwrite non-directory \"f\" with directory \"/o\""),
    ] {
        let dir = present();
        let before = listing(&dir.0);
        assert_eq!(put(&dir, &entries, &keep).unwrap_err().to_string(), wanted);
        assert_eq!(listing(&dir.0), before);
    }
    put(&present(), &[folder("s"), file("f")], &keep).unwrap();
}

#[test]
fn every_kind_of_file_is_made_with_its_attributes() {
    let dir = present();
    let device = Header { major: 1, minor: 3, mode: 0o666, ..entry(Kind::CharDevice, "null") };
    let capability = Header { xattrs: vec![(b"user.note".to_vec(), b"1".to_vec())], ..file("noted") };
    let overlays =
        Header { xattrs: vec![(b"trusted.overlay.opaque".to_vec(), b"y".to_vec())], ..folder("plain") };
    let entries = [
        Header { mode: 0o4755, ..file("suid") },
        device,
        Header { mode: 0o4640, ..entry(Kind::Fifo, "pipe") },
        file("deep/er/file"),
        link(Kind::HardLink, "hard", "suid"),
        capability,
        overlays,
    ];
    put(&dir, &entries, &options()).unwrap();
    let lines = listing(&dir.0.join("o"));
    for wanted in [
        "suid 104755 33:44",
        "hard 104755 33:44",
        "null 20666 33:44",
        "pipe 14640 33:44",
        "deep 40755 0:0",
        "deep/er/file 100640 33:44",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:?}");
    }
    let o = dir.fd("o");
    assert_eq!(
        linux::fs::xattrs(o.as_fd(), "noted".as_ref()).unwrap(),
        [("user.note".into(), b"1".to_vec())]
    );
    assert_eq!(linux::fs::xattrs(o.as_fd(), "plain".as_ref()).unwrap(), []);
    assert_eq!(fs::metadata(dir.0.join("o/plain")).unwrap().mtime(), 1_600_000_000);
    let fixed = Options { owner: Owner::Fixed(7, 8), ..options() };
    put(&dir, &[file("mine")], &fixed).unwrap();
    let mine = fs::metadata(dir.0.join("o/mine")).unwrap();
    assert_eq!((mine.uid(), mine.gid()), (7, 8));
}

/// A bind mount in a mount namespace that is not ours, as a running container's.
#[test]
fn what_is_mounted_on_stays_also_in_a_foreign_namespace() {
    let dir = present();
    dir.folder("volume");
    dir.file("volume/precious", "1");
    let (o, volume) = (dir.0.join("o"), dir.0.join("volume"));
    let root = std::thread::spawn(move || {
        linux::namespaces::unshare(rustix::thread::ThreadNameSpaceType::MOUNT).unwrap();
        let private =
            rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        rustix::mount::mount_bind(&volume, o.join("s")).unwrap();
        rustix::mount::mount_bind(volume.join("precious"), o.join("f")).unwrap();
        linux::mount::clone_tree(rustix::fs::CWD, &o, true).unwrap()
    })
    .join()
    .unwrap();
    let busy = |entries: &[Header]| {
        extract(tar(entries).as_slice(), root.as_fd(), &options()).unwrap_err().to_string()
    };
    assert_eq!(busy(&[file("f")]), "RemoveAll f: device or resource busy");
    assert_eq!(busy(&[file("s")]), "RemoveAll s: device or resource busy");
    extract(tar(&[file("s/more")]).as_slice(), root.as_fd(), &options()).unwrap();
    assert_eq!((dir.read("volume/precious"), dir.read("volume/more")), ("1".to_owned(), "x\n".to_owned()));
}

#[test]
fn names_that_lead_out_are_refused_and_links_stay_inside() {
    let dir = present();
    let canary = dir.folder("canary");
    let outside = canary.display().to_string();
    for (entries, wanted) in [
        (vec![file("../x")], "invalid entry name \"../x\""),
        (vec![link(Kind::HardLink, "h", "../canary/x")], "invalid hardlink target \"../canary/x\""),
    ] {
        assert_eq!(put(&dir, &entries, &options()).unwrap_err().to_string(), wanted);
    }
    for target in [outside.as_str(), "../canary", "../../../../../../../tmp"] {
        let entries = [link(Kind::Symlink, "ln", target), file("ln/evil"), folder("ln/sub")];
        // Whether the link's target is there inside decides whether this works; either way it stays inside.
        let _ = put(&dir, &entries, &options());
    }
    symlink(&outside, dir.0.join("o/there")).unwrap();
    put(&dir, &[file("there/evil"), folder("there")], &options()).unwrap();
    assert_eq!(listing(&canary), Vec::<String>::new());
    let hard = put(&dir, &[link(Kind::HardLink, "h", &format!("{outside}/../o/f"))], &options());
    assert!(hard.is_err());
}

#[test]
fn the_first_part_of_names_is_renamed() {
    let dir = present();
    let rename = Options { rename: Some((b"src", b"new")), ..options() };
    let entries =
        [folder("src"), file("src/a"), link(Kind::HardLink, "src/b", "src/a"), file("srcs"), file("x/src")];
    put(&dir, &entries, &rename).unwrap();
    for path in ["new/a", "new/b", "srcs", "x/src"] {
        assert_eq!(dir.read(&format!("o/{path}")), "x\n", "{path}");
    }
}

#[test]
fn the_guard_is_asked_about_every_folder() {
    let dir = present();
    let refuse = |_: std::os::fd::BorrowedFd<'_>| Err(std::io::Error::other("not here"));
    let guarded = Options { guard: &refuse, ..options() };
    let error = put(&dir, &[file("s/x")], &guarded).unwrap_err();
    assert_eq!(error.to_string(), "cannot extract \"s/x\": not here");
}

#[test]
fn what_is_no_archive_is_refused() {
    let dir = present();
    let whole = tar(&[file("a"), file("b")]);
    for (bytes, wanted) in [
        (&b"garbage ".repeat(100)[..], "archive/tar: invalid tar header"),
        (&whole[..1024 + 100], "unexpected EOF"),
        (&whole[..512 + 1], "unexpected EOF"),
    ] {
        let error = extract(bytes, dir.fd("o").as_fd(), &options()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    extract(&b""[..], dir.fd("o").as_fd(), &options()).unwrap();
}

#[test]
fn a_folder_exchanged_for_a_link_meanwhile_takes_nothing_outside() {
    let dir = present();
    let canary = dir.folder("canary");
    let outside = dir.0.join("canary/file");
    dir.file("canary/file", "alive");
    let before = listing(&canary);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // What a process in the container does: names change all the time.
            while !stop.load(Ordering::Relaxed) {
                for name in ["a", "b", "p"] {
                    let path = dir.0.join("o").join(name);
                    let _ = fs::rename(&path, dir.0.join("moved"));
                    let _ = symlink(if name == "a" { &canary } else { &outside }, &path);
                    let _ = fs::remove_file(&path);
                    let _ = fs::rename(dir.0.join("moved"), &path);
                    let _ = fs::remove_dir_all(dir.0.join("moved"));
                    let _ = fs::remove_file(dir.0.join("moved"));
                }
            }
        });
        for _ in 0..300 {
            let entries = [
                Header { mode: 0o4777, ..folder("a") },
                Header { mode: 0o4777, ..file("a/file") },
                Header { mode: 0o4777, ..file("b") },
                Header { mode: 0o4777, ..entry(Kind::Fifo, "p") },
            ];
            // A name that is gone when it is needed is an error, which is fine.
            let _ = put(&dir, &entries, &options());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(listing(&canary), before);
    assert_eq!(dir.read("canary/file"), "alive");
}
