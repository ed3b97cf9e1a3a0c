//! Images whose files lie in wait where the engine reads and writes: nothing of the host is read or touched.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use testkit::{Host, Output};

/// Longer than anything here takes; a FIFO that is opened would take for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Imports an image: busybox, and what the script makes in its root directory.
pub(crate) fn image(host: &Host, name: &str, script: &str) {
    let line = format!(
        "rm -rf root && mkdir -p root/bin root/etc && cp /bin/busybox root/bin/ && \
         for a in sh id cat grep ls sleep stat true pwd mount readlink touch; do ln -s busybox root/bin/$a; done && \
         printf 'root:x:0:0::/:/bin/sh\\nwww:x:33:33::/:/bin/sh\\n' >root/etc/passwd && \
         (cd root && {script}) && tar -S -c -C root . | corten import -c 'ENV PATH=/bin' - {name} && rm -rf root"
    );
    host.run(&line).exits(0);
}

/// Files of the host that nobody inside may see or change.
struct Canary {
    folder: PathBuf,
}

impl Canary {
    fn new(host: &Host) -> Self {
        host.file("canary/secret", "evil:x:0:0::/:/bin/sh\n");
        fs::create_dir(host.work().join("canary/empty")).unwrap();
        Self { folder: host.work().join("canary") }
    }

    #[track_caller]
    fn is_untouched(&self, what: &str) {
        let secret = fs::read_to_string(self.folder.join("secret")).unwrap();
        assert_eq!(secret, "evil:x:0:0::/:/bin/sh\n", "{what}");
        assert_eq!(fs::read_dir(self.folder.join("empty")).unwrap().count(), 0, "{what}");
        assert_eq!(fs::read_dir(&self.folder).unwrap().count(), 2, "{what}");
    }

    fn path(&self) -> String {
        self.folder.display().to_string()
    }
}

fn run(host: &Host, arguments: &str) -> Output {
    host.run_within(PATIENCE, &format!("corten run --rm --network none {arguments}"))
}

#[test]
fn a_passwd_that_is_no_small_file_stops_nobody_and_names_nobody() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    let outside = canary.path();
    let up = format!("../../../../../../../..{outside}");
    let who = "grep -e ^Uid -e ^Groups /proc/self/status";
    for (name, script) in [
        ("fifo", "rm etc/passwd && mkfifo etc/passwd etc/group".to_owned()),
        ("folder", "rm etc/passwd && mkdir etc/passwd etc/group".to_owned()),
        ("device", "rm etc/passwd && mknod etc/passwd c 1 5 && mknod etc/group c 1 5".to_owned()),
        ("link", format!("rm etc/passwd && ln -s {outside}/secret etc/passwd")),
        ("up", format!("rm etc/passwd && ln -s {up}/secret etc/passwd")),
        ("folder-link", format!("rm -r etc && ln -s {outside} etc && cp {outside}/secret ./passwd")),
        ("loop", "rm etc/passwd && ln -s passwd etc/passwd".to_owned()),
    ] {
        image(&host, name, &script);
        for user in ["www", "evil"] {
            run(&host, &format!("-u {user} {name} true"))
                .fails_with(&format!("unable to find user {user}"))
                .exits(125);
        }
        run(&host, &format!("-u 5:6 {name} {who}")).prints("Uid:\t5\t5\t5\t5\nGroups:\t6[..]");
        host.run(&format!("corten create --name job -u evil {name} true")).exits(0);
        host.run_within(PATIENCE, "corten start job; corten inspect job >/dev/null && corten rm -f job")
            .exits(0);
        canary.is_untouched(name);
    }
    image(&host, "huge", "truncate -s 1G etc/passwd etc/group");
    for user in ["", "-u www", "-u 5"] {
        run(&host, &format!("{user} huge true"))
            .fails_with("cannot read /etc/passwd of the container: file is larger than 1 MiB")
            .exits(125);
    }
}

