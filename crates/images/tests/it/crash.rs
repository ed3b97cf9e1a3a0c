//! `kill -9` at any instant: what was acknowledged is there, what was not leaves nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use images::ImportOptions;

use crate::fixture::{Archive, DataRoot, nobody};

/// Set for the process that is killed.
const ROOT: &str = "CORTEN_CRASH_TEST_ROOT";
/// Its first number, so that each round has names and layers of its own.
const FIRST: &str = "CORTEN_CRASH_TEST_FIRST";
const ROUNDS: u64 = 24;

/// What a round's worker said of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Present,
    Absent,
    /// It was killed in between.
    Unknown,
}

#[test]
fn a_store_is_whole_after_kill_9() {
    let root = DataRoot::new();
    let mut expected: BTreeMap<String, Name> = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut worker = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::worker", "--nocapture"])
            .env(ROOT, root.path())
            .env(FIRST, (round * 1000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
        let mut steps = 0;
        for line in lines.by_ref().map(Result::unwrap) {
            steps += u64::from(note(&mut expected, &line));
            if steps > round % 6 {
                break;
            }
        }
        // Another instant within the step in every round.
        std::thread::sleep(Duration::from_micros(round * 2_713 % 30_000));
        worker.kill().unwrap();
        worker.wait().unwrap();
        for line in lines {
            note(&mut expected, &line.unwrap());
        }
        check(&root, &mut expected, round);
    }
    assert!(expected.values().any(|state| *state == Name::Present), "the worker got nowhere");
}

/// Takes in one line of the worker's; whether it was one.
fn note(expected: &mut BTreeMap<String, Name>, line: &str) -> bool {
    let (state, name) = match line.split_once(' ') {
        Some(("begin", name)) => (Name::Unknown, name),
        Some(("added", name)) => (Name::Present, name),
        Some(("removed", name)) => (Name::Absent, name),
        _ => return false,
    };
    expected.insert(name.to_owned(), state);
    true
}

fn check(root: &DataRoot, expected: &mut BTreeMap<String, Name>, round: u64) {
    let images = root.open();
    for (name, state) in expected {
        let found = match images.resolve(name) {
            Ok(image) => {
                for layer in &image.layers {
                    images.layers().archive(&layer.diff_id, &mut std::io::sink()).unwrap();
                }
                Name::Present
            }
            Err(_) => Name::Absent,
        };
        assert!(
            *state == Name::Unknown || *state == found,
            "round {round}: {name} is {found:?}, not {state:?}"
        );
        *state = found;
    }
    // Nothing but what the images have: no half-unpacked layer, no blob that nobody names.
    let list = images.list();
    let mut layers: Vec<String> =
        list.iter().flat_map(|image| &image.layers).map(|layer| layer.diff_id.hex().to_owned()).collect();
    layers.sort();
    layers.dedup();
    let mut blobs: Vec<String> = list.iter().map(|image| image.id.digest().hex().to_owned()).collect();
    blobs.sort();
    assert_eq!((root.layers(), root.blobs()), (layers, blobs), "round {round}");
}

/// Adds and removes images for ever, if it is the process to be killed.
#[test]
fn worker() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let root = std::path::PathBuf::from(root);
    let database = db::Database::open(&root.join("corten.db")).unwrap();
    let images = images::Images::open(&root, database).unwrap();
    let mut out = std::io::stdout();
    let mut say = |word: &str, name: &str| writeln!(out, "{word} {name}").unwrap();
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    for n in first.. {
        let name = format!("app:{n}");
        say("begin", &name);
        let archive =
            Archive::new().dir("d/").file("d/a", &n.to_le_bytes()).file("d/b", &vec![1; 100_000]).bytes();
        let options = ImportOptions { reference: Some(name.parse().unwrap()), ..ImportOptions::default() };
        images.import(archive.as_slice(), &options).unwrap();
        say("added", &name);
        if n % 2 == 0 {
            say("begin", &name);
            images.remove(&name, false, true, &nobody).unwrap();
            say("removed", &name);
        }
    }
}
