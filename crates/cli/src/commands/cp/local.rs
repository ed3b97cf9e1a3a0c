//! The side of a copy that is on this machine.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use crate::error::{CommandError, path_error};

use super::plan::{Target, base, names_directory};

/// Links followed at the end of a destination.
const MAX_LINKS: usize = 10;

/// A local file or directory to be copied.
#[derive(Debug)]
pub(super) struct Source {
    /// The directory it is in.
    pub(super) dir: OwnedFd,
    /// Its name there.
    pub(super) name: OsString,
    /// What it is archived as when it keeps its name.
    pub(super) archive_name: String,
    /// It is a directory.
    pub(super) is_dir: bool,
}

impl Source {
    /// Finds a file. A link is followed if that is asked for or if the path says that it is a directory.
    pub(super) fn find(path: &str, follow: bool) -> Result<Self, CommandError> {
        let given = absolute(path)?;
        let clean = cleaned(&given);
        let mut real = PathBuf::from(&clean);
        let fail = |path: &Path, error: io::Error| {
            CommandError::new(path_error("lstat", &path.to_string_lossy(), &error))
        };
        let mut metadata = fs::symlink_metadata(&real).map_err(|error| fail(&real, error))?;
        if metadata.is_symlink() && (follow || names_directory(&given)) {
            let target = fs::read_link(&real).map_err(|error| fail(&real, error))?;
            let target = real.parent().unwrap_or(Path::new("/")).join(target);
            real = fs::canonicalize(&target)
                .map_err(|error| fail(Path::new(&cleaned(&target.to_string_lossy())), error))?;
            metadata = fs::symlink_metadata(&real).map_err(|error| fail(&real, error))?;
        }
        let is_dir = metadata.is_dir();
        if names_directory(&given) && !is_dir {
            return Err(CommandError::new("not a directory"));
        }
        // The root is archived from itself.
        let (parent, name) = match (real.parent(), real.file_name()) {
            (Some(parent), Some(name)) => (parent, name.to_owned()),
            _ => (real.as_path(), OsString::from(".")),
        };
        let dir = linux::fs::open_dir(parent)
            .map_err(|error| CommandError::new(path_error("open", &parent.to_string_lossy(), &error)))?;
        Ok(Self { dir, name, archive_name: base(&given), is_dir })
    }
}

/// A path from the root, cleaned but for a `/` or `/.` at its end.
pub(super) fn absolute(path: &str) -> Result<String, CommandError> {
    let here = env::current_dir().map_err(|error| CommandError::new(path_error("getwd", ".", &error)))?;
    let end = match path {
        _ if path == "." || path.ends_with("/.") => "/.",
        _ if path.ends_with('/') => "/",
        _ => "",
    };
    let clean = cleaned(&here.join(path).to_string_lossy());
    Ok(if clean == "/" { format!("/{}", end.trim_start_matches('/')) } else { format!("{clean}{end}") })
}

/// An absolute path without dots, as Go cleans it.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", parts.join("/"))
}

/// Refuses a destination whose directory is not there, before the engine starts to work.
pub(super) fn check_output(path: &str) -> Result<(), CommandError> {
    let clean = cleaned(path);
    let parent = Path::new(&clean).parent().unwrap_or(Path::new("/"));
    if !parent.exists() {
        let parent = crate::flags::value::quoted(&parent.to_string_lossy());
        return Err(CommandError::new(format!("invalid output path: directory {parent} does not exist")));
    }
    match fs::metadata(&clean) {
        Ok(metadata) if !metadata.is_dir() && !metadata.is_file() => Err(CommandError::new(format!(
            "invalid output path: {path} must be a directory or a regular file"
        ))),
        _ => Ok(()),
    }
}