#[test]
fn links_where_the_engine_writes_stay_inside() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    let outside = canary.path();
    let up = format!("../../../../../../../..{outside}");
    for target in [&outside, &up] {
        for file in ["hosts", "hostname", "resolv.conf"] {
            image(&host, "trap", &format!("ln -s {target}/secret etc/{file}"));
            run(&host, "trap cat /etc/hostname").stdout_has("").exits(0);
            run(&host, &format!("trap sh -c 'echo x >/etc/{file}; cat {outside}/secret'")).exits(0);
            canary.is_untouched(file);
        }
        image(&host, "trap", &format!("rm -r etc && ln -s {target}/empty etc && ln -s {target}/empty w"));
        for arguments in [
            "trap true",
            "-w /w/made/deep trap sh -c 'echo x >file'",
            "--tmpfs /w/tmp trap touch /w/tmp/x",
            "-v $PWD/canary:/w/bind:ro trap cat /w/bind/secret",
            "--mount type=bind,src=/dev/null,dst=/w/file trap true",
            "--device /dev/null:/w/null trap true",
        ] {
            run(&host, arguments).exits(0);
            canary.is_untouched(arguments);
        }
        let job = host.run("corten run -d --network none trap sleep 1000").line();
        host.run(&format!("corten exec -w /w/made {job} true || true; corten exec {job} touch /w/x"))
            .exits(0);
        host.run(&format!(
            "echo x >file; corten cp file {job}:/w/; corten cp file {job}:/etc/; corten rm -f {job}"
        ))
        .exits(0);
        host.run("rm -f file").exits(0);
        canary.is_untouched("cp");
    }
    image(&host, "pipes", "mkfifo etc/hosts etc/hostname etc/resolv.conf");
    run(&host, "pipes cat /etc/hosts").stdout_has("localhost").exits(0);
}

#[test]
fn links_for_the_kernels_directories_are_refused() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    for directory in ["proc", "sys", "dev"] {
        for target in [format!("{}/empty", canary.path()), "etc".to_owned(), "/".to_owned()] {
            image(&host, "trap", &format!("ln -s {target} {directory}"));
            run(&host, "trap true").fails_with("it must be mounted on an ordinary directory").exits(125);
            run(&host, "--privileged trap true").fails_with("ordinary directory").exits(125);
            canary.is_untouched(directory);
        }
    }
    host.run("corten run --rm -v $PWD/canary:/proc busybox true").fails_with("/proc").exits(125);
    host.run("corten run --rm -v $PWD/canary:/proc/sys busybox true").fails_with("inside /proc").exits(125);
    canary.is_untouched("a bind over /proc");
}

#[test]
fn devices_that_are_replaced_by_links_write_nothing_outside() {
    let host = Host::with_busybox();
    let canary = Canary::new(&host);
    let core_pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for (name, target) in [
        ("null", "/proc/sys/kernel/core_pattern".to_owned()),
        ("console", "/proc/sys/kernel/core_pattern".to_owned()),
        ("null", format!("{}/secret", canary.path())),
        ("console", format!("{}/secret", canary.path())),
        ("pts", format!("{}/empty", canary.path())),
        ("shm", format!("{}/empty", canary.path())),
        ("ptmx", format!("{}/secret", canary.path())),
    ] {
        host.run(&format!("rm -rf dev && mkdir dev && ln -s {target} dev/{name}")).exits(0);
        // Started or refused, in a terminal or not: what counts is what it did.
        for terminal in ["", "-t"] {
            let write = "echo x >/proc/sys/kernel/core_pattern; cat /proc/kcore | head -c 1 | wc -c";
            let output =
                run(&host, &format!("{terminal} -v $PWD/dev:/dev busybox sh -c '{write}' 2>/dev/null"));
            assert!(
                !output.stdout().trim_end().ends_with('1'),
                "a masked file is readable: {}",
                output.stdout()
            );
            assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), core_pattern, "{name}");
            canary.is_untouched(name);
        }
    }
    host.run("rm -rf dev").exits(0);
}

#[test]
fn labels_and_other_data_of_an_image_configure_nothing() {
    let host = Host::with_busybox();
    let labels = "corten.privileged=true com.docker.security=unconfined io.kubernetes.cri.privileged=true \
                  org.corten.mounts=/:/host io.containerd.runc.v2.group=x seccomp=unconfined HostConfig.Privileged=1";
    host.run(&format!(
        "corten create --name base busybox true && corten commit -c 'LABEL {labels}' base labelled"
    ))
    .exits(0);
    host.run("corten create --name plain busybox true && corten create --name marked labelled true").exits(0);
    for format in [
        "{{json .HostConfig}}",
        "{{json .Mounts}}",
        "{{.Config.User}}{{json .Config.Env}}",
        "{{.AppArmorProfile}}",
    ] {
        assert_eq!(host.inspect("plain", format), host.inspect("marked", format), "{format}");
    }
    let status = "grep -e ^Cap -e ^Seccomp -e ^NoNewPrivs /proc/self/status";
    let of = |name: &str| host.run(&format!("corten run --rm {name} {status}")).exits(0).stdout();
    assert_eq!(of("busybox"), of("labelled"));
    assert_eq!(host.inspect("marked", "{{index .Config.Labels \"corten.privileged\"}}"), "true");
    // Neither does the environment of whoever runs the command, or the engine.
    host.run("SECRET_OF_CLIENT=1 LD_PRELOAD= corten run --rm --hostname h busybox env | sort")
        .prints("HOME=/root\nHOSTNAME=h\nPATH=[..]");
}
