//! HTTP as bytes: what a broken, rude or crafty client sends is answered as a recorded dockerd answers it.
//!
//! A case of the fixture is what is sent (`\r`, `\n`, `\0` and `\xHH` are escapes, `@N*TEXT@` is TEXT N times), and below
//! it the statuses of all answers until the connection ends; `ours` marks a meant difference.

use std::path::Path;

use testkit::{Host, wait};

use crate::client::{Connection, ask, read_to_close};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/wire-28.5.2.txt");

#[test]
fn every_shape_of_a_request_is_answered_as_docker_answers_it() {
    let text = std::fs::read_to_string(FIXTURE).unwrap();
    let recording = std::env::var_os("CORTEN_RECORD_FROM");
    let host = Host::new();
    let ours = host.socket();
    let socket = recording.as_deref().map_or(ours.as_path(), Path::new);
    let (mut recorded, mut differences) = (String::new(), Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        recorded += &format!("{line}\n");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut wanted = "";
        while let Some(answer) = lines.next_if(|next| next.starts_with("    ")) {
            match answer.trim().strip_prefix("ours") {
                Some(meant) => {
                    recorded += &format!("{answer}\n");
                    wanted = meant.split("  -- ").next().unwrap_or_default().trim();
                }
                None => wanted = answer.trim(),
            }
        }
        let got = statuses(socket, &unescape(line));
        recorded += &format!("    {got}\n");
        if got != wanted {
            differences.push(format!("{line}\n  wanted {wanted}\n  got    {got}"));
        }
    }
    if recording.is_some() {
        linux::fs::replace(Path::new(FIXTURE), recorded.as_bytes()).unwrap();
        return;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn clients_that_stop_in_the_middle_keep_nobody_else_from_being_served() {
    let host = Host::new();
    let socket = host.socket();
    let beginnings = [
        "",
        "G",
        "GET /_ping HTTP/1.1\r\nHo",
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n{",
    ];
    let idle: Vec<_> = (0..200)
        .map(|number| {
            let mut connection = Connection::open(&socket);
            connection.send(beginnings[number % beginnings.len()]);
            connection
        })
        .collect();
    assert!(wait::within(crate::client::PATIENCE, || ask(&socket, "GET", "/_ping", None).0 == 200));
    drop(idle);
    assert_eq!(ask(&socket, "GET", "/_ping", None).0, 200);
}

#[test]
fn only_root_and_the_group_may_connect() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let host = Host::new();
    let metadata = std::fs::metadata(host.socket()).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.uid()), (0o660, 0));
    let line = format!(
        "setpriv --reuid 65534 --regid 65534 --clear-groups curl -s --unix-socket {} http://d/_ping",
        host.socket().display()
    );
    assert_ne!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().code(), Some(0));
}

/// What is sent for a line of the fixture.
fn unescape(line: &str) -> Vec<u8> {
    let mut text = line.to_owned();
    while let Some((before, rest)) = text.split_once('@') {
        let (repeated, after) = rest.split_once('@').expect("a second @");
        let (count, what) = repeated.split_once('*').expect("N*TEXT");
        text = format!("{before}{}{after}", what.repeat(count.parse().unwrap()));
    }
    let mut bytes = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            ('\\', Some('r')) => bytes.push(b'\r'),
            ('\\', Some('n')) => bytes.push(b'\n'),
            ('\\', Some('0')) => bytes.push(0),
            ('\\', Some('x')) => {
                let digits: String = characters.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            _ => bytes.extend(character.to_string().bytes()),
        }
    }
    bytes
}

/// Statuses of everything that comes back.
fn statuses(socket: &Path, bytes: &[u8]) -> String {
    let mut connection = Connection::open(socket);
    if connection.try_send(bytes).is_ok() {
        connection.half_close();
    }
    let answer = read_to_close(&mut connection);
    let text = String::from_utf8_lossy(&answer);
    let found = text.split("HTTP/1.").skip(1).filter_map(|rest| rest.get(2..5));
    let statuses: Vec<_> = found.filter(|status| status.bytes().all(|byte| byte.is_ascii_digit())).collect();
    if statuses.is_empty() { "closed".to_owned() } else { statuses.join(" ") }
}
