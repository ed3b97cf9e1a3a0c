//! `cp`, `diff` and `export` as a user drives them.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use testkit::Host;

/// A host with a running container `job` that has `/o` with a file, a folder and links, and a folder `src` beside it.
fn host() -> Host {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    let script = "mkdir -p /o/s; echo out >/o/f; echo deep >/o/s/d; ln -s f /o/l; ln -s /o /odir; ln -s /gone /gone-link";
    host.run(&format!("corten exec job sh -c '{script}'")).exits(0);
    host.file("src/one", "one\n");
    host.file("src/sub/two", "two\n");
    symlink("one", host.work().join("src/ln")).unwrap();
    symlink("src", host.work().join("srcln")).unwrap();
    host
}

/// Everything below a folder: files with their content, links with their target, folders with a slash.
fn listing(folder: &Path) -> String {
    let mut lines = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if let Ok(target) = fs::read_link(&path) {
                lines.push(format!("{name}->{}", target.display()));
            } else if path.is_dir() {
                lines.push(format!("{name}/"));
                folders.push(path);
            } else {
                lines.push(format!("{name}={}", fs::read_to_string(&path).unwrap().trim_end()));
            }
        }
    }
    lines.sort();
    lines.join(" ")
}

#[test]
fn a_destination_in_a_container_decides_what_a_copy_becomes() {
    let host = host();
    let show = "find . | sort | while read f; do test -L $f && echo \"$f->$(readlink $f)\" && continue; \
                test -d $f && echo \"$f/\" || echo \"$f=$(cat $f)\"; done";
    for (operands, wanted) in [
        ("src/one job:/t", "./ ./f=old ./lf->f ./ld->d ./d/ ./one=one"),
        ("src/one job:/t/new", "./ ./f=old ./lf->f ./ld->d ./d/ ./new=one"),
        ("src/one job:/t/f", "./ ./f=one ./lf->f ./ld->d ./d/"),
        ("src/one job:/t/lf", "./ ./f=one ./lf->f ./ld->d ./d/"),
        ("src/one job:/t/ld", "./ ./f=old ./lf->f ./ld->d ./d/ ./d/one=one"),
        ("src/one job:t/rel", "./ ./f=old ./lf->f ./ld->d ./d/ ./rel=one"),
        (
            "src job:/t",
            "./ ./f=old ./lf->f ./ld->d ./d/ ./src/ ./src/one=one ./src/ln->one ./src/sub/ ./src/sub/two=two",
        ),
        (
            "src/. job:/t/new",
            "./ ./f=old ./lf->f ./ld->d ./d/ ./new/ ./new/one=one ./new/ln->one ./new/sub/ ./new/sub/two=two",
        ),
        ("src/. job:/t", "./ ./f=old ./lf->f ./ld->d ./d/ ./one=one ./ln->one ./sub/ ./sub/two=two"),
        ("srcln job:/t", "./ ./f=old ./lf->f ./ld->d ./d/ ./srcln->src"),
        (
            "-L srcln job:/t",
            "./ ./f=old ./lf->f ./ld->d ./d/ ./srcln/ ./srcln/one=one ./srcln/ln->one ./srcln/sub/ ./srcln/sub/two=two",
        ),
    ] {
        host.run(
            "corten exec job sh -c 'rm -rf /t; mkdir -p /t/d; cd /t; echo old >f; ln -s f lf; ln -s d ld'",
        )
        .exits(0);
        host.run(&format!("corten cp {operands}")).prints("");
        let found = host.run(&format!("corten exec -w /t job sh -c '{show}'")).stdout();
        let mut found: Vec<_> = found.lines().collect();
        let mut wanted: Vec<_> = wanted.split(' ').collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "cp {operands}");
    }
}

#[test]
fn a_destination_on_this_machine_decides_what_a_copy_becomes() {
    let host = host();
    let target = host.work().join("dst");
    for (operands, wanted) in [
        ("job:/o/f dst", "d/ f=out ld->d lf->f"),
        ("job:/o/f dst/new", "d/ f=old ld->d lf->f new=out"),
        ("job:/o/f dst/lf", "d/ f=out ld->d lf->f"),
        ("job:/o/f dst/ld", "d/ d/f=out f=old ld->d lf->f"),
        ("job:/o dst", "d/ f=old ld->d lf->f o/ o/f=out o/l->f o/s/ o/s/d=deep"),
        ("job:/o dst/new", "d/ f=old ld->d lf->f new/ new/f=out new/l->f new/s/ new/s/d=deep"),
        ("job:/o/. dst/d", "d/ d/f=out d/l->f d/s/ d/s/d=deep f=old ld->d lf->f"),
        ("job:/o/l dst", "d/ f=old l->f ld->d lf->f"),
        ("-L job:/o/l dst", "d/ f=old l=out ld->d lf->f"),
        ("job:/odir dst", "d/ f=old ld->d lf->f odir->/o"),
        ("job:/odir/ dst", "d/ f=old ld->d lf->f odir/ odir/f=out odir/l->f odir/s/ odir/s/d=deep"),
        ("-L job:/odir dst", "d/ f=old ld->d lf->f odir/ odir/f=out odir/l->f odir/s/ odir/s/d=deep"),
    ] {
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(target.join("d")).unwrap();
        host.file("dst/f", "old\n");
        symlink("d", target.join("ld")).unwrap();
        symlink("f", target.join("lf")).unwrap();
        host.run(&format!("corten cp {operands}")).prints("");
        assert_eq!(listing(&target), wanted, "cp {operands}");
    }
}

