//! Names in archives, brought to paths below the root.

use super::UnpackError;

/// Longest path that the kernel takes in one call.
const PATH_MAX: usize = 4096;

/// A path below the root: no empty part, no `.`, no `..`; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EntryPath(Vec<u8>);

impl EntryPath {
    /// Reads a name as if the root were `/`: absolute names are taken from there, `..` stops there.
    pub(super) fn new(name: &[u8]) -> Result<Self, UnpackError> {
        let mut path: Vec<u8> = Vec::with_capacity(name.len());
        for part in name.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => path.truncate(path.iter().rposition(|&b| b == b'/').unwrap_or(0)),
                part => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                }
            }
        }
        if path.len() >= PATH_MAX {
            return Err(UnpackError::Refused { name: shown(name), reason: "file name too long" });
        }
        Ok(Self(path))
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory part and the last part. Not for the root.
    pub(super) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (b"", &self.0),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A name for an error text, cut where a hostile one would fill the terminal.
pub(super) fn shown(name: &[u8]) -> String {
    const SHOWN: usize = 200;
    match name.get(..SHOWN) {
        Some(start) => format!("{}…", String::from_utf8_lossy(start)),
        None => String::from_utf8_lossy(name).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_the_root_and_never_leave_it() {
        for (name, expected) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("../../x", "x"),
            ("a/../../x", "x"),
            ("a/b/../c", "a/c"),
            ("a/..", ""),
            (".", ""),
            ("", ""),
            ("..", ""),
            ("a/...", "a/..."),
        ] {
            assert_eq!(EntryPath::new(name.as_bytes()).unwrap().bytes(), expected.as_bytes(), "{name}");
        }
        assert!(EntryPath::new("a/".repeat(1_000_000).as_bytes()).is_err());
    }
}
