//! `cp` against a container that wants to use it.

use std::fs;

use testkit::Host;

use crate::hostile_paths::image;

#[test]
fn a_container_that_exchanges_links_gets_nothing_and_gives_nothing_of_the_host() {
    let host = Host::with_busybox();
    let outside = host.work().join("outside");
    host.file("outside/canary", "SECRET");
    host.file("src/canary", "from the copy");
    let target = outside.display();
    // A folder, and a link to a folder of the host, under one name by turns.
    let exchange = format!(
        "mkdir /a; echo mine >/a/canary; ln -s {target} /b; while :; do mv /a /x; mv /b /a; mv /x /b; done 2>/dev/null"
    );
    host.run(&format!("corten run -d --name job busybox sh -c '{exchange}'")).exits(0);
    for round in 0..40 {
        // Both may fail, for the path changes under them.
        let _ =
            host.run("corten cp src/canary job:/a/canary 2>/dev/null; corten cp src/. job:/a 2>/dev/null");
        let _ = host.run(
            "rm -rf got; corten cp job:/a/canary got 2>/dev/null; corten cp job:/a/. gotten 2>/dev/null",
        );
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "SECRET", "round {round}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "round {round}");
        host.run("cat got/* got gotten/* 2>/dev/null | grep SECRET").exits(1);
        host.run("test -L gotten").exits(1);
    }
    host.run("rm -rf got gotten").exits(0);
}

#[test]
fn mounts_whose_places_are_exchanged_stay_where_they_are() {
    let host = Host::with_busybox();
    host.file("outside/canary", "SECRET");
    host.file("volume/file", "mounted");
    host.file("one", "1");
    let target = host.work().join("outside").display().to_string();
    let exchange = format!(
        "mkdir -p /p/q; ln -s {target} /l; while :; do mv /p /x; ln -s {target} /p; rm /p; mv /x /p; done 2>/dev/null"
    );
    host.run(&format!("corten run -d --name job -v $PWD/volume:/p/q/v busybox sh -c '{exchange}'")).exits(0);
    for round in 0..20 {
        let _ = host.run("corten cp one job:/p/q/v/one 2>/dev/null; corten cp one job:/l/one 2>/dev/null");
        assert_eq!(fs::read_dir(host.work().join("outside")).unwrap().count(), 1, "round {round}");
    }
    host.run("corten kill job").exits(0);
    // Stopped: the mounts are made for the copy alone, and nothing is made on the host for them.
    let _ = host.run("corten cp one job:/p/q/v/two 2>/dev/null; corten cp one job:/l/two 2>/dev/null");
    assert_eq!(fs::read_dir(host.work().join("outside")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(host.work().join("outside/canary")).unwrap(), "SECRET");
}

#[test]
fn nothing_of_the_image_is_loaded_or_run_by_a_copy() {
    let host = Host::with_busybox();
    // Everything that engines were seen to load or run there, each of which would leave a mark.
    let trap = "mkdir -p lib/x86_64-linux-gnu usr/bin usr/lib lib64 && \
        printf '#!/bin/sh\\necho ran >/marked\\n' >usr/bin/xz && chmod 755 usr/bin/xz && \
        for p in tar gzip gunzip unpigz pigz unxz zstd git ps newuidmap; do cp usr/bin/xz usr/bin/$p; cp usr/bin/xz bin/$p; done && \
        for l in libnss_files.so.2 libnss_dns.so.2 libc.so.6 ld-linux-x86-64.so.2; do cp usr/bin/xz lib/$l; cp usr/bin/xz lib/x86_64-linux-gnu/$l; done && \
        printf 'passwd: evil\\nhosts: evil\\n' >etc/nsswitch.conf && printf '/lib\\n' >etc/ld.so.preload";
    image(&host, "trap", trap);
    host.file("file", "content");
    host.run("tar cJf file.tar.xz file && tar czf file.tar.gz file && tar cf file.tar file").exits(0);
    host.run("corten run -d --name job trap sleep 1000 && corten create --name stopped trap true").exits(0);
    for container in ["job", "stopped"] {
        host.run(&format!("corten cp file {container}:/ && corten cp -a file {container}:/tmp; corten cp {container}:/etc/. got"))
            .exits(0);
        for archive in ["file.tar.xz", "file.tar.gz", "file.tar"] {
            // Docker unpacks compressed archives here; whether or not that is refused, nothing may be run for it.
            let _ = host.run(&format!("corten cp - {container}:/ <{archive}"));
        }
        host.run(&format!("corten top job; corten export {container} | tar t | grep -c marked"))
            .stdout_has("0")
            .exits(1);
        host.run(&format!("corten diff {container} | grep marked")).exits(1);
    }
    host.run("test ! -e /marked && rm -rf got").exits(0);
}

#[test]
fn archives_that_reach_out_of_the_container_are_stopped_there() {
    let host = Host::with_busybox();
    host.file("outside/canary", "SECRET");
    let outside = host.work().join("outside");
    let target = outside.display().to_string();
    host.run("corten run -d --name job busybox sh -c 'mkdir /in; sleep 1000'").exits(0);
    host.until("the folder is there", || host.run("corten exec job ls -d /in").code() == 0);
    let mode = fs::metadata(outside.join("canary")).unwrap().permissions();
    host.run(&format!("corten exec job ln -s {target} /in/link")).exits(0);
    for make in [
        // A link, then something through it: in one archive or through the container's own.
        format!("mkdir t && cd t && ln -s {target} l && tar cf ../a.tar l && rm l && mkdir l && echo x >l/canary && tar rf ../a.tar l/canary"),
        "mkdir -p t/link && cd t && echo x >link/canary && tar cf ../a.tar link/canary".to_owned(),
        format!("mkdir t && cd t && echo x >f && tar cf ../a.tar -P --transform 's,f,{target}/canary,' f"),
        format!("mkdir t && cd t && echo x >f && tar cf ../a.tar -P --transform 's,f,../../../../../../../..{target}/canary,' f"),
        "mkdir -p t/link && cd t && echo x >link/canary && chmod 7777 link/canary && tar cf ../a.tar --mode=7777 link/canary".to_owned(),
    ] {
        host.run(&format!("rm -rf t a.tar; ({make})")).exits(0);
        let _ = host.run("corten cp - job:/in <a.tar");
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "SECRET", "{make}");
        assert_eq!(fs::metadata(outside.join("canary")).unwrap().permissions(), mode, "{make}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{make}");
    }
    host.run("corten cp job:/in/link got && test -L got && rm got").exits(0);
    host.run("corten cp -L job:/in/link got").fails_with("Could not find the file");
    host.run("rm -rf t a.tar").exits(0);
}