#[test]
fn what_cannot_be_copied_is_refused_in_dockers_words() {
    let host = host();
    let work = host.work().display().to_string();
    for (operands, wanted) in [
        ("job:/none dst", "Could not find the file /none in container job"),
        ("-L job:/gone-link .", "Could not find the file /gone in container job"),
        ("job:/o/f/ .", "lstat /o/f/: not a directory"),
        ("job:/dev/null .", "Could not find the file /dev/null in container job"),
        ("job:/o src/one", "cannot copy directory"),
        ("job:/o/f none/", "no such directory"),
        ("job:/o/f no/such", &format!("invalid output path: directory \"{work}/no\" does not exist")),
        ("src/one job:/t/no/such", "Could not find the file /t/no in container job"),
        ("src/one job:/new/", "no such directory"),
        ("src job:/o/f", "cannot copy directory"),
        ("src/one/ job:/o", "not a directory"),
        ("none job:/o", &format!("lstat {work}/none: no such file or directory")),
        ("src/one none:/x", "No such container: none"),
        ("none:/x .", "No such container: none"),
        ("src/one dst", "must specify at least one container source"),
        ("job:/o job:/p", "copying between containers is not supported"),
        ("- job:/o/f", "destination \"job:/o/f\" must be a directory"),
    ] {
        host.run(&format!("corten cp {operands} </dev/null")).fails_with(wanted).exits(1);
    }
    host.run("corten cp job:/o").stderr_has("'corten cp' requires 2 arguments").exits(1);
    host.run("echo garbage | corten cp - job:/o").fails_with("unexpected EOF").exits(1);
}

#[test]
fn archives_are_streamed_and_owners_kept() {
    let host = host();
    host.run("corten cp job:/o/. - | tar t").prints("./\n./f\n./l\n./s/\n./s/d");
    host.run("tar c --owner=33 --group=44 -C src one | corten cp - job:/o").prints("");
    host.run("corten exec job stat -c %u:%g /o/one").prints("33:44");
    host.run("corten run -d --name other -u 7:8 busybox sleep 1000").exits(0);
    host.run("tar c --owner=33 --group=44 -C src one | corten cp -a - other:/tmp").prints("");
    host.run("corten exec other stat -c %u:%g /tmp/one").prints("7:8");
    host.run("corten exec job chown 33:44 /o/f").exits(0);
    host.run("corten cp job:/o/f .").prints("");
    assert_eq!(fs::metadata(host.work().join("f")).unwrap().uid(), 0, "files belong to whoever copies");
    let mut terminal = host.terminal("corten cp src/one job:/o");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(terminal.stdout(), "Successfully copied 2.05kB to job:/o\r\n");
    let mut quiet = host.terminal("corten cp -q src/one job:/o");
    assert_eq!((quiet.exit_code(), quiet.stdout().as_str()), (0, ""));
}

#[test]
fn copies_survive_in_a_container_that_starts_and_stops() {
    let host = Host::with_busybox();
    host.file("one", "1\n");
    host.run("corten create --name job busybox cat /one").exits(0);
    host.run("corten cp one job:/").prints("");
    host.run("corten start -a job").prints("1");
    host.file("one", "2\n");
    host.run("corten cp one job:/").prints("");
    host.run("corten start -a job").prints("2");
    host.run("corten cp job:/one -").exits(0);
    host.run("corten diff job").stdout_has("A /one");
}

#[test]
fn differences_are_listed_with_their_folders() {
    let host = Host::with_busybox();
    host.run("corten create --name job busybox sh -c 'mkdir /new; echo x >/new/f; rm /etc/services; echo >>/etc/nsswitch.conf'")
        .exits(0);
    host.run("corten diff job").prints("");
    assert_eq!(host.api("GET", "/containers/job/changes", None).is(200).json(), serde_json::Value::Null);
    host.run("corten start -a job").exits(0);
    host.run("corten diff job").prints("C /etc\nC /etc/nsswitch.conf\nD /etc/services\nA /new\nA /new/f");
    host.run("corten container diff none").fails_with("No such container: none").exits(1);
}

#[test]
fn an_export_is_a_root_file_system() {
    let host = Host::with_busybox();
    host.run("corten run --name job busybox sh -c 'echo x >/made; rm /etc/services'").exits(0);
    host.run("corten export job | tar x -O made").prints("x");
    host.run("corten export -o all.tar job").prints("");
    assert_eq!(fs::metadata(host.work().join("all.tar")).unwrap().mode() & 0o777, 0o600);
    host.run("tar tf all.tar | grep -c -e '^etc/services$' -e '^etc/passwd$'").prints("1");
    host.run("corten import all.tar again:1").exits(0);
    host.run("corten run --rm again:1 cat /made").prints("x");
    host.run("corten export -o none/x job").fails_with("failed to export container: invalid output path");
    host.run("corten export none").fails_with("No such container: none");
}
