//! The configuration file, and reading it again.

use std::fs::File;
use std::io::Write;

use rustix::process::Signal;
use serde_json::json;
use testkit::Host;

fn write(host: &Host, name: &str, text: &str) -> String {
    let path = host.root().join(name);
    File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path.display().to_string()
}

#[test]
fn a_mistake_is_named_with_its_line() {
    let host = Host::without_daemon();
    let file = write(&host, "config.toml", "debug = true\ndata-rot = \"/x\"\n");
    host.run(&format!("corten daemon --config-file {file} --validate"))
        .exits(1)
        .stderr_has(&file)
        .stderr_has("line 2")
        .stderr_has("data-rot");
    let file = write(&host, "good.toml", "debug = true\n");
    host.run(&format!("corten daemon --config-file {file} --validate"))
        .exits(0)
        .stderr_has("configuration OK");
    host.run("corten daemon --config-file /nonexistent --validate").exits(1).stderr_has("cannot read");
}

#[test]
fn docker_s_own_file_is_read() {
    let host = Host::without_daemon();
    let file = write(
        &host,
        "daemon.json",
        r#"{"userland-proxy": false, "log-opts": {"max-size": "1m"}, "labels": ["a=b"]}"#,
    );
    host.run(&format!("corten daemon --config-file {file} --validate")).exits(0);
    // What cannot be honoured is named; where safety hangs on it, it is refused.
    let file = write(&host, "other.json", r#"{"bip": "10.0.0.1/24"}"#);
    host.run(&format!("corten daemon --config-file {file} --validate"))
        .exits(0)
        .stderr_has("warning: bip is not honoured: this version has no bridge network")
        .stderr_has("configuration OK");
    for key in ["userns-remap", "tlsverify", "authorization-plugins", "no-such-key"] {
        let file = write(&host, "unsafe.json", &format!("{{\"{key}\": true}}"));
        host.run(&format!("corten daemon --config-file {file} --validate")).exits(1).stderr_has(key);
    }
    for (text, error) in [
        (r#"{"default-shm-size": "much"}"#, "invalid default shm size \"much\""),
        (r#"{"seccomp-profile": "/nonexistent"}"#, "cannot read seccomp profile /nonexistent"),
        (r#"{"labels": ["x"]}"#, "invalid label \"x\": expected KEY=VALUE"),
        (r#"{"log-driver": "syslog"}"#, "only json-file is"),
        (r#"{"default-ulimits": {"nofle": {"Hard": 1, "Soft": 1}}}"#, "nofle"),
    ] {
        let file = write(&host, "wrong.json", text);
        host.run(&format!("corten daemon --config-file {file} --validate")).exits(1).stderr_has(error);
    }
}

#[test]
fn sighup_reads_log_level_and_labels_again() {
    let host = Host::without_daemon();
    let root = host.root().display().to_string();
    let file = write(&host, "config.toml", "log-level = \"info\"\nlabels = [\"a=b\"]\n");
    let mut daemon = host.spawn(&format!(
        "corten daemon --config-file {file} --data-root {root}/data --exec-root {root}/exec -H unix://{}",
        host.socket().display()
    ));
    daemon.expect_stderr("daemon is ready");
    let info = || host.api("GET", "/info", None).json();
    assert_eq!((&info()["Debug"], &info()["Labels"]), (&json!(false), &json!(["a=b"])));
    write(&host, "config.toml", "log-level = \"debug\"\nlabels = [\"c=d\"]\n");
    let events = host.spawn(
        "corten events --filter type=daemon \
         --format '{{.Action}} {{.Actor.Attributes.debug}} {{.Actor.Attributes.labels}}'",
    );
    host.until("somebody listens", || info()["NEventsListener"] == json!(1));
    daemon.signal(Signal::HUP);
    host.until("the level is debug", || info()["Debug"] == json!(true));
    host.until("the listener is told", || events.stdout() == "reload true [\"c=d\"]\n");
    drop(events);
    assert_eq!(info()["Labels"], json!(["c=d"]));
    write(&host, "config.toml", "log-level = \"loud\"\nlabels = [\"e=f\"]\n");
    daemon.signal(Signal::HUP);
    daemon.expect_stderr("configuration not read again");
    // A file that cannot be used changes nothing at all.
    assert_eq!((&info()["Debug"], &info()["Labels"]), (&json!(true), &json!(["c=d"])));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), 0);
}

#[test]
fn containers_get_what_the_configuration_gives_by_default() {
    let mut host = Host::without_daemon();
    let profile = write(
        &host,
        "profile.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"#,
    );
    let text = json!({
        "default-shm-size": "32M",
        "no-new-privileges": true,
        "seccomp-profile": profile,
        "init": true,
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 100, "Hard": 200}},
    });
    let file = write(&host, "daemon.json", &text.to_string());
    host.set_flags(&format!("--config-file {file}"));
    host.start_daemon();
    host.import_busybox();
    let run =
        |flags: &str, script: &str| host.run(&format!("corten run --rm {flags} busybox sh -c '{script}'"));
    let facts = "grep NoNewPrivs /proc/self/status | cut -f2; ulimit -n; df -k /dev/shm | tail -n 1 | xargs | cut -d\" \" -f2";
    run("", facts).prints("1\n100\n32768");
    run("--security-opt no-new-privileges=false --ulimit nofile=300 --shm-size 16m", facts)
        .prints("0\n300\n16384");
    run("", "mkdir /x").fails_with("Operation not permitted");
    run("--security-opt seccomp=builtin", "mkdir /x").exits(0);
    run("", "test $$ != 1").exits(0);
    run("--init=false", "test $$ = 1").exits(0);
    host.run("corten rmi busybox").exits(0);
}
