//! The same session with Docker, recorded, and with us: the same members, and null, empty and absent where Docker has
//! them.
//!
//! `CORTEN_RECORD_FROM=/path/of/docker.sock cargo test -p api-server shapes` records it again from a dockerd that has
//! nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use testkit::Host;

use crate::scenario::{self, Documents};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/docker-28.5.2.json");

/// Differences that are meant: a part of the label, a part of the path, and why.
const MEANT: &[(&str, &str, &str)] = &[
    ("version", ".Components", "our parts have other details"),
    ("info", ".Containerd", "there is none"),
    ("info", ".FirewallBackend", "there is none yet"),
    ("info", ".Runtimes", "the built-in runtime has no feature document"),
    ("info", ".CDISpecDirs", "there is no CDI yet"),
    ("info", ".Plugins.Log", "one driver so far"),
    ("info", ".Labels", "set by the test's daemon"),
    ("info", ".RuncCommit.Expected", "not built from a commit here"),
    ("info", ".IPv4Forwarding", "of the test's network namespace"),
    ("image", ".GraphDriver.Data", "real directories only; Docker names some that do not exist"),
    ("inspect", ".GraphDriver.Data", "real directories only"),
    ("shape-bare: create", ".Warnings", "says that there is no bridge yet"),
    ("shape-bare: inspect", ".HostConfig.NetworkMode", NO_BRIDGE),
    ("shape-bare: inspect", ".NetworkSettings.Networks", NO_BRIDGE),
    ("inspect", ".NetworkSettings.Networks.none.EndpointID", NO_NETWORKS),
    ("inspect", ".NetworkSettings.Networks.none.NetworkID", NO_NETWORKS),
    ("inspect", ".NetworkSettings.Networks.host.NetworkID", NO_NETWORKS),
    ("list", "[].NetworkSettings.Networks.none.EndpointID", NO_NETWORKS),
    ("list", "[].NetworkSettings.Networks.none.NetworkID", NO_NETWORKS),
    ("unstartable: start", ".message", OTHER_PARTS),
    ("unstartable: inspect", ".State.Error", OTHER_PARTS),
    ("inspect", ".HostConfig.LogConfig.Config", "logs are bounded here, and say so"),
    ("events", "[].Actor.Attributes.container", "events of networks come with networks"),
    ("events", "[].Actor.Attributes.type", "events of networks come with networks"),
];

const NO_NETWORKS: &str = "networks are no objects yet";
const NO_BRIDGE: &str = "there is no bridge yet";
const OTHER_PARTS: &str = "names the step; Docker's names its shim and its runtime first";

/// Labels of documents whose values are compared too.
const VALUES: [&str; 4] = ["inspect", "list", "exec", "update"];

/// Paths whose values are of the moment or of the machine.
const VOLATILE: [&str; 18] = [
    ".Created",
    ".Hostname",
    ".StartedAt",
    ".FinishedAt",
    ".Start",
    ".End",
    ".Pid",
    ".Path",
    "PathOn",
    "Path",
    ".LogPath",
    ".Size",
    ".Sandbox",
    ".NetworkID",
    ".EndpointID",
    ".Status",
    ".GraphDriver",
    ".RestartCount",
];

