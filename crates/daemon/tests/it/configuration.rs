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
    let file = write(&host, "other.json", r#"{"bip": "10.0.0.1/24"}"#);
    host.run(&format!("corten daemon --config-file {file} --validate")).exits(1).stderr_has("bip");
}

#[test]
fn sighup_reads_the_log_level_again() {
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
    write(&host, "config.toml", "log-level = \"debug\"\n");
    daemon.signal(Signal::HUP);
    host.until("the level is debug", || info()["Debug"] == json!(true));
    write(&host, "config.toml", "log-level = \"loud\"\n");
    daemon.signal(Signal::HUP);
    daemon.expect_stderr("configuration not read again");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), 0);
}
