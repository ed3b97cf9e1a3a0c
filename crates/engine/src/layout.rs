//! Paths on disk: the one place that knows them.
//!
//! ```text
//! <data-root>/                        0700, one engine at a time
//! ├── corten.db                       the truth
//! ├── containers/<id>/                0700
//! │   ├── upper, work                 overlay directories
//! │   ├── <id>-json.log[.n]           log file
//! │   └── hosts, hostname, resolv.conf
//! └── …                               content/ and layers/ belong to the image store
//! <exec-root>/                        0700, gone at boot
//! └── containers/<id>/{s,exit}        shim's socket, exit record
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The directories of one engine.
#[derive(Debug, Clone)]
pub struct Layout {
    data_root: PathBuf,
    exec_root: PathBuf,
    cgroup_root: String,
}

impl Layout {
    /// The layout below two roots. Without `cgroup_root` the cgroup is named after the data root, so that two
    /// engines on one machine never meet.
    pub fn new(data_root: &Path, exec_root: &Path, cgroup_root: Option<&str>) -> Self {
        let cgroup_root = cgroup_root.map_or_else(|| default_cgroup_root(data_root), str::to_owned);
        Self { data_root: data_root.to_owned(), exec_root: exec_root.to_owned(), cgroup_root }
    }

    /// Persistent data.
    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    /// Runtime data.
    pub fn exec_root(&self) -> &Path {
        &self.exec_root
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.data_root.join("corten.db")
    }

    /// Where containers' directories are.
    pub fn containers(&self) -> PathBuf {
        self.data_root.join("containers")
    }

    /// A container's directory.
    pub fn container(&self, id: &str) -> ContainerDir {
        ContainerDir { root: self.containers().join(id), id: id.to_owned() }
    }

    /// Where runtime directories of containers are.
    pub fn run_dirs(&self) -> PathBuf {
        self.exec_root.join("containers")
    }

    /// A container's runtime directory.
    pub fn run_dir(&self, id: &str) -> PathBuf {
        self.run_dirs().join(id)
    }

    /// Cgroup of this engine, with a leading slash.
    pub fn cgroup_root(&self) -> &str {
        &self.cgroup_root
    }

    /// Cgroup of the shims.
    pub fn shim_cgroup(&self) -> String {
        format!("{}/shims", self.cgroup_root)
    }

    /// Cgroup of a container, below `parent` when the user named one.
    pub fn cgroup(&self, id: &str, parent: &str) -> String {
        match parent {
            "" => format!("{}/{id}", self.cgroup_root),
            parent if parent.starts_with('/') => format!("{}/{id}", parent.trim_end_matches('/')),
            parent => format!("/{}/{id}", parent.trim_end_matches('/')),
        }
    }
}

fn default_cgroup_root(data_root: &Path) -> String {
    let digest = Sha256::digest(data_root.as_os_str().as_encoded_bytes());
    let mut name = String::from("/corten-");
    for byte in digest.iter().take(4) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The files of one container.
#[derive(Debug, Clone)]
pub struct ContainerDir {
    root: PathBuf,
    id: String,
}

impl ContainerDir {
    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Overlay's writable directory.
    pub fn upper(&self) -> PathBuf {
        self.root.join("upper")
    }
    /// Overlay's work directory.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }
    /// The current log file.
    pub fn log(&self) -> PathBuf {
        self.root.join(format!("{}-json.log", self.id))
    }
    /// `/etc/hosts` of the container.
    pub fn hosts(&self) -> PathBuf {
        self.root.join("hosts")
    }
    /// `/etc/hostname` of the container.
    pub fn hostname(&self) -> PathBuf {
        self.root.join("hostname")
    }
    /// `/etc/resolv.conf` of the container.
    pub fn resolv_conf(&self) -> PathBuf {
        self.root.join("resolv.conf")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_engines_never_share_a_cgroup() {
        let a = Layout::new(Path::new("/var/lib/corten"), Path::new("/run/corten"), None);
        let b = Layout::new(Path::new("/srv/corten"), Path::new("/run/corten"), None);
        assert_ne!(a.cgroup_root(), b.cgroup_root());
        assert_eq!(a.cgroup_root().len(), "/corten-".len() + 8);
    }

    #[test]
    fn a_cgroup_parent_is_taken_verbatim() {
        let layout = Layout::new(Path::new("/d"), Path::new("/e"), Some("/r"));
        assert_eq!(layout.cgroup("x", ""), "/r/x");
        assert_eq!(layout.cgroup("x", "/a/b/"), "/a/b/x");
        assert_eq!(layout.cgroup("x", "a"), "/a/x");
    }
}
