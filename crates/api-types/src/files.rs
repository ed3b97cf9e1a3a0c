//! A container's files: what is at a path, what changed.

use serde::{Deserialize, Serialize};

/// What is at a path of a container; travels in a header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathStat {
    /// Last part of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Mode as Go's `os.FileMode` has it.
    pub mode: u32,
    /// Last change, RFC 3339.
    pub mtime: String,
    /// Where a link leads in the end.
    pub link_target: String,
}

impl PathStat {
    /// The header.
    pub const HEADER: &'static str = "x-docker-container-path-stat";
    const DIRECTORY: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;

    /// The header's value: JSON in base64.
    pub fn to_header(&self) -> String {
        let document = serde_json::to_vec(self).unwrap_or_default();
        crate::base64::encode(&document)
    }

    /// Reads the header's value.
    pub fn from_header(value: &str) -> Option<Self> {
        serde_json::from_slice(&crate::base64::decode(value)?).ok()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & Self::DIRECTORY != 0
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode & Self::SYMLINK != 0
    }
}

/// A path that differs from the image: an entry of `GET /containers/{name}/changes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Change {
    /// Absolute path.
    pub path: String,
    /// 0: modified, 1: added, 2: deleted.
    pub kind: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let stat = PathStat {
            name: "l".into(),
            size: 1,
            mode: 1 << 27 | 0o777,
            mtime: "2026-11-24T15:50:13.945301165Z".into(),
            link_target: "/o/f".into(),
        };
        let read = PathStat::from_header(&stat.to_header()).unwrap();
        assert_eq!(read, stat);
        assert!(read.is_symlink() && !read.is_dir());
        assert_eq!(PathStat::from_header("x"), None);
    }
}
