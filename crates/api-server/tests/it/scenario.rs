//! One session with an engine, ours or Docker's, and every document seen in it.

mod profiles;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{ask, import};

/// Documents by what was asked.
pub(crate) type Documents = BTreeMap<String, Value>;

const IMAGE: &str = "shape-test:1";
const NAME: &str = "shape-test";

/// Runs the session. What it makes, it removes.
pub(crate) fn run(socket: &Path) -> Documents {
    let began = seconds();
    let mut documents = Documents::new();
    let mut see = |label: &str, method: &str, target: &str, body: Option<Value>| {
        let (status, text) = ask(socket, method, target, body.as_ref());
        let value = if text.is_empty() { Value::from("") } else { document(&text) };
        documents.insert(format!("{label} ({status})"), value.clone());
        value
    };
    see("version", "GET", "/version", None);
    for version in ["1.24", "1.41", "1.44", "1.47", "1.49", "1.51"] {
        see(&format!("info {version}"), "GET", &format!("/v{version}/info"), None);
    }
    see("no images", "GET", "/images/json?filters={\"reference\":[\"shape-test\"]}", None);
    import(socket, IMAGE, testkit::busybox::rootfs_tar());
    for version in ["1.24", "1.43", "1.44", "1.49", "1.51"] {
        see(
            &format!("images {version}"),
            "GET",
            &format!("/v{version}/images/json?filter=shape-test&filters={{\"reference\":[\"shape-test\"]}}"),
            None,
        );
        see(&format!("image {version}"), "GET", &format!("/v{version}/images/{IMAGE}/json"), None);
    }
    see("history", "GET", &format!("/images/{IMAGE}/history"), None);
    container(&mut see);
    let now = seconds();
    profiles::run(&mut see);
    see("events", "GET", &format!("/events?since={began:.9}&until={now:.9}"), None);
    see("remove image", "DELETE", &format!("/images/{IMAGE}"), None);
    see("no image", "GET", &format!("/images/{IMAGE}/json"), None);
    documents
}

/// Asks (label, method, target, body) and keeps the answer.
type See<'a> = dyn FnMut(&str, &str, &str, Option<Value>) -> Value + 'a;

fn container(see: &mut See<'_>) {
    let mut step = |label: &str, method: &str, target: &str, body: Option<Value>| {
        see(label, method, &target.replace('@', NAME), body)
    };
    let request = json!({
        "Image": IMAGE, "Cmd": ["sleep", "100"], "Labels": {"a": "b"}, "Env": ["A=b"],
        "HostConfig": {"NetworkMode": "none"},
    });
    step("create", "POST", "/containers/create?name=@", Some(request.clone()));
    step("create again", "POST", "/containers/create?name=@", Some(request));
    let only = "filters={\"name\":[\"@\"]}";
    step("list created", "GET", &format!("/containers/json?all=1&{only}"), None);
    step("inspect created", "GET", "/containers/@/json", None);
    step("start", "POST", "/containers/@/start", None);
    step("start again", "POST", "/containers/@/start", None);
    step("list running", "GET", &format!("/containers/json?size=1&{only}"), None);
    step("inspect running", "GET", "/containers/@/json?size=1", None);
    step("inspect running 1.24", "GET", "/v1.24/containers/@/json", None);
    step("top", "GET", "/containers/@/top", None);
    step("pause", "POST", "/containers/@/pause", None);
    step("pause again", "POST", "/containers/@/pause", None);
    step("unpause", "POST", "/containers/@/unpause", None);
    step("unpause again", "POST", "/containers/@/unpause", None);
    let exec =
        json!({"Cmd": ["true"], "AttachStdout": true, "Env": ["A=b"], "User": "root", "Privileged": false});
    let exec = step("exec create", "POST", "/containers/@/exec", Some(exec));
    let exec = exec["Id"].as_str().unwrap_or("missing").to_owned();
    step("exec inspect created", "GET", &format!("/exec/{exec}/json"), None);
    step("exec start", "POST", &format!("/exec/{exec}/start"), Some(json!({"Detach": true})));
    testkit::wait::within(crate::client::PATIENCE, || {
        step("exec inspect", "GET", &format!("/exec/{exec}/json"), None)["Running"] == json!(false)
    });
    step("rename to itself", "POST", "/containers/@/rename?name=@", None);
    step("remove running", "DELETE", "/containers/@", None);
    step("kill", "POST", "/containers/@/kill", None);
    step("wait", "POST", "/containers/@/wait", None);
    step("kill stopped", "POST", "/containers/@/kill", None);
    step("stop stopped", "POST", "/containers/@/stop", None);
    step("list exited", "GET", &format!("/containers/json?all=1&{only}"), None);
    step("inspect exited", "GET", "/containers/@/json", None);
    step("exec in stopped", "POST", "/containers/@/exec", Some(json!({"Cmd": ["true"]})));
    step("remove", "DELETE", "/containers/@?v=1", None);
    step("remove again", "DELETE", "/containers/@", None);
}

/// The time, as events' parameters take it.
fn seconds() -> f64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64())
}

/// One document, or the list of those on lines of their own.
fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| {
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        lines.map_or_else(|_| Value::from(text), Value::from)
    })
}