#[test]
fn documents_have_docker_s_members_and_its_null_and_empty() {
    if let Some(socket) = std::env::var_os("CORTEN_RECORD_FROM") {
        let socket = Path::new(&socket);
        // A document a line: there are many, and their order of members counts.
        let lines: Vec<_> = scenario::run(socket)
            .into_iter()
            .map(|(label, value)| format!("{}: {}", Value::from(label), neutral(value)))
            .collect();
        let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
        // The daemon's directories are those of whoever recorded it.
        let text = text.replace(socket.parent().unwrap().to_str().unwrap(), "/var/lib/docker");
        linux::fs::replace(Path::new(FIXTURE), text.as_bytes()).unwrap();
        return;
    }
    let docker: Documents = serde_json::from_str(&std::fs::read_to_string(FIXTURE).unwrap()).unwrap();
    let host = Host::new();
    let ours = scenario::run(&host.socket());
    let differences = differences(&docker, &ours);
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

/// A document without what belongs to the machine it was recorded on, or is long and compared by nobody.
fn neutral(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (name, member) in members {
                *member = match name.as_str() {
                    "Hostname" if member == "vm" => "host".into(),
                    "KernelVersion" => "6.18.0".into(),
                    "org.opencontainers.runtime-spec.features" => "{}".into(),
                    "Name" if member == "vm" => "host".into(),
                    _ => neutral(member.take()),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = neutral(item.take())),
        _ => {}
    }
    value
}

fn differences(docker: &Documents, ours: &Documents) -> Vec<String> {
    let mut found = Vec::new();
    for label in docker.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        match (docker.get(label), ours.get(label)) {
            (Some(theirs), Some(mine)) => {
                found.extend(
                    misordered(theirs, mine)
                        .into_iter()
                        .filter(|line| {
                            !MEANT.iter().any(|(of, path, _)| label.contains(of) && line.starts_with(path))
                        })
                        .map(|line| format!("{label}: {line}")),
                );
                let values = VALUES.iter().any(|of| label.contains(of));
                let (theirs, mine) = (shape(theirs, values), shape(mine, values));
                let meant = |line: &&String| {
                    MEANT.iter().any(|(of, path, _)| label.contains(of) && line.starts_with(path))
                };
                found.extend(
                    theirs
                        .difference(&mine)
                        .filter(|line| !meant(line))
                        .map(|line| format!("{label}: Docker has {line}")),
                );
                found.extend(
                    mine.difference(&theirs)
                        .filter(|line| !meant(line))
                        .map(|line| format!("{label}: we have {line}")),
                );
            }
            (Some(_), None) => found.push(format!("only Docker answers: {label}")),
            (None, _) => found.push(format!("only we answer: {label}")),
        }
    }
    found
}

/// Objects whose members come in another order than Docker's.
fn misordered(theirs: &Value, mine: &Value) -> Vec<String> {
    let (mut of_theirs, mut of_mine) = (BTreeMap::new(), BTreeMap::new());
    orders(theirs, "", &mut of_theirs);
    orders(mine, "", &mut of_mine);
    let shared = |names: &[String], other: &[String]| -> Vec<String> {
        names.iter().filter(|name| other.contains(name)).cloned().collect()
    };
    let pairs = of_theirs.iter().filter_map(|(path, names)| Some((path, names, of_mine.get(path)?)));
    pairs
        .map(|(path, theirs, mine)| (path, shared(theirs, mine), shared(mine, theirs)))
        .filter(|(_, theirs, mine)| theirs != mine)
        .map(|(path, theirs, mine)| format!("{path} has the order {mine:?}, Docker's is {theirs:?}"))
        .collect()
}

fn orders(value: &Value, path: &str, found: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| orders(item, &format!("{path}[]"), found)),
        Value::Object(members) => {
            found.entry(path.to_owned()).or_insert_with(|| members.keys().cloned().collect());
            members.iter().for_each(|(name, member)| orders(member, &format!("{path}.{name}"), found));
        }
        _ => {}
    }
}

/// Every path with what is there: the value itself with `values`, else its kind. Items of a list are one place; texts
/// of errors are compared word by word.
fn shape(value: &Value, values: bool) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    walk(value, "", values, &mut lines);
    lines
}

fn walk(value: &Value, path: &str, values: bool, lines: &mut BTreeSet<String>) {
    let exact = values && !VOLATILE.iter().any(|of| path.contains(of));
    let kind = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) if exact => value.to_string(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) if exact || path.ends_with(".message") => words(text),
        Value::String(text) if values && text.is_empty() => "\"\"".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(items) if items.is_empty() => "[]".to_owned(),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Array(items) => {
            return items.iter().for_each(|item| walk(item, &format!("{path}[]"), values, lines));
        }
        Value::Object(members) => {
            return members
                .iter()
                .for_each(|(name, member)| walk(member, &format!("{path}.{name}"), values, lines));
        }
    };
    lines.insert(format!("{path}: {kind}"));
}

/// A text without its ids.
pub(crate) fn words(text: &str) -> String {
    let is_id = |word: &str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = text.split_inclusive(|character: char| !character.is_ascii_alphanumeric());
    parts
        .map(|part| {
            let word = part.trim_end_matches(|character: char| !character.is_ascii_alphanumeric());
            if is_id(word) { part.replace(word, "ID") } else { part.to_owned() }
        })
        .collect()
}
