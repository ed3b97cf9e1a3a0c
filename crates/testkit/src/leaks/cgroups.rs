//! Which control groups belong to a sandbox, in every hierarchy of a v1, hybrid or v2 host.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Names that a path part of the sandbox's cgroups can have.
///
/// An engine keeps everything below one cgroup named after its data root; a test that gives a `--cgroup-parent` of
/// its own names it after its root directory.
pub(super) fn names_of(root: &Path) -> Vec<String> {
    let own = root.file_name().map(|name| name.to_string_lossy().into_owned());
    own.into_iter().chain([engine_name(&root.join("data"))]).collect()
}

/// `corten-` and the first 8 hexadecimal digits of the SHA-256 of the data root's path.
fn engine_name(data_root: &Path) -> String {
    let digest = Sha256::digest(data_root.as_os_str().as_bytes());
    digest.iter().take(4).fold("corten-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// Whether the group is the engine's own, which it makes when first needed and keeps while it runs: its root, and
/// the one that holds the shims.
pub(super) fn is_furniture(group: &Path) -> bool {
    let is_root = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        name.strip_prefix("corten-").is_some_and(|hash| hash.len() == 8)
    };
    is_root(group) || (group.ends_with("shims") && group.parent().is_some_and(is_root))
}

/// Directories of the sandbox's cgroups, parents before children.
pub(super) fn belonging_to(root: &Path) -> Vec<PathBuf> {
    let names = names_of(root);
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        collect(&hierarchy, false, &names, &mut found);
    }
    found
}

fn collect(folder: &Path, inside: bool, names: &[String], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let inside = inside || names.iter().any(|name| *name == *entry.file_name().to_string_lossy());
        if inside {
            found.push(entry.path());
        }
        collect(&entry.path(), inside, names, found);
    }
}

/// Mount points of all cgroup hierarchies.
fn hierarchies() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let lines = table.lines().filter_map(|line| line.split_once(" - "));
    lines
        .filter(|(_, right)| right.starts_with("cgroup ") || right.starts_with("cgroup2 "))
        .filter_map(|(left, _)| left.split(' ').nth(4))
        .map(PathBuf::from)
        .collect()
}

/// Lets frozen groups run.
pub(super) fn thaw(groups: &[PathBuf]) {
    for group in groups {
        for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            if group.join(file).exists() {
                // A control file is written in place; there is nothing to replace.
                let _ = fs::OpenOptions::new().write(true).open(group.join(file)).map(|mut control| {
                    use std::io::Write as _;
                    control.write_all(value.as_bytes())
                });
            }
        }
    }
}

/// Removes the groups, children first; whether none is left.
pub(super) fn remove(groups: &[PathBuf]) -> bool {
    groups.iter().rev().fold(true, |all, group| {
        let gone = fs::remove_dir(group).is_ok() || !group.exists();
        all && gone
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_cgroup_is_named_after_its_data_root() {
        assert_eq!(engine_name(Path::new("/var/lib/corten")), "corten-dfb22e75");
    }
}
