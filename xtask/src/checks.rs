//! The checks. Each gives the list of what it found wrong, with the file or crate in the text.

use std::fs;
use std::path::Path;

use crate::licences;
use crate::tree::Repository;

/// A check's name, which is its claim, and the check.
pub(crate) type Check = (&'static str, fn(&Repository) -> Vec<String>);

/// All of them.
pub(crate) const ALL: [Check; 8] = [
    ("crates use only what stands below them", edges_point_down),
    ("runtime and shim stay small: no async runtime, no HTTP, no TLS", low_crates_are_synchronous),
    ("unsafe code stands in crate linux alone", unsafe_is_in_linux),
    ("every crate has the workspace's lints", every_crate_is_linted),
    ("every crate has its paragraph in ARCHITECTURE.md", architecture_names_every_crate),
    ("no path of somebody's machine is in the tree", no_machine_paths),
    ("no test is skipped, nothing is left to do", no_unfinished_work),
    ("every dependency's licence is allowed in deny.toml", licences::are_allowed),
];

/// What each crate may use of ours. A new edge is a decision: it is made here, and ARCHITECTURE.md says why.
/// Stores never use each other sideways except content ← snapshots ← images; servers reach the stores through engine.
const MAY_USE: [(&str, &[&str]); 19] = [
    ("oci", &[]),
    ("api-types", &[]),
    ("linux", &[]),
    ("failpoints", &[]),
    ("archive", &["linux"]),
    ("db", &["linux"]),
    ("runtime", &["oci", "linux", "failpoints"]),
    ("shim", &["runtime", "oci", "linux", "failpoints"]),
    ("content", &["oci", "linux", "db"]),
    ("snapshots", &["archive", "content", "oci", "linux", "db"]),
    ("images", &["snapshots", "archive", "content", "oci", "linux", "db"]),
    (
        "engine",
        &[
            "images",
            "snapshots",
            "archive",
            "content",
            "shim",
            "runtime",
            "api-types",
            "oci",
            "linux",
            "db",
            "failpoints",
        ],
    ),
    ("api-client", &["api-types"]),
    ("api-server", &["engine", "images", "shim", "api-types", "oci", "linux"]),
    ("cli", &["api-client", "api-types", "archive", "oci", "linux"]),
    ("daemon", &["api-server", "engine", "images", "linux", "failpoints"]),
    ("corten", &["cli", "daemon"]),
    ("testkit", &["api-client"]),
    ("xtask", &[]),
];

fn edges_point_down(repository: &Repository) -> Vec<String> {
    let mut found = Vec::new();
    for package in repository.own() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
            found.push(format!("{} is not in the table of what may use what", package.name));
            continue;
        };
        let used = package.uses.iter().filter_map(|id| repository.packages.get(id)).filter(|used| used.ours);
        let wrong = used.filter(|used| !allowed.contains(&used.name.as_str()));
        found.extend(wrong.map(|used| format!("{} uses {}", package.name, used.name)));
    }
    found
}

fn low_crates_are_synchronous(repository: &Repository) -> Vec<String> {
    let low = ["runtime", "shim", "linux", "oci"];
    let barred =
        ["tokio", "hyper", "axum", "http", "rustls", "ring", "futures-util", "rusqlite", "clap", "tracing"];
    let packages = repository.own().filter(|package| low.contains(&package.name.as_str()));
    packages
        .flat_map(|package| {
            let closure = repository.closure(package);
            barred
                .into_iter()
                .filter(move |name| closure.contains(name))
                .map(|name| format!("{} links {name}", package.name))
        })
        .collect()
}

