//! What cannot be right, asked of every endpoint: status and words are those of a recorded dockerd.
//!
//! ```text
//! == POST /containers/{name}/kill                       an endpoint; each has a section
//! POST /containers/@running/kill?signal=BOGUS           a request: method, target [| content type | body]
//!     400 invalid signal: BOGUS                         Docker's answer: status, and the message when it is an error
//!     ours 400 …  -- why                                ours, where it is meant to differ
//! ```
//! `@created`, `@running`, … are containers; `@exec` and `@done` exec processes; `@common` the beginning of several ids;
//! the bodies `@utf8` and `@deep` are not text. `scripts/record-docker.sh` records the answers again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{Host, wait};

use crate::client::{Connection, PATIENCE, ask, import, read_to_close};
use crate::shapes::words;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/refusals-28.5.2.txt");
const IMAGE: &str = "refused:1";

#[test]
fn every_endpoint_refuses_in_docker_s_words() {
    let text = std::fs::read_to_string(FIXTURE).unwrap();
    if let Some(socket) = std::env::var_os("CORTEN_RECORD_FROM") {
        let recorded = record(&text, Path::new(&socket));
        linux::fs::replace(Path::new(FIXTURE), recorded.as_bytes()).unwrap();
        return;
    }
    let host = Host::new();
    let socket = host.socket();
    let world = World::make(&socket);
    let mut differences = Vec::new();
    for case in cases(&text) {
        let ours = world.ask(case.request);
        let wanted = case.ours.unwrap_or(case.docker);
        if ours != wanted && !ours.starts_with("501 ") {
            differences.push(format!("{}\n  Docker {wanted}\n  ours   {ours}", case.request));
        }
    }
    world.remove();
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_endpoint_has_a_section() {
    let text = std::fs::read_to_string(FIXTURE).unwrap();
    let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("== ")).collect();
    let host = Host::new();
    let without: Vec<_> = api_server::endpoints()
        .into_iter()
        .filter(|(method, path)| !sections.contains(&format!("{method} {path}").as_str()))
        // What is not there yet has nothing to refuse.
        .filter(|(method, path)| {
            ask(&host.socket(), method.as_str(), &path.replace(['{', '}', '*'], ""), None).0 != 501
        })
        .collect();
    assert!(without.is_empty(), "no refusals are recorded for {without:?}");
}

/// A request of the fixture with its answers.
struct Case<'a> {
    request: &'a str,
    docker: &'a str,
    ours: Option<&'a str>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines().filter(|line| is_part_of_a_case(line)) {
        match (line.strip_prefix("    "), cases.last_mut()) {
            (None, _) => cases.push(Case { request: line, docker: "", ours: None }),
            (Some(answer), Some(case)) => match answer.strip_prefix("ours ") {
                Some(ours) => case.ours = ours.split("  -- ").next(),
                None => case.docker = answer,
            },
            (Some(_), None) => panic!("an answer before the first request: {line}"),
        }
    }
    cases
}

fn is_part_of_a_case(line: &str) -> bool {
    !line.is_empty() && !line.starts_with(['#', '='])
}

/// The fixture with the answers of the engine at `socket`.
fn record(text: &str, socket: &Path) -> String {
    let world = World::make(socket);
    let mut recorded = String::new();
    for line in text.lines() {
        if line.starts_with("    ") && !line.starts_with("    ours ") {
            continue;
        }
        writeln!(recorded, "{line}").unwrap();
        if is_part_of_a_case(line) && !line.starts_with("    ") {
            writeln!(recorded, "    {}", world.ask(line)).unwrap();
        }
    }
    world.remove();
    recorded
}

/// An engine with containers in every state.
struct World<'a> {
    socket: &'a Path,
    /// What placeholders stand for.
    names: BTreeMap<&'static str, String>,
    /// Ids of all containers.
    containers: Vec<String>,
}

impl<'a> World<'a> {
    fn make(socket: &'a Path) -> Self {
        let image = import(socket, IMAGE, testkit::busybox::rootfs_tar());
        let mut world = Self { socket, names: BTreeMap::new(), containers: Vec::new() };
        world.names.insert("@image", image.trim_start_matches("sha256:")[..12].to_owned());
        for (state, command) in [
            ("@created", "sleep"),
            ("@running", "sleep"),
            ("@paused", "sleep"),
            ("@exited", "true"),
            ("@none", "sleep"),
        ] {
            world.container(state, command);
        }
        world.execs();
        // More than there are digits: two ids begin alike.
        for number in 0..16 {
            world.container(&format!("@more-{number}"), "true");
        }
        let alike = |digit: &char| world.containers.iter().filter(|id| id.starts_with(*digit)).count() > 1;
        let common = "0123456789abcdef".chars().find(alike).unwrap();
        world.names.insert("@common", common.to_string());
        world
    }

