//! Names in archives, brought to paths below the root.

/// Longest path that the kernel takes in one call.
const PATH_MAX: usize = 4096;

/// A path below the root: no empty part, no `.`, no `..`; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryPath(Vec<u8>);

impl EntryPath {
    /// Reads a name as if the root were `/`. `None` if its `..` lead out, which no honest archive has.
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut path = Self(Vec::with_capacity(name.len().min(PATH_MAX)));
        path.append(name).then_some(path)
    }

    /// Where the link `target` in the directory `parent` leads if `/` is the root and `..` stops there.
    pub fn linked(parent: &[u8], target: &[u8]) -> Self {
        let mut path = Self(if target.starts_with(b"/") { Vec::new() } else { parent.to_vec() });
        path.append(target);
        path
    }

    /// Follows `parts`, `..` up to the root at most. False if one would have led out.
    fn append(&mut self, parts: &[u8]) -> bool {
        let path = &mut self.0;
        let mut inside = true;
        for part in parts.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    inside &= !path.is_empty();
                    path.truncate(path.iter().rposition(|&b| b == b'/').unwrap_or(0));
                }
                part => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                }
            }
        }
        inside
    }

    /// Whether the kernel takes it in one call.
    pub fn is_too_long(&self) -> bool {
        self.0.len() >= PATH_MAX
    }

    /// Whether it is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory part and the last part. Not for the root.
    pub fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (b"", &self.0),
        }
    }

    /// The path.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A name for an error text, cut where a hostile one would fill the terminal.
pub fn shown(name: &[u8]) -> String {
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
    fn names_are_taken_from_the_root_and_must_not_leave_it() {
        for (name, expected) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("a/b/../c", Some("a/c")),
            ("a/..", Some("")),
            (".", Some("")),
            ("", Some("")),
            ("a/...", Some("a/...")),
            ("..", None),
            ("../../x", None),
            ("/../x", None),
            ("a/../../x", None),
        ] {
            let path = EntryPath::new(name.as_bytes());
            assert_eq!(path.as_ref().map(EntryPath::bytes), expected.map(str::as_bytes), "{name}");
        }
        assert!(EntryPath::new("a/".repeat(1_000_000).as_bytes()).unwrap().is_too_long());
    }

    #[test]
    fn links_stop_at_the_root() {
        for (parent, target, expected) in [
            ("a/b", "c", "a/b/c"),
            ("a/b", "../c", "a/c"),
            ("a/b", "../../../../c", "c"),
            ("a/b", "/c/./d", "c/d"),
            ("", "x/../..", ""),
        ] {
            let path = EntryPath::linked(parent.as_bytes(), target.as_bytes());
            assert_eq!(path.bytes(), expected.as_bytes(), "{target} in {parent}");
        }
    }
}
