//! What is kept of a container between two commands.
//!
//! ```text
//! <root>/                   mode 0700, gone at boot (default /run/corten-runtime)
//! └── <id>/                 mode 0700, exists while the container does
//!     ├── state.json        [`Record`], put there by rename: complete from the start
//!     └── start             socket on which the created process waits; gone once started
//! ```
//!
//! **Invariant:** a pid counts only together with its start time, so a number that was used again is never taken
//! for the container.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci::runtime::{Spec, State};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Failure, Naming};

/// Directory of all containers.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

/// What `state.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Version of this document, 1.
    pub version: u32,
    /// Host pid of the first process.
    pub pid: i32,
    /// Its start time in clock ticks since boot.
    pub start_time: u64,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root file system.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Path of its cgroup.
    pub cgroup: Option<String>,
    /// The systemd scope that this cgroup is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Its group of the `resctrl` file system, if that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<PathBuf>,
    /// The bundle's config.json as it was at create: exec, start and delete go by this one. In the same file,
    /// because each file costs what a mount does.
    pub config: Box<RawValue>,
}

/// A container on disk.
#[derive(Debug)]
pub(crate) struct Container {
    pub id: String,
    pub directory: PathBuf,
    pub record: Record,
}

impl Store {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the directory of a new container.
    pub(crate) fn reserve(&self, id: &str) -> Result<PathBuf, Failure> {
        check_id(id)?;
        let directory = self.root.join(id);
        let make = |recursive| DirBuilder::new().mode(0o700).recursive(recursive).create(&directory);
        match make(false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new()
                    .mode(0o700)
                    .recursive(true)
                    .create(&self.root)
                    .naming(|| format!("create {}", self.root.display()))?;
                make(false)
            }
            result => result,
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::new(format_args!("container {id} already exists")),
            _ => Failure::new(format_args!("create {}: {error}", directory.display())),
        })?;
        Ok(directory)
    }

    /// Opens a container.
    pub(crate) fn container(&self, id: &str) -> Result<Container, Failure> {
        check_id(id)?;
        let directory = self.root.join(id);
        let path = directory.join("state.json");
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(format_args!("container {id} does not exist")),
            _ => Failure::new(format_args!("read {}: {error}", path.display())),
        })?;
        let record = serde_json::from_slice(&bytes).naming(|| format!("read {}", path.display()))?;
        Ok(Container { id: id.to_owned(), directory, record })
    }

    /// Directory of a container that may be broken.
    pub(crate) fn directory(&self, id: &str) -> Result<PathBuf, Failure> {
        check_id(id)?;
        Ok(self.root.join(id))
    }

    /// All containers, by name; directories without a state are containers being created.
    pub(crate) fn containers(&self) -> Result<Vec<Container>, Failure> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.naming(|| format!("read {}", self.root.display()))?,
        };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut containers: Vec<_> = ids.filter_map(|id| self.container(&id).ok()).collect();
        containers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(containers)
    }
}

/// An id is a file name, and nothing a shell or a path would take apart.
fn check_id(id: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id.len() > 1024 || id == "." || id == ".." || !id.bytes().all(allowed) {
        return Err(Failure::new(format_args!("invalid container id {id:?}: letters, digits, _ + - . only")));
    }
    Ok(())
}

/// Writes a file of `directory` under a passing name first: whoever reads it finds all of it.
///
/// Not synced to disk: it describes processes, which do not outlive the machine either.
pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let (temporary, path) = (directory.join(format!(".{name}")), directory.join(name));
    File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, &path))
        .naming(|| format!("write {}", path.display()))
}

/// Start time of a process in clock ticks since boot.
pub(crate) fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may itself contain anything; field 22 is the 20th after it.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed /proc/PID/stat");
    fields.split(' ').nth(19).and_then(|field| field.parse().ok()).ok_or_else(malformed)
}

impl Container {
    /// The specification as it was at create.
    pub(crate) fn spec(&self) -> Result<Spec, Failure> {
        serde_json::from_str(self.record.config.get())
            .naming(|| format!("read {}", self.directory.join("state.json").display()))
    }

    /// The first process, while it lives; a zombie does not.
    pub(crate) fn process(&self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(self.record.pid)?, PidfdFlags::empty()).ok()?;
        // The order matters: the descriptor pins the process that the start time is then read of.
        if start_time(self.record.pid).ok()? != self.record.start_time {
            return None;
        }
        let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let ended = rustix::event::poll(&mut fds, Some(&none)).ok()? > 0;
        (!ended).then_some(pidfd)
    }

    /// The cgroup, if it has one.
    pub(crate) fn cgroup(&self) -> Option<runtime::cgroup::Cgroup> {
        self.record.cgroup.as_deref().map(runtime::cgroup::Cgroup::open)
    }

    /// `created`, `running` or `stopped`.
    pub(crate) fn status(&self) -> &'static str {
        match self.process() {
            None => "stopped",
            Some(_) if self.directory.join("start").exists() => "created",
            Some(_) => "running",
        }
    }

    /// The answer of `state`.
    pub(crate) fn state(&self) -> Result<State, Failure> {
        let status = self.status();
        Ok(State {
            oci_version: oci::runtime::OCI_VERSION.to_owned(),
            id: self.id.clone(),
            status: status.to_owned(),
            pid: (status != "stopped").then_some(self.record.pid),
            bundle: self.record.bundle.clone(),
            annotations: self.spec()?.annotations,
        })
    }
}
