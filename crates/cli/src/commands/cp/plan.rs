//! What a copy means: Docker's path rules, as far as they need no look at a file system.

/// One operand of `cp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Side {
    /// `CONTAINER:PATH`.
    Container {
        /// The container.
        name: String,
        /// The path in it.
        path: String,
    },
    /// A path of this machine, or `-`.
    Local(String),
}

impl Side {
    /// Reads an operand. A path with a colon is written absolute or with `./` in front.
    pub(super) fn parse(operand: &str) -> Self {
        match operand.split_once(':') {
            Some((name, path)) if !operand.starts_with('/') && !name.starts_with('.') && !name.is_empty() => {
                Self::Container { name: name.to_owned(), path: path.to_owned() }
            }
            _ => Self::Local(operand.to_owned()),
        }
    }
}

/// What is known of a copy's destination, links at its end followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The path.
    pub(super) path: String,
    /// Something is there.
    pub(super) exists: bool,
    /// It is a directory.
    pub(super) is_dir: bool,
}

/// Where an archive is extracted, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// The directory.
    pub(super) directory: String,
    /// What the copied file or directory is called there; none: as it is.
    pub(super) name: Option<String>,
}

/// Decides where a file or a directory goes. The errors are Docker's words.
pub(super) fn place(target: &Target, source_is_dir: bool) -> Result<Placed, &'static str> {
    let Target { path, exists, is_dir } = target;
    if *is_dir {
        return Ok(Placed { directory: path.clone(), name: None });
    }
    if *exists && source_is_dir {
        return Err("cannot copy directory");
    }
    if names_directory(path) && !source_is_dir {
        return Err("no such directory");
    }
    let path = trimmed(path);
    let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
    let directory = if directory.is_empty() { "/" } else { directory };
    Ok(Placed { directory: directory.to_owned(), name: Some(name.to_owned()) })
}

/// Whether a path says that it is a directory.
pub(super) fn names_directory(path: &str) -> bool {
    path.is_empty() || path.ends_with('/') || path.ends_with("/.") || path == "."
}

/// A path without what only says that it is a directory.
fn trimmed(path: &str) -> &str {
    let mut path = path;
    loop {
        path = match path {
            _ if path.len() > 1 && path.ends_with('/') => &path[..path.len() - 1],
            _ if path.ends_with("/.") => &path[..path.len() - 1],
            _ => return path,
        };
    }
}

/// The name under which a path is archived: its last part, `.` for the contents of a directory.
pub(super) fn base(path: &str) -> String {
    if path == "." || path.ends_with("/.") {
        return ".".to_owned();
    }
    match trimmed(path).rsplit('/').next() {
        Some("") | None => "/".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// A link of a container followed: the path to read, and the name to give it if that is not its own.
pub(super) fn rebased(path: &str, target: &str) -> (String, Option<String>) {
    let end = match path {
        _ if path.ends_with("/.") => "/.",
        _ if path.ends_with('/') => "/",
        _ => "",
    };
    let followed = format!("{}{end}", trimmed(target));
    let name = base(path);
    let rebase = (name != base(&followed)).then_some(name);
    (followed, rebase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_containers_or_local_paths() {
        let container = |name: &str, path: &str| Side::Container { name: name.into(), path: path.into() };
        let local = |path: &str| Side::Local(path.into());
        for (operand, side) in [
            ("c:/x", container("c", "/x")),
            ("c:x:y", container("c", "x:y")),
            ("c:", container("c", "")),
            ("-", local("-")),
            ("x", local("x")),
            ("/a:b", local("/a:b")),
            ("./a:b", local("./a:b")),
            ("../a:b", local("../a:b")),
            (":x", local(":x")),
        ] {
            assert_eq!(Side::parse(operand), side, "{operand}");
        }
    }

    #[test]
    fn a_destination_decides_directory_and_name() {
        let shown = |path: &str, exists, is_dir, source_is_dir| {
            let target = Target { path: path.into(), exists, is_dir };
            match place(&target, source_is_dir) {
                Ok(Placed { directory, name }) => format!("{directory} {}", name.as_deref().unwrap_or("*")),
                Err(error) => error.to_owned(),
            }
        };
        for (path, exists, is_dir, file, folder) in [
            ("/t", true, true, "/t *", "/t *"),
            ("/t/", true, true, "/t/ *", "/t/ *"),
            ("/t/f", true, false, "/t f", "cannot copy directory"),
            ("/t/new", false, false, "/t new", "/t new"),
            ("/t/new/", false, false, "no such directory", "/t new"),
            ("/t/new/.", false, false, "no such directory", "/t new"),
            ("/new", false, false, "/ new", "/ new"),
            ("new", false, false, ". new", ". new"),
            ("t/new", false, false, "t new", "t new"),
            ("", false, false, "no such directory", ". "),
        ] {
            assert_eq!(shown(path, exists, is_dir, false), file, "file to {path:?}");
            assert_eq!(shown(path, exists, is_dir, true), folder, "folder to {path:?}");
        }
    }

    #[test]
    fn names_in_archives_are_last_parts() {
        for (path, name) in
            [("/o/f", "f"), ("/o/", "o"), ("/o/.", "."), ("/", "/"), ("/.", "."), ("o", "o"), (".", ".")]
        {
            assert_eq!(base(path), name, "{path}");
        }
    }

    #[test]
    fn followed_links_keep_their_own_name() {
        for (path, target, followed, rebase) in [
            ("/o/l", "/o/f", "/o/f", Some("l")),
            ("/x/f", "/o/f", "/o/f", None),
            ("/odir/", "/o", "/o/", Some("odir")),
            ("/odir/.", "/o", "/o/.", None),
        ] {
            assert_eq!(rebased(path, target), (followed.to_owned(), rebase.map(str::to_owned)), "{path}");
        }
    }
}