    fn container(&mut self, state: &str, command: &str) {
        let name = state.replace('@', "refused-");
        let log = if state == "@none" { json!({"Type": "none"}) } else { json!({}) };
        let request = json!({
            "Image": IMAGE, "Cmd": [command, "1000"], "HostConfig": {"NetworkMode": "none", "LogConfig": log},
        });
        let (status, text) =
            ask(self.socket, "POST", &format!("/containers/create?name={name}"), Some(&request));
        assert_eq!(status, 201, "{text}");
        let id = serde_json::from_str::<Value>(&text).unwrap()["Id"].as_str().unwrap().to_owned();
        self.containers.push(id);
        let act = |action: &str| {
            assert!(ask(self.socket, "POST", &format!("/containers/{name}/{action}"), None).0 < 300)
        };
        match state {
            "@running" => act("start"),
            "@paused" => ["start", "pause"].into_iter().for_each(act),
            "@exited" => ["start", "wait"].into_iter().for_each(act),
            _ => {}
        }
        if let Some(known) =
            ["@created", "@running", "@paused", "@exited", "@none"].into_iter().find(|known| *known == state)
        {
            self.names.insert(known, name);
        }
    }

    fn execs(&mut self) {
        for placeholder in ["@exec", "@done"] {
            let request = json!({"Cmd": ["true"]});
            let (_, text) = ask(self.socket, "POST", "/containers/refused-running/exec", Some(&request));
            let id = serde_json::from_str::<Value>(&text).unwrap()["Id"].as_str().unwrap().to_owned();
            if placeholder == "@done" {
                ask(self.socket, "POST", &format!("/exec/{id}/start"), Some(&json!({"Detach": true})));
                assert!(wait::within(PATIENCE, || {
                    let (_, text) = ask(self.socket, "GET", &format!("/exec/{id}/json"), None);
                    serde_json::from_str::<Value>(&text).unwrap()["Running"] == false
                }));
            }
            self.names.insert(placeholder, id);
        }
    }

    /// Sends one request of the fixture; status and message of the answer.
    fn ask(&self, request: &str) -> String {
        let parts: Vec<_> = request.splitn(3, " | ").collect();
        let mut head = parts[0].to_owned();
        for (placeholder, name) in &self.names {
            head = head.replace(placeholder, name);
        }
        let body = parts.get(2).map_or_else(Vec::new, |body| self.body(body));
        let mut bytes = format!("{head} HTTP/1.0\r\nHost: d\r\n");
        if let Some(content_type) = parts.get(1).map(|text| text.trim()).filter(|text| !text.is_empty()) {
            write!(bytes, "Content-Type: {content_type}\r\n").unwrap();
        }
        if parts.len() > 1 {
            write!(bytes, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        bytes += "\r\n";
        let mut connection = Connection::open(self.socket);
        connection.send([bytes.as_bytes(), &body].concat());
        let head = connection.until("\r\n\r\n");
        let status = head.split(' ').nth(1).unwrap_or_default().trim();
        if status < "400" || request.starts_with("HEAD ") {
            // Success may be a stream without an end.
            return status.to_owned();
        }
        let text = String::from_utf8_lossy(&read_to_close(&mut connection)).into_owned();
        let message = serde_json::from_str::<Value>(&text).ok();
        let message = message.as_ref().and_then(|document| document["message"].as_str()).unwrap_or(&text);
        let common = &self.names["@common"];
        let message = words(message)
            .replace(&format!("prefix: {common}"), "prefix: COMMON")
            .replace(&format!("container: {common}: "), "container: COMMON: ");
        // A message may have lines.
        format!("{status} {}", message.trim_end().replace('\n', "\\n"))
    }

    fn body(&self, text: &str) -> Vec<u8> {
        match text {
            "@utf8" => b"{\"Image\":\"\xff\"}".to_vec(),
            "@deep" => "[".repeat(100_000).into_bytes(),
            text => self
                .names
                .iter()
                .fold(text.to_owned(), |text, (of, name)| text.replace(of, name))
                .into_bytes(),
        }
    }

    fn remove(self) {
        // Whatever a request made by being accepted, too.
        let (_, text) = ask(self.socket, "GET", "/containers/json?all=1", None);
        for container in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
            let id = container["Id"].as_str().unwrap();
            assert_eq!(ask(self.socket, "DELETE", &format!("/containers/{id}?force=1&v=1"), None).0, 204);
        }
        ask(self.socket, "DELETE", &format!("/images/{IMAGE}?force=1"), None);
    }
}
