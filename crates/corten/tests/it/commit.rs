//! `commit` and `save` as a user drives them.

use testkit::Host;

/// Every kind of change that a layer can say.
const CHANGES: &str = "mkdir -p /new/d; echo x >/new/f; ln /new/f /new/h; ln -s /nowhere /new/l; mkfifo /new/p; \
    mknod /new/n c 1 3; chown 7:8 /new/d; chmod 4711 /new/f; \
    rm /etc/services; rm -r /var/lib; mkdir /var/lib; touch /var/lib/x; rm -r /home; rm -r /var/www; echo f >/var/www";

/// Prints what [`CHANGES`] made.
const SHOW: &str = "stat -c \"%n %F %a %u:%g %h\" /new/* /var/lib/* /var/www; readlink /new/l; ls -d /etc/services /home 2>&1 || true";

#[test]
fn an_image_of_a_container_has_every_change() {
    let host = Host::with_busybox();
    host.run(&format!(
        "corten run --name job busybox sh -c '{CHANGES}; echo x >/dev/shm/f; touch /tmp/made'"
    ))
    .exits(0);
    host.run("corten commit job changed:1").prints("sha256:[ID64]");
    let original = "corten start -a show";
    host.run(&format!("corten create --name show busybox sh -c '{CHANGES}; {SHOW}'")).exits(0);
    let wanted = host.run(original).exits(0).stdout();
    assert!(wanted.contains("/new/f regular file 4711 0:0 2"), "{wanted}");
    host.run(&format!("corten run --rm changed:1 sh -c '{SHOW}'")).prints(wanted.trim_end());
    host.run("corten run --rm changed:1 sh -c 'test /new/f -ef /new/h && ls /dev/shm'").prints("");
    host.run("corten image inspect -f '{{len .RootFS.Layers}} {{.Parent}}' changed:1")
        .prints(&format!("2 {}", host.inspect("busybox", "{{.Id}}")));
    // Once more on top: what was removed stays removed, what was added is not added again.
    host.run("corten run --name again changed:1 sh -c 'rm /new/h; touch /home'").exits(0);
    host.run("corten commit again changed:2").exits(0);
    host.run("corten run --rm changed:2 sh -c 'ls /new; stat -c %F /home; ls /etc/services'")
        .stdout_has("d\nf\nl\nn\np\nregular empty file")
        .exits(1);
    host.run("corten diff $(corten create changed:2)").prints("");
}

#[test]
fn an_image_of_a_container_has_its_configuration() {
    let host = Host::with_busybox();
    host.run("corten create --name job -h box -u 5:6 -e X=1 -l of=user -w /tmp --stop-signal INT busybox sh -c true").exits(0);
    let changes =
        "-c 'CMD [\"x\", \"y\"]' -c 'ENV Q=1 X=2' -c 'LABEL l=2' -c 'EXPOSE 5' --change 'WORKDIR sub'";
    host.run(&format!("corten commit -a 'Me <me@x>' -m 'a message' {changes} job reg.example:5000/a/b"))
        .exits(0);
    for (format, wanted) in [
        (
            "{{.RepoTags}} {{.Author}} {{.Comment}} {{.Os}}",
            "[reg.example:5000/a/b:latest] Me <me@x> a message linux",
        ),
        ("{{json .Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}}", "[\"x\",\"y\"] 5:6 /tmp/sub"),
        (
            "{{json .Config.Env}}",
            "[\"X=2\",\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"Q=1\"]",
        ),
        (
            "{{json .Config.Labels}}{{json .Config.ExposedPorts}}",
            "{\"l\":\"2\",\"of\":\"user\"}{\"5/tcp\":{}}",
        ),
        ("{{.Config.StopSignal}} {{len .RootFS.Layers}}", "INT 1"),
    ] {
        host.run(&format!("corten image inspect -f '{format}' reg.example:5000/a/b")).prints(wanted);
    }
    host.run(
        "corten history --no-trunc --format '{{.CreatedBy}}|{{.Size}}|{{.Comment}}' reg.example:5000/a/b",
    )
    .prints("sh -c true|0B|a message\n|[SIZE]|Imported from -");
    // An entry point makes the arguments meaningless that were meant for another.
    host.run("corten commit -c 'ENTRYPOINT [\"e\"]' job e").exits(0);
    host.run("corten image inspect -f '{{json .Config.Entrypoint}} {{json .Config.Cmd}}' e")
        .prints("[\"e\"] null");
    let body = serde_json::json!({"Env": ["Z=9"], "User": "9", "Labels": {"q": "r"}});
    host.api("POST", "/commit?container=job&repo=body&tag=1", Some(&body)).is(201);
    host.run("corten image inspect -f '{{.Config.Env}} {{.Config.User}} {{.Config.Labels}}' body:1").prints(
        "[Z=9 X=1 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin] 9 map[of:user q:r]",
    );
}