fn unsafe_is_in_linux(repository: &Repository) -> Vec<String> {
    let roots = repository.own().filter(|package| package.name != "linux").flat_map(|package| {
        let sources = package.folder.join("src");
        let programs =
            fs::read_dir(sources.join("bin")).into_iter().flatten().flatten().map(|entry| entry.path());
        let roots = ["lib.rs", "main.rs"].map(|file| sources.join(file)).into_iter().chain(programs);
        roots.filter(|path| path.is_file()).collect::<Vec<_>>()
    });
    roots
        .filter(|path| !fs::read_to_string(path).is_ok_and(|text| text.contains("#![forbid(unsafe_code)]")))
        .map(|path| format!("{} has no #![forbid(unsafe_code)]", shown(repository, &path)))
        .collect()
}

fn every_crate_is_linted(repository: &Repository) -> Vec<String> {
    let manifests = repository.own().map(|package| package.folder.join("Cargo.toml"));
    manifests
        .filter(|path| !fs::read_to_string(path).is_ok_and(|text| text.contains("[lints]\nworkspace = true")))
        .map(|path| format!("{} does not take the workspace's lints", shown(repository, &path)))
        .collect()
}

fn architecture_names_every_crate(repository: &Repository) -> Vec<String> {
    let Ok(text) = fs::read_to_string(repository.root.join("ARCHITECTURE.md")) else { return Vec::new() };
    let missing = repository.own().filter(|package| !text.contains(&format!("`{}`", package.name)));
    missing.map(|package| format!("`{}` is not mentioned", package.name)).collect()
}

fn no_machine_paths(repository: &Repository) -> Vec<String> {
    let beside = repository.root.parent().map(|parent| format!("{}/", parent.display()));
    let cargo = std::env::var("CARGO_HOME").ok();
    let paths: Vec<_> = beside.into_iter().chain(cargo).filter(|path| path.len() > 2).collect();
    every_line(repository, |_, line| paths.iter().any(|path| line.contains(path)))
}

fn no_unfinished_work(repository: &Repository) -> Vec<String> {
    // Written apart, so that this file does not find itself.
    let marks =
        [concat!("#[ign", "ore"), concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimple", "mented!(")];
    every_line(repository, |path, line| {
        path.extension().is_some_and(|kind| kind == "rs") && marks.iter().any(|mark| line.contains(mark))
    })
}

fn every_line(repository: &Repository, wrong: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in repository.texts() {
        let lines = text.lines().enumerate().filter(|(_, line)| wrong(&path, line));
        found.extend(lines.map(|(at, line)| format!("{}:{}: {}", path.display(), at + 1, line.trim())));
    }
    found
}

fn shown(repository: &Repository, path: &Path) -> String {
    path.strip_prefix(&repository.root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static REPOSITORY: LazyLock<Repository> = LazyLock::new(Repository::open);

    #[track_caller]
    fn holds(wanted: fn(&Repository) -> Vec<String>) {
        let found = wanted(&REPOSITORY);
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }

    #[test]
    fn crates_use_only_what_stands_below_them() {
        holds(edges_point_down);
    }

    #[test]
    fn runtime_and_shim_stay_small() {
        holds(low_crates_are_synchronous);
    }

    #[test]
    fn unsafe_code_stands_in_crate_linux_alone() {
        holds(unsafe_is_in_linux);
    }

    #[test]
    fn every_crate_has_the_lints_of_the_workspace() {
        holds(every_crate_is_linted);
    }

    #[test]
    fn every_crate_has_its_paragraph_in_the_architecture() {
        holds(architecture_names_every_crate);
    }

    #[test]
    fn no_path_of_a_machine_is_in_the_tree() {
        holds(no_machine_paths);
    }

    #[test]
    fn no_test_is_skipped_and_nothing_is_left_to_do() {
        holds(no_unfinished_work);
    }

    #[test]
    fn every_licence_is_allowed() {
        holds(licences::are_allowed);
    }

    #[test]
    fn the_table_of_edges_has_no_cycle() {
        // In the order of the table every crate comes after what it may use, except for testkit's client.
        for (at, (name, allowed)) in MAY_USE.iter().enumerate() {
            for used in *allowed {
                let below = MAY_USE[..at].iter().any(|(other, _)| other == used);
                assert!(below, "{name} may use {used}, which does not stand before it");
            }
        }
    }
}
