//! `ps`: filters, formats, sizes, order.

use testkit::Host;

/// `busybox` containers: `up` runs, `made` was created, `three` ended with 3, `child` is of an image made from another.
fn host_with_containers() -> Host {
    let host = Host::with_busybox();
    host.file("big/file", vec![b'x'; 1000]);
    host.run("tar -C big -c file | corten import -c 'CMD [\"/x\"]' - other:1").exits(0);
    host.run(
        "corten run -d --name up --network none --label l=1 --expose 80 -v /tmp:/mnt busybox \
         sh -c 'head -c 2000 /dev/zero > /own; echo done; sleep 1000'",
    )
    .exits(0);
    host.run("corten create --name made --label l=2 busybox true").exits(0);
    host.run("corten run --name three busybox sh -c 'exit 3'").exits(3);
    host.run("corten create --name child other:1").exits(0);
    host.until("the file is written", || host.run("corten logs up").stdout() == "done\n");
    host
}

#[test]
fn filters_choose_and_bad_ones_are_told() {
    let host = host_with_containers();
    for (filter, want) in [
        ("name=thr", "three"),
        ("name=^/up$", "up"),
        ("name='('", ""),
        ("status=running", "up"),
        ("status=created --filter status=exited", "child three made"),
        ("status=dead", ""),
        ("exited=3", "three"),
        ("exited=0", ""),
        ("label=l", "made up"),
        ("label=l=1", "up"),
        ("before=three", "made up"),
        ("since=made", "child three"),
        ("ancestor=busybox", "three made up"),
        ("ancestor=other:1", "child"),
        ("ancestor=nope", ""),
        ("volume=/mnt", "up"),
        ("volume=/tmp", "up"),
        ("volume=/nope", ""),
        ("network=none", "up"),
        ("expose=80", "up"),
        ("expose=70-90/tcp", "up"),
        ("expose=80/udp", ""),
        ("publish=80", ""),
        ("health=none", "child three made up"),
        ("health=healthy", ""),
        ("is-task=false", "child three made up"),
        ("is-task=true", ""),
        ("isolation=default", "child three made up"),
    ] {
        let line = format!("corten ps -a --format '{{{{.Names}}}}' --filter {filter} | xargs");
        assert_eq!(host.run(&line).line(), want, "{filter}");
    }
    // Only a state that was asked for brings what does not run.
    host.run("corten ps -q --filter status=exited | wc -l").prints("1");
    host.run("corten ps -q --filter exited=3").prints("");
    for (filter, error) in [
        ("foo=x", "invalid filter 'foo'"),
        (
            "status=x",
            "invalid filter 'status=x': invalid value for state (x): must be one of created, running, paused, restarting, \
             removing, exited, dead",
        ),
        ("health=x", "invalid value for health (x): must be one of none, starting, healthy, unhealthy"),
        ("exited=x", "invalid filter 'exited=x': strconv.Atoi: parsing \"x\": invalid syntax"),
        ("is-task=x", "invalid filter 'is-task=[x]'"),
        ("before=nope", "No such container: nope"),
        ("publish=x", "error while looking up for publish x"),
        ("nothing", "bad format of filter (expected name=value)"),
    ] {
        host.run(&format!("corten ps --filter {filter}")).fails_with(error);
    }
}

#[test]
fn the_newest_come_first_and_can_be_counted_off() {
    let host = host_with_containers();
    let names =
        |flags: &str| host.run(&format!("corten ps --format '{{{{.Names}}}}' {flags} | xargs")).line();
    assert_eq!(names(""), "up");
    assert_eq!(names("-a"), "child three made up");
    assert_eq!(names("-n 2"), "child three");
    assert_eq!(names("-l"), "child");
    assert_eq!(names("-n 1 --filter name=made"), "made");
    host.run("corten ps -lq --no-trunc").prints("[ID64]");
    host.run("corten ps -lq").prints("[ID]");
    let limited = host.api("GET", "/containers/json?limit=2", None).is(200).json();
    assert_eq!(limited.as_array().map(Vec::len), Some(2));
    let running = host.api("GET", "/containers/json?limit=-5", None).is(200).json();
    assert_eq!(running.as_array().map(Vec::len), Some(1));
    host.api("GET", "/containers/json?limit=x", None).is(500);
}

#[test]
fn sizes_are_of_own_files_and_of_all() {
    let host = host_with_containers();
    let busybox: i64 = host.inspect("busybox", "{{.Size}}").parse().unwrap();
    let list = host.api("GET", "/containers/json?size=1", None).is(200).json();
    assert_eq!((&list[0]["SizeRw"], &list[0]["SizeRootFs"]), (&2000.into(), &(busybox + 2000).into()));
    host.run("corten ps -as --format '{{.Names}} {{.Size}}'").stdout_has("up 2kB (virtual [SIZE])");
    host.run("corten ps -s").stdout_has("NAMES     SIZE\n").stdout_has("2kB (virtual [SIZE])");
    host.run("corten inspect --size -f '{{.SizeRw}}' up").prints("2000");
    assert!(host.api("GET", "/containers/json", None).json()[0]["SizeRw"].is_null());
}

#[test]
fn formats_are_tables_json_or_templates() {
    let host = host_with_containers();
    host.run("corten ps --format 'table {{.Names}}\\t{{.Label \"l\"}}\\t{{.Mounts}}\\t{{.Networks}}'")
        .prints("NAMES     l         MOUNTS    NETWORKS\nup        1         /tmp      none");
    let json = host.run("corten ps --no-trunc --format json").line();
    let json: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    let members: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        members,
        [
            "Command",
            "CreatedAt",
            "ID",
            "Image",
            "Labels",
            "LocalVolumes",
            "Mounts",
            "Names",
            "Networks",
            "Platform",
            "Ports",
            "RunningFor",
            "Size",
            "State",
            "Status"
        ]
    );
    assert_eq!(json["State"], "running");
    host.run("corten ps --format '{{.Foo}}'").fails_with("can't evaluate field Foo").exits(1);
    host.run("corten ps --format '{{.Names'").fails_with("unclosed action").exits(1);
    host.run("corten ps -q --format '{{.Names}}'")
        .exits(0)
        .stderr_has("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    host.run("corten ps extra").fails_with("'corten ps' accepts no arguments");
}