/// Looks at a destination, following links at its end, also to what is not there yet.
pub(super) fn target(path: &str) -> Result<Target, CommandError> {
    let mut real = PathBuf::from(path);
    for _ in 0..MAX_LINKS {
        // A link named with a slash at its end is looked through by the system itself.
        match fs::symlink_metadata(&real) {
            Ok(metadata) if metadata.is_symlink() => {
                let link = fs::read_link(&real)
                    .map_err(|error| CommandError::new(path_error("readlink", path, &error)))?;
                let parent = real.parent().unwrap_or(Path::new("/")).to_owned();
                real = PathBuf::from(cleaned(&parent.join(link).to_string_lossy()));
            }
            Ok(metadata) => {
                let path = real.to_string_lossy().into_owned();
                return Ok(Target { path, exists: true, is_dir: metadata.is_dir() });
            }
            Err(_) => {
                return Ok(Target {
                    path: real.to_string_lossy().into_owned(),
                    exists: false,
                    is_dir: false,
                });
            }
        }
    }
    Err(CommandError::new(format!("too many symlinks in {path}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("corten-cp-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("src/sub")).unwrap();
            linux::fs::replace(&path.join("src/one"), b"one").unwrap();
            for (link, target) in
                [("folder", "src"), ("file", "src/one"), ("dangling", "nowhere"), ("chain", "dangling")]
            {
                symlink(target, path.join(link)).unwrap();
            }
            Self(path)
        }

        fn path(&self, path: &str) -> String {
            self.0.join(path).to_string_lossy().into_owned()
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn sources_follow_links_where_the_path_or_the_flag_says_so() {
        let dir = TempDir::new("source");
        for (path, follow, wanted) in [
            ("src", false, "src as src, folder"),
            ("src/", false, "src as src, folder"),
            ("src/.", false, "src as ., folder"),
            ("src/one", false, "one as one"),
            ("folder", false, "folder as folder"),
            ("folder/", false, "src as folder, folder"),
            ("folder/.", false, "src as ., folder"),
            ("folder", true, "src as folder, folder"),
            ("file", true, "one as file"),
            ("src/one/", false, "not a directory"),
            ("dangling", false, "dangling as dangling"),
            ("dangling", true, "lstat {}/nowhere: no such file or directory"),
            ("none", false, "lstat {}/none: no such file or directory"),
            ("none/", false, "lstat {}/none: no such file or directory"),
        ] {
            let found = match Source::find(&dir.path(path), follow) {
                Ok(source) => {
                    let kind = if source.is_dir { ", folder" } else { "" };
                    format!("{} as {}{kind}", source.name.to_string_lossy(), source.archive_name)
                }
                Err(error) => error.message,
            };
            assert_eq!(
                found,
                wanted.replace("{}", &dir.path("")[..dir.path("").len() - 1]),
                "{path} {follow}"
            );
        }
    }

    #[test]
    fn destinations_are_seen_through_links() {
        let dir = TempDir::new("target");
        for (path, leads_to, exists, is_dir) in [
            ("src", "src", true, true),
            ("folder", "src", true, true),
            ("file", "src/one", true, false),
            ("dangling", "nowhere", false, false),
            ("chain", "nowhere", false, false),
            ("src/new", "src/new", false, false),
        ] {
            let target = target(&dir.path(path)).unwrap();
            assert_eq!(target, Target { path: dir.path(leads_to), exists, is_dir }, "{path}");
        }
        symlink("loop", dir.0.join("loop")).unwrap();
        assert!(target(&dir.path("loop")).is_err());
        let error = check_output(&dir.path("none/x")).unwrap_err().message;
        assert_eq!(error, format!("invalid output path: directory \"{}\" does not exist", dir.path("none")));
    }

    #[test]
    fn paths_are_made_absolute_and_keep_their_end() {
        for (path, wanted) in
            [("/a/../b/", "/b/"), ("/a/.", "/a/."), ("/", "/"), ("/..", "/"), ("/a//b", "/a/b")]
        {
            assert_eq!(absolute(path).unwrap(), wanted);
        }
        let here = env::current_dir().unwrap().to_string_lossy().into_owned();
        assert_eq!(absolute("x").unwrap(), format!("{here}/x"));
    }
}