#[test]
fn what_cannot_be_committed_is_refused_and_leaves_nothing() {
    let host = Host::with_busybox();
    host.run("corten create --name job busybox true").exits(0);
    let images = host.run("corten images -aq").stdout();
    let digest = "0".repeat(64);
    for (operands, wanted) in [
        ("none", "No such container: none"),
        ("-c 'RUN x' job", "RUN is not a valid change command"),
        ("-c 'EXPOSE x' job", "Invalid containerPort: x"),
        ("job x:y:z", "invalid reference format"),
        ("job sha256", "refusing to create an ambiguous tag using digest algorithm as name"),
        (&format!("job a@sha256:{digest}"), "refusing to create a tag with a digest reference"),
        (&format!("job {digest}"), "cannot specify 64-byte hexadecimal strings"),
        ("", "'corten commit' requires at least 1 and at most 2 arguments"),
        ("a b c", "'corten commit' requires at least 1 and at most 2 arguments"),
    ] {
        host.run(&format!("corten commit {operands}")).fails_with(wanted).exits(1);
    }
    let message = |target: &str| host.api("POST", target, None).is(400).json()["message"].clone();
    assert_eq!(message("/commit"), "invalid name or ID supplied: \"\"");
    assert_eq!(host.run("corten images -aq").stdout(), images);
}

#[test]
fn a_container_is_paused_while_its_files_are_read() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    let said = |line: &str| {
        let since = host.run("date +%s.%N").line();
        host.run(line).exits(0);
        let format = "'{{.Type}} {{.Action}}'";
        host.run(&format!("corten events --since {since} --until $(date +%s.%N) --format {format}")).line()
    };
    assert_eq!(
        said("corten commit job named"),
        "container pause\nimage create\nimage tag\ncontainer commit\ncontainer unpause"
    );
    let unpaused = "image create\ncontainer commit";
    assert_eq!(said("corten commit --no-pause job"), unpaused);
    assert_eq!(said("corten commit --pause=false job"), unpaused);
    assert_eq!(host.inspect("job", "{{.State.Status}}"), "running");
    host.api("POST", "/containers/job/pause", None).is(204);
    assert_eq!(said("corten commit -p job"), unpaused);
    assert_eq!(host.inspect("job", "{{.State.Status}}"), "paused");
    host.api("POST", "/containers/job/unpause", None).is(204);
}

#[test]
fn a_daemon_that_dies_in_a_commit_leaves_no_paused_container_and_no_image() {
    let mut host = Host::with_busybox();
    host.run("corten run -d --name job busybox sh -c 'dd if=/dev/urandom of=/big bs=1M count=256 2>&1; echo ready; exec sleep 1000'")
        .exits(0);
    host.until("the file is there", || host.run("corten logs job").stdout().contains("ready"));
    let images = host.run("corten images -aq").stdout();
    let mut commit = host.spawn("corten commit job big");
    host.until("it is being read", || host.inspect("job", "{{.State.Status}}") == "paused");
    host.kill_daemon();
    assert_eq!(commit.exit_code(), 1);
    host.start_daemon();
    assert_eq!(host.inspect("job", "{{.State.Status}}"), "running");
    host.run("corten exec job echo alive").prints("alive");
    assert_eq!(host.run("corten images -aq").stdout(), images);
}

#[test]
fn images_are_saved_and_come_back_with_their_names() {
    let host = Host::with_busybox();
    host.run("corten run --name job busybox sh -c 'echo x >/made; rm /etc/services'").exits(0);
    let id = host.run("corten commit job changed:1").line();
    host.run("corten tag changed:1 other/name:2").exits(0);
    host.run("corten save -o all.tar changed:1 other/name:2").prints("");
    host.run(
        "corten save changed:1 | tar t | grep -c -e '^manifest.json$' -e '^index.json$' -e '^oci-layout$'",
    )
    .prints("3");
    host.run("corten save changed:1 other/name:2 | cmp - all.tar").prints("");
    host.run("corten rm job && corten rmi changed:1 other/name:2").exits(0);
    host.run("corten load -q -i all.tar")
        .stdout_has("Loaded image: changed:1")
        .stdout_has("Loaded image: other/name:2");
    assert_eq!(host.inspect("other/name:2", "{{.Id}}"), id);
    host.run("corten run --rm changed:1 sh -c 'cat /made; ls /etc/services'").stdout_has("x").exits(1);
    for (names, status) in [
        ("busybox/get", 200),
        ("get?names=busybox&names=changed:1", 200),
        ("none/get", 404),
        ("get?names=none", 404),
    ] {
        let answer = host.api("GET", &format!("/images/{names}"), None).is(status);
        assert_eq!(
            status == 404,
            String::from_utf8_lossy(&answer.body).contains("reference does not exist"),
            "{names}"
        );
    }
    host.run("corten save none").fails_with("No such image: none").exits(1);
    host.run("corten save --platform linux/s390x busybox")
        .fails_with("no suitable export target found for platform");
}
