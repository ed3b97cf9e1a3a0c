//! What the engine hands to a shim: one container's [`Plan`], one exec's [`ExecPlan`].
//!
//! As bytes in a memfd: `u32` little-endian length of the JSON document, the JSON document, then to the end of
//! the file the compiled seccomp program (`struct sock_filter[]`, native byte order), which may be empty. The
//! program comes compiled because the engine compiles it once per profile, not once per container.

use std::path::PathBuf;

use oci::runtime::{Process, Spec};
use serde::{Deserialize, Serialize};

/// Everything a shim needs to run one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this document, 1.
    pub version: u32,
    /// Container id, 64 hexadecimal digits.
    pub id: String,
    /// The container's runtime directory (`<exec-root>/containers/<id>`); it exists. The shim makes the socket `s`
    /// and the exit record `exit` (see `record`) in it.
    pub run_dir: PathBuf,
    /// The root file system.
    pub rootfs: Rootfs,
    /// Runtime specification; `root.path` is ignored, `root.readonly` is honoured, `linux.seccomp` is ignored in
    /// favour of the compiled program. `process.user` is overridden by `user`.
    pub spec: Spec,
    /// Docker's user string (`daemon:users`, `1000`, empty), resolved in the container's root by the shim.
    pub user: String,
    /// Extra groups by name or number, resolved likewise.
    pub groups: Vec<String>,
    /// Keep standard input open for clients that attach (`-i`).
    pub open_stdin: bool,
    /// Close standard input when the first client that attached to it leaves.
    pub stdin_once: bool,
    /// The log file; none with the log driver `none`.
    pub log: Option<Log>,
    /// Cgroup (below the hierarchies' mount points) that the shim itself moves to, if any.
    pub shim_cgroup: Option<String>,
}

/// The root file system of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// An overlay that the shim makes detached.
    Overlay {
        /// Layer directories, the uppermost first.
        lower: Vec<PathBuf>,
        /// Writable directory.
        upper: PathBuf,
        /// Overlay work directory.
        work: PathBuf,
    },
    /// A directory as it is.
    Directory(PathBuf),
}

/// A `json-file` log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The current file; rotated ones are `<path>.1`, `<path>.2`, ….
    pub path: PathBuf,
    /// Bytes after which the file is rotated; none: never.
    pub max_size: Option<u64>,
    /// Number of files kept, the current one included; at least 1.
    pub max_file: u32,
    /// `attrs` object of every line (`--log-opt labels=`, `env=`, `tag=`); empty: none.
    pub attrs: std::collections::BTreeMap<String, String>,
}

/// One more process in a running container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecPlan {
    /// Version of this document, 1.
    pub version: u32,
    /// The process; `user` is overridden by the field below.
    pub process: Process,
    /// Docker's user string; empty: as the container's own process.
    pub user: String,
    /// Forward standard input.
    pub open_stdin: bool,
    /// Give it all capabilities and no seccomp filter (`exec --privileged`).
    pub privileged: bool,
}
