//! Attach, exec, logs, events and wait as clients of every kind use them.

use std::fs;

use serde_json::{Value, json};
use testkit::Host;

use crate::client::{Connection, ask, import};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// A host with an image and a running container `cc`.
fn host_with_container(command: &[&str], tty: bool) -> Host {
    let host = Host::new();
    import(&host.socket(), "busybox", testkit::busybox::rootfs_tar());
    create(&host, "cc", command, tty);
    host.api("POST", "/containers/cc/start", None).is(204);
    host
}

fn create(host: &Host, name: &str, command: &[&str], tty: bool) {
    let request = json!({
        "Image": "busybox", "Cmd": command, "Tty": tty, "OpenStdin": true, "StdinOnce": true,
        "AttachStdin": true, "AttachStdout": true, "AttachStderr": true,
        "HostConfig": {"NetworkMode": "none"},
    });
    host.api("POST", &format!("/containers/create?name={name}"), Some(&request)).is(201);
}

/// Removes what the test made, so that nothing is left on its host.
fn clean(host: &Host, names: &[&str]) {
    for name in names {
        host.api("DELETE", &format!("/containers/{name}?force=1"), None).is(204);
    }
    host.api("DELETE", "/images/busybox", None).is(200);
}

fn exec(host: &Host, command: &[&str], stdin: bool) -> String {
    let request = json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true, "AttachStdin": stdin});
    let answer = host.api("POST", "/containers/cc/exec", Some(&request)).is(201).json();
    answer["Id"].as_str().unwrap().to_owned()
}

fn frame(stream: u8, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[stream, 0, 0, 0, 0, 0, 0, length][..], text.as_bytes()].concat()
}

#[test]
fn an_exec_s_stream_is_handed_over_with_and_without_an_upgrade() {
    let host = host_with_container(&["sleep", "1000"], false);
    for (version, upgrade, path, line, kind) in [
        ("1.1", UPGRADE, "", "HTTP/1.1 101 UPGRADED", "multiplexed"),
        ("1.1", UPGRADE, "/v1.41", "HTTP/1.1 101 UPGRADED", "raw"),
        ("1.1", "", "", "HTTP/1.1 200 OK", "raw"),
        ("1.0", "", "", "HTTP/1.1 200 OK", "raw"),
    ] {
        let id = exec(&host, &["sh", "-c", "cat; echo end >&2"], true);
        let mut connection = Connection::open(&host.socket());
        connection.send(format!(
            "POST {path}/exec/{id}/start HTTP/{version}\r\nHost: d\r\n{upgrade}Content-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n{{}}early\n"
        ));
        let head = connection.until("\r\n\r\n");
        assert!(head.starts_with(&format!("{line}\r\n")), "{head}");
        assert!(
            head.contains(&format!("\r\nContent-Type: application/vnd.docker.{kind}-stream\r\n")),
            "{head}"
        );
        assert!(!head.contains("Content-Length") && !head.contains("Transfer-Encoding"), "{head}");
        connection.send("late\n");
        connection.half_close();
        let output = connection.rest();
        let stdout: Vec<u8> = [frame(1, "early\nlate\n"), frame(2, "end\n")].concat();
        let apart = [frame(1, "early\n"), frame(1, "late\n"), frame(2, "end\n")].concat();
        assert!(output == stdout || output == apart, "{:?}", String::from_utf8_lossy(&output));
    }
    clean(&host, &["cc"]);
}

#[test]
fn an_exec_that_cannot_start_is_told_on_its_stream_or_as_json_when_detached() {
    let host = host_with_container(&["sleep", "1000"], false);
    let id = exec(&host, &["nosuch"], false);
    let mut connection = Connection::open(&host.socket());
    connection.post(&format!("/exec/{id}/start"), UPGRADE, "{}");
    assert!(connection.until("\r\n\r\n").starts_with("HTTP/1.1 101 UPGRADED\r\n"));
    let text = String::from_utf8_lossy(&connection.rest()).into_owned();
    assert!(text.contains("executable file not found in $PATH") && text.ends_with("\r\n"), "{text:?}");
    assert_eq!(host.api("GET", &format!("/exec/{id}/json"), None).json()["ExitCode"], 127);

    let mut connection = Connection::open(&host.socket());
    connection.post(&format!("/exec/{id}/start"), UPGRADE, "{}");
    connection.until("\r\n\r\n");
    let text = String::from_utf8_lossy(&connection.rest()).into_owned();
    assert!(text.ends_with(&format!("exec command {id} has already run\r\n")), "{text:?}");
    let detached = json!({"Detach": true});
    let (status, text) = ask(&host.socket(), "POST", &format!("/exec/{id}/start"), Some(&detached));
    assert!(status == 409 && text.contains("has already run"), "{status} {text}");
    clean(&host, &["cc"]);
}

#[test]
fn attach_brings_input_and_output_and_survives_a_half_close() {
    let host = Host::new();
    import(&host.socket(), "busybox", testkit::busybox::rootfs_tar());
    create(&host, "cc", &["cat"], false);
    let mut connection = Connection::open(&host.socket());
    connection.post("/containers/cc/attach?stream=1&stdin=1&stdout=1&stderr=1", UPGRADE, "");
    let head = connection.until("\r\n\r\n");
    // Docker writes this head itself, without the headers of every other answer.
    assert_eq!(
        head,
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    );
    connection.send("typed before it runs\n");
    host.api("POST", "/containers/cc/start", None).is(204);
    connection.half_close();
    assert_eq!(connection.rest(), frame(1, "typed before it runs\n"));
    clean(&host, &["cc"]);
}

