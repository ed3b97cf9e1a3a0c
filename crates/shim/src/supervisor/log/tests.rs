use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("corten-log-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn log(&self, max_size: Option<u64>, max_file: u32) -> Log {
        let plan = plan::Log { path: self.0.join("log"), max_size, max_file, attrs: BTreeMap::new() };
        Log::open(plan).unwrap()
    }

    /// Stream and text of every entry of a file.
    fn entries(&self, name: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.0.join(name)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                let member = |name: &str| entry[name].as_str().unwrap().to_owned();
                (member("stream"), member("log"))
            })
            .collect()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        self.entries(name).into_iter().map(|(_, text)| text).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn a_line_is_an_entry_however_it_arrives() {
    let scratch = Scratch::new("lines");
    let mut log = scratch.log(None, 1);
    log.append(Stream::Stdout, b"one\ntw");
    log.append(Stream::Stderr, b"err");
    log.append(Stream::Stdout, b"o\n\n");
    assert_eq!(scratch.texts("log"), ["one\n", "two\n", "\n"]);
    log.append(Stream::Stdout, b"no newline");
    log.finish();
    let entries = scratch.entries("log");
    assert_eq!(
        entries[3..],
        [("stdout".to_owned(), "no newline".to_owned()), ("stderr".to_owned(), "err".to_owned())]
    );
}

#[test]
fn a_character_cut_by_a_read_stays_one() {
    let scratch = Scratch::new("utf8");
    let mut log = scratch.log(None, 1);
    log.append(Stream::Stdout, &"ü".as_bytes()[..1]);
    log.append(Stream::Stdout, &"ü".as_bytes()[1..]);
    log.append(Stream::Stdout, b"\n");
    assert_eq!(scratch.texts("log"), ["ü\n"]);
}

/// Lengths as dockerd 28.5.2 wrote them.
#[test]
fn long_lines_are_split_after_16_kib() {
    let scratch = Scratch::new("long");
    let cases: [(usize, &[usize]); 5] = [
        (16_383, &[16_384]),
        (16_384, &[16_384, 1]),
        (16_385, &[16_384, 2]),
        (40_003, &[16_384, 16_384, 7_236]),
        (32_768, &[16_384, 16_384, 1]),
    ];
    for step in [1000, 16_384, 65_536] {
        let mut log = scratch.log(None, 1);
        for (length, _) in cases {
            let line = [vec![b'x'; length], vec![b'\n']].concat();
            for part in line.chunks(step) {
                log.append(Stream::Stdout, part);
            }
        }
        let lengths: Vec<usize> = scratch.texts("log").iter().map(String::len).collect();
        let expected: Vec<usize> = cases.iter().flat_map(|(_, lengths)| *lengths).copied().collect();
        assert_eq!(lengths, expected, "in steps of {step}");
        std::fs::remove_file(scratch.0.join("log")).unwrap();
    }
}

#[test]
fn the_parts_of_a_line_have_one_time() {
    let scratch = Scratch::new("time");
    let mut log = scratch.log(None, 1);
    log.append(Stream::Stdout, &[b'x'; 20_000]);
    log.append(Stream::Stdout, &[b'x'; 20_000]);
    log.append(Stream::Stdout, b"\nnext\n");
    let text = std::fs::read_to_string(scratch.0.join("log")).unwrap();
    let times: Vec<&str> = text.lines().map(|line| line.split_once("\"time\":").unwrap().1).collect();
    assert_eq!(times.len(), 4);
    assert_eq!(times[0], times[1]);
    assert_eq!(times[0], times[2]);
    assert_ne!(times[0], times[3]);
}

#[test]
fn a_full_file_is_renamed_before_the_next_line() {
    let scratch = Scratch::new("rotate");
    let mut log = scratch.log(Some(200), 3);
    let lines: String = (1..=20).map(|number| format!("line{number}\n")).collect();
    log.append(Stream::Stdout, lines.as_bytes());
    log.finish();
    let mut names: Vec<String> = std::fs::read_dir(&scratch.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    assert_eq!(scratch.texts("log.2"), ["line13\n", "line14\n", "line15\n"]);
    assert_eq!(scratch.texts("log.1"), ["line16\n", "line17\n", "line18\n"]);
    assert_eq!(scratch.texts("log"), ["line19\n", "line20\n"]);
}

#[test]
fn a_single_file_starts_anew_when_it_is_full() {
    let scratch = Scratch::new("single");
    let mut log = scratch.log(Some(200), 1);
    for number in 1..=20 {
        log.append(Stream::Stdout, format!("line{number}\n").as_bytes());
    }
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1);
    assert_eq!(scratch.texts("log"), ["line19\n", "line20\n"]);
}

#[test]
fn a_log_that_is_opened_again_is_continued() {
    let scratch = Scratch::new("again");
    scratch.log(Some(100), 2).append(Stream::Stdout, b"first\n");
    let mut log = scratch.log(Some(100), 2);
    log.append(Stream::Stdout, b"second\n");
    assert_eq!(scratch.texts("log"), ["first\n", "second\n"]);
    log.append(Stream::Stdout, b"third\n");
    assert_eq!(scratch.texts("log.1"), ["first\n", "second\n"]);
    assert_eq!(scratch.texts("log"), ["third\n"]);
}

#[test]
fn lines_lost_on_a_full_disk_are_counted_and_told() {
    let scratch = Scratch::new("full");
    let mut log = scratch.log(None, 1);
    log.append(Stream::Stdout, b"before\n");
    let good = log.file.replace(std::fs::File::options().write(true).open("/dev/full").unwrap().into());
    log.append(Stream::Stdout, b"a\nb\n");
    log.append(Stream::Stdout, b"c\n");
    log.file = good;
    log.append(Stream::Stdout, b"after\n");
    log.finish();
    let texts = scratch.texts("log");
    let told = "corten: 3 lines of output are missing here: cannot write the log: \
                No space left on device (os error 28)\n";
    assert_eq!(texts, ["before\n", "after\n", told]);
}
