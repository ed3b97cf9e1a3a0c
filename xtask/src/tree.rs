//! The repository as the checks see it: its files, and what cargo knows of its packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A package of the dependency graph.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) licence: Option<String>,
    /// Whether it stands in this repository.
    pub(crate) ours: bool,
    /// Folder of its manifest.
    pub(crate) folder: PathBuf,
    /// Ids of the packages that a build of it links or runs; what only its tests use is not among them.
    pub(crate) uses: BTreeSet<String>,
}

/// The repository.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
    /// By cargo's package id.
    pub(crate) packages: BTreeMap<String, Package>,
}

impl Repository {
    /// Asks cargo for the packages. Needs no network beyond what a build needs.
    pub(crate) fn open() -> Self {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the repository").to_owned();
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
                "x86_64-unknown-linux-gnu",
            ])
            .current_dir(&root)
            .output()
            .expect("cargo metadata");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON of cargo metadata");
        let mut packages: BTreeMap<_, _> = list(&metadata["packages"]).iter().map(package).collect();
        for node in list(&metadata["resolve"]["nodes"]) {
            let id = text(&node["id"]);
            let used = list(&node["deps"]).iter().filter(|dep| is_built(dep)).map(|dep| text(&dep["pkg"]));
            if let Some(package) = packages.get_mut(&id) {
                package.uses = used.collect();
            }
        }
        Self { root, packages }
    }

    /// The crates of this repository.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.ours)
    }

    /// Names of everything that the package links, directly or not.
    pub(crate) fn closure(&self, package: &Package) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        let mut open: Vec<_> = package.uses.iter().collect();
        while let Some(package) = open.pop().and_then(|id| self.packages.get(id)) {
            if names.insert(package.name.as_str()) {
                open.extend(&package.uses);
            }
        }
        names
    }

    /// Every text file of the repository, by its path in it; what was built is not part of it.
    pub(crate) fn texts(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        collect(&self.root, &self.root, &mut found);
        found
    }
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        let name = entry.file_name();
        let built = folder == root && [".git", "target", "bin"].iter().any(|skipped| name == *skipped);
        if built || path.join("CACHEDIR.TAG").exists() {
            continue;
        }
        if kind.as_ref().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &path, found);
        } else if kind.is_ok_and(|kind| kind.is_file())
            && let Ok(text) = fs::read_to_string(&path)
        {
            found.push((path.strip_prefix(root).unwrap_or(&path).to_owned(), text));
        }
    }
}

fn package(value: &Value) -> (String, Package) {
    let manifest = PathBuf::from(text(&value["manifest_path"]));
    let package = Package {
        name: text(&value["name"]),
        licence: value["license"].as_str().map(str::to_owned),
        ours: value["source"].is_null(),
        folder: manifest.parent().expect("a manifest is in a folder").to_owned(),
        uses: BTreeSet::new(),
    };
    (text(&value["id"]), package)
}

/// Whether the dependency is a normal or build one on some platform.
fn is_built(dep: &Value) -> bool {
    list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