#[test]
fn a_failed_attach_is_text() {
    let host = Host::new();
    let mut connection = Connection::open(&host.socket());
    connection.post("/containers/nosuch/attach?stream=1", UPGRADE, "");
    assert_eq!(
        String::from_utf8(connection.rest()).unwrap(),
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n\
         No such container: nosuch\r\n"
    );
}

#[test]
fn attached_clients_survive_the_daemon() {
    let mut host = host_with_container(&["cat"], false);
    let mut connection = Connection::open(&host.socket());
    connection.post("/containers/cc/attach?stream=1&stdin=1&stdout=1", UPGRADE, "");
    connection.until("\r\n\r\n");
    connection.send("here\n");
    connection.until("here\n");
    host.kill_daemon();
    connection.send("still here\n");
    connection.until("still here\n");
    host.start_daemon();
    drop(connection);
    clean(&host, &["cc"]);
}

#[test]
fn logs_are_framed_typed_by_version_and_in_order() {
    let host = host_with_container(&["sh", "-c", "echo out; echo err >&2; sleep 1000"], false);
    let all = [frame(1, "out\n"), frame(2, "err\n")].concat();
    host.until("both lines are in the log", || {
        host.api("GET", "/containers/cc/logs?stdout=1&stderr=1", None).body.len() == all.len()
    });
    let answer = host.api("GET", "/v1.42/containers/cc/logs?stdout=1&stderr=1", None).is(200);
    assert_eq!(answer.header("content-type"), Some("application/vnd.docker.multiplexed-stream"));
    let answer = host.api("GET", "/v1.41/containers/cc/logs?stderr=1", None).is(200);
    assert_eq!(answer.header("content-type"), Some("application/vnd.docker.raw-stream"));
    assert_eq!(answer.body, frame(2, "err\n"));
    // Lines are counted before the stream is chosen.
    assert_eq!(host.api("GET", "/containers/cc/logs?stdout=1&tail=1", None).body, b"");
    clean(&host, &["cc"]);
}

#[test]
fn streams_send_their_headers_at_once_and_cost_nothing_once_their_clients_left() {
    let host = host_with_container(&["sleep", "1000"], false);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", host.daemon_pid())).unwrap().count();
    let listeners = || host.api("GET", "/info", None).json()["NEventsListener"].clone();
    let is_pidfd =
        |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to.ends_with("anon_inode:[pidfd]"));
    let pidfds = || {
        let entries = fs::read_dir(format!("/proc/{}/fd", host.daemon_pid())).unwrap();
        entries.flatten().map(is_pidfd).filter(|is| *is).count()
    };
    // Of the container's first process and its shim, and of the two shims that are made for later starts.
    host.until("the shims for later starts wait", || pidfds() == 4);
    let before = descriptors();
    let mut connections = Vec::new();
    for (method, target) in [
        ("GET", "/containers/cc/logs?stdout=1&follow=1"),
        ("GET", "/events"),
        ("POST", "/containers/cc/wait"),
        ("POST", "/containers/cc/wait?condition=removed"),
    ] {
        let mut connection = Connection::open(&host.socket());
        connection.send(format!("{method} {target} HTTP/1.1\r\nHost: d\r\n\r\n"));
        let head = connection.until("\r\n\r\n");
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Transfer-Encoding: chunked"),
            "{head}"
        );
        connections.push(connection);
    }
    assert_eq!(listeners(), 1);
    drop(connections);
    host.until("the daemon let go of every stream", || descriptors() <= before && listeners() == 0);
    clean(&host, &["cc"]);
}

#[test]
fn wait_tells_the_exit_code_also_after_the_removal() {
    let host = host_with_container(&["sh", "-c", "read line; exit 7"], false);
    let mut waiting = Vec::new();
    for (path, condition) in [("", "not-running"), ("", "next-exit"), ("", "removed"), ("/v1.29", "")] {
        let mut connection = Connection::open(&host.socket());
        connection.send(format!("POST {path}/containers/cc/wait?condition={condition} HTTP/1.0\r\n\r\n"));
        if path.is_empty() {
            connection.until("\r\n\r\n");
        }
        waiting.push(connection);
    }
    let mut input = Connection::open(&host.socket());
    input.post("/containers/cc/attach?stream=1&stdin=1", UPGRADE, "");
    input.until("\r\n\r\n");
    input.send("go\n");
    host.until("it has ended", || {
        host.api("GET", "/containers/cc/json", None).json()["State"]["Status"] == "exited"
    });
    clean(&host, &["cc"]);
    for mut connection in waiting {
        let answer = String::from_utf8(connection.rest()).unwrap();
        let body: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        assert_eq!(body, json!({"StatusCode": 7}), "{answer}");
    }
}

#[test]
fn an_event_is_a_line_as_soon_as_it_happens() {
    let host = host_with_container(&["sleep", "1000"], false);
    let mut connection = Connection::open(&host.socket());
    connection.send("GET /events?filters={\"event\":[\"tag\"]} HTTP/1.1\r\nHost: d\r\n\r\n");
    connection.until("\r\n\r\n");
    host.api("POST", "/images/busybox/tag?repo=other&tag=1", None).is(201);
    let line = connection.until("}\n");
    let event: Value = serde_json::from_str(line.lines().last().unwrap()).unwrap();
    assert_eq!((&event["Type"], &event["Action"]), (&json!("image"), &json!("tag")));
    assert_eq!(event["Actor"]["Attributes"]["name"], "other:1");
    host.api("DELETE", "/images/other:1", None).is(200);
    clean(&host, &["cc"]);
}
