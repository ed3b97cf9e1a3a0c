//! The OOM record: whose memory limit a container was killed for, read before its cgroup is taken away.
//!
//! ```text
//! <run_dir>/oom
//!     corten-oom 1
//!     whose above                 own, above, below or machine
//!     cgroup /teams/blue          only for above: whose limit it was
//!     limit 33554432              in bytes; missing: not known
//!     peak 20971520               the most that the container used; missing: not known
//! ```
//!
//! Written by the shim before an exit record that says `oom_killed true`; nothing else makes it valid. An unknown line
//! is ignored.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

pub use runtime::cgroup::{LimitOwner, OutOfMemory};

use crate::record::{read_text, write_text};

const NAME: &str = "oom";
const TEMPORARY: &str = "oom.tmp";
const HEAD: &str = "corten-oom 1";

/// Writes the record.
pub fn write_in(directory: BorrowedFd<'_>, found: &OutOfMemory) -> io::Result<()> {
    write_text(directory, NAME, TEMPORARY, &to_text(found))
}

/// Reads the record in `run_dir`; none if there is none that can be read.
pub fn read(run_dir: &Path) -> Option<OutOfMemory> {
    from_text(&read_text(&run_dir.join(NAME)).ok()??)
}

fn to_text(found: &OutOfMemory) -> String {
    let (whose, cgroup) = match &found.whose {
        LimitOwner::Own => ("own", None),
        LimitOwner::Above(path) => ("above", Some(path)),
        LimitOwner::Below => ("below", None),
        LimitOwner::Machine => ("machine", None),
    };
    let mut text = format!("{HEAD}\nwhose {whose}\n");
    let lines = [
        // A newline in a cgroup's name would be a line of its own.
        ("cgroup", cgroup.map(|path| path.replace('\n', " "))),
        ("limit", found.limit.map(|limit| limit.to_string())),
        ("peak", found.peak.map(|peak| peak.to_string())),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            text.push_str(&format!("{name} {value}\n"));
        }
    }
    text
}

fn from_text(text: &str) -> Option<OutOfMemory> {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return None;
    }
    let (mut whose, mut cgroup, mut limit, mut peak) = (None, None, None, None);
    for line in lines {
        match line.split_once(' ')? {
            ("whose", word) => whose = Some(word),
            ("cgroup", path) => cgroup = Some(path.to_owned()),
            ("limit", value) => limit = Some(value.parse().ok()?),
            ("peak", value) => peak = Some(value.parse().ok()?),
            _ => {}
        }
    }
    let whose = match whose? {
        "own" => LimitOwner::Own,
        "above" => LimitOwner::Above(cgroup?),
        "below" => LimitOwner::Below,
        "machine" => LimitOwner::Machine,
        _ => return None,
    };
    Some(OutOfMemory { whose, limit, peak })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let above = OutOfMemory {
            whose: LimitOwner::Above("/teams/blue".into()),
            limit: Some(33_554_432),
            peak: Some(20_971_520),
        };
        let text = "corten-oom 1\nwhose above\ncgroup /teams/blue\nlimit 33554432\npeak 20971520\n";
        assert_eq!(to_text(&above), text);
        for whose in [LimitOwner::Own, LimitOwner::Below, LimitOwner::Machine, above.whose] {
            let found = OutOfMemory { whose, limit: None, peak: Some(1) };
            assert_eq!(from_text(&to_text(&found)), Some(found));
        }
        assert_eq!(from_text("corten-oom 1\nwhose above\n"), None);
        assert_eq!(from_text("corten-oom 2\nwhose own\n"), None);
        assert_eq!(from_text("corten-oom 1\nlater 1\nwhose own\nlimit x\n"), None);
    }
}
