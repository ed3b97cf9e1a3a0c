//! Archives made to do harm, given to `import`: nothing outside the image is touched, nothing is left in the stores.

use std::fs;
use std::path::Path;

use tar::{Builder, EntryType, Header};
use testkit::Host;

/// One entry of a hostile tar; names and link targets are written as they are.
struct Entry {
    kind: EntryType,
    name: String,
    link: String,
    data: &'static str,
}

fn file(name: impl Into<String>) -> Entry {
    Entry { kind: EntryType::Regular, name: name.into(), link: String::new(), data: "overwritten" }
}

fn folder(name: &str) -> Entry {
    Entry { kind: EntryType::Directory, name: name.into(), link: String::new(), data: "" }
}

fn link(kind: EntryType, name: &str, target: impl Into<String>) -> Entry {
    Entry { kind, name: name.into(), link: target.into(), data: "" }
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(0o755);
        header.set_size(entry.data.len() as u64);
        // The crate's own setters refuse what this is about.
        let fields = header.as_ustar_mut().expect("made as ustar");
        fields.name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        fields.linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_cksum();
        tar.append(&header, entry.data.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Everything in a folder: names, kinds and contents.
fn content(folder: &Path) -> Vec<(String, String)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read_to_string(&path).unwrap_or_else(|error| error.to_string()))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn archives_that_reach_out_touch_nothing_outside_the_image() {
    let host = Host::with_busybox();
    let canary = host.file("canary", "alive");
    let outside = host.work().display().to_string();
    let before = content(&host.work());
    // Upwards from anywhere below the data root.
    let up = format!("{}{}", "../".repeat(12), outside.trim_start_matches('/'));
    let symlink = EntryType::Symlink;
    let hard = EntryType::Link;
    let table = [
        ("dotdot", vec![file(format!("{up}/canary"))]),
        ("dotdot inside", vec![folder("a"), file(format!("a/../{up}/canary"))]),
        ("absolute", vec![file(format!("{outside}/canary"))]),
        ("absolute link", vec![link(symlink, "a", &outside), file("a/canary"), file("a/new")]),
        ("relative link", vec![link(symlink, "a", &up), file("a/canary"), file("a/new")]),
        ("link to the root", vec![link(symlink, "a", "/"), file(format!("a{outside}/canary"))]),
        ("link of a link", vec![link(symlink, "a", "b"), link(symlink, "b", &up), file("a/canary")]),
        ("folder becomes link", vec![folder("a"), link(symlink, "a", &outside), file("a/canary")]),
        ("folder on a link", vec![link(symlink, "a", &outside), folder("a"), file("a/new")]),
        ("hard link out", vec![link(hard, "h", format!("{outside}/canary")), file("h")]),
        ("hard link up", vec![link(hard, "h", format!("{up}/canary")), file("h")]),
        ("hard link by link", vec![link(symlink, "a", &outside), link(hard, "h", "a/canary"), file("h")]),
        (
            "hard link to link",
            vec![link(symlink, "a", format!("{outside}/canary")), link(hard, "h", "a"), file("h")],
        ),
        ("file on a link", vec![link(symlink, "a", format!("{outside}/canary")), file("a")]),
        ("whiteout of ..", vec![folder("a"), file("a/.wh..")]),
        ("whiteout of ../..", vec![folder("a"), file("a/.wh...")]),
        ("whiteout by link", vec![link(symlink, "a", &outside), file("a/.wh.canary")]),
        ("opaque by link", vec![link(symlink, "a", &outside), file("a/.wh..wh..opq")]),
        ("device by link", vec![link(symlink, "a", &outside), link(EntryType::Char, "a/dev", "")]),
        ("fifo by link", vec![link(symlink, "a", &outside), link(EntryType::Fifo, "a/fifo", "")]),
    ];
    for (name, entries) in table {
        let images = host.run("corten images -aq").exits(0).stdout();
        let output = host.run_with_stdin("corten import - hostile", archive(&entries));
        assert_eq!(content(&host.work()), before, "`{name}` reached out of the image");
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive", "{name}");
        if output.code() == 0 {
            host.run("corten rmi hostile").exits(0);
        } else {
            output.exits(1);
            assert_eq!(
                host.run("corten images -aq").exits(0).stdout(),
                images,
                "`{name}` was refused, but is there"
            );
        }
    }
}

#[test]
fn what_is_no_whole_archive_is_refused() {
    let host = Host::with_busybox();
    let whole = archive(&[folder("etc"), file("etc/motd"), file("etc/issue")]);
    let mut huge = archive(&[file("big")]);
    huge[124..136].copy_from_slice(b"77777777777\0");
    let mut sum = huge[..512].to_vec();
    sum[148..156].copy_from_slice(b"        ");
    let checksum: u32 = sum.iter().map(|byte| u32::from(*byte)).sum();
    huge[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
    let table: [(&str, &[u8]); 6] = [
        ("no tar", b"this is no tar archive at all, whatever its name says"),
        ("cut in a header", &whole[..700]),
        ("cut in a file", &whole[..1030]),
        ("promises 8 GB", &huge),
        ("cut gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xed"),
        ("bad checksum", &[whole[..148].to_vec(), b"000000\0 ".to_vec(), whole[156..].to_vec()].concat()),
    ];
    for (name, bytes) in table {
        let output = host.run_with_stdin("corten import - broken", bytes);
        assert_eq!(output.code(), 1, "{name}: {}", output.stderr());
        assert!(!output.stderr().is_empty(), "{name} is refused without a word");
        host.run("corten images -q broken").prints("");
    }
    host.run_with_stdin("corten load", "no archive").fails_with("").exits(1);
}

#[test]
fn a_bomb_stops_at_the_end_of_the_disk_and_leaves_nothing() {
    let mut host = Host::without_daemon();
    // Enough for a daemon, busybox and the reserve that is never filled, not for what unpacks to 400 MB.
    host.run("mkdir ../data && mount -t tmpfs -o size=140m,mode=700 none ../data").exits(0);
    host.start_daemon();
    host.import_busybox();
    let used = || host.run("df -k --output=used ../data | tail -n 1").line().trim().parse::<u64>().unwrap();
    let before = used();
    host.run("mkdir bomb && truncate -s 400M bomb/zeros && tar -cz bomb | corten import - bomb")
        .fails_with("no space left")
        .exits(1);
    host.run("corten images -q bomb").prints("");
    host.until("the space is free again", || used() < before + 2048);
    host.run("corten run --rm busybox echo still works").prints("still works");
}

#[test]
fn device_nodes_of_an_image_open_nothing() {
    let host = Host::new();
    // The device of the host's own root file system, as far as it has one.
    host.run(
        "mkdir -p root/bin && cp /bin/busybox root/bin/ && mknod root/disk b $(stat -c '%Hd %Ld' /tmp) && \
         mknod root/kmsg c 1 11 && tar -C root -c . | corten import - devices",
    )
    .exits(0);
    for node in ["/disk", "/kmsg"] {
        host.run(&format!("corten run --rm devices /bin/busybox head -c 1 {node}"))
            .fails_with("Operation not permitted");
    }
    host.run("corten rmi devices; rm -r root").exits(0);
}
