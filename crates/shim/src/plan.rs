//! What the engine hands to a shim: one container's [`Plan`], one exec's [`ExecPlan`].
//!
//! As bytes in a memfd: `u32` little-endian length of the JSON document, the JSON document, then to the end of
//! the file the compiled seccomp program (`struct sock_filter[]`, native byte order), which may be empty. The
//! program comes compiled because the engine compiles it once per profile, not once per container.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

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
    /// `runtime::seccomp::Program::flags` of the compiled program that comes with this document.
    #[serde(default)]
    pub seccomp_flags: u32,
    /// A process of ours is the container's first one, runs the program as its child and reaps.
    #[serde(default)]
    pub reaper: bool,
    /// Pid of the process whose `/dev/shm` becomes the container's; the specification has a bind mount for it.
    #[serde(default)]
    pub shm_of: Option<i32>,
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
        /// Nothing written there needs to outlive this machine's power: `fsync` in the container returns at once, and
        /// the end of the mount does not wait for the disk.
        #[serde(default)]
        volatile: bool,
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
    /// `runtime::seccomp::Program::flags` of the compiled program that comes with this document.
    #[serde(default)]
    pub seccomp_flags: u32,
    /// It belongs to its client, as a health check does to the engine: when the client's connection ends before it,
    /// it is killed with everything that it started. What it leaves running otherwise goes on. Its end is told, and
    /// then forgotten.
    #[serde(default)]
    pub tied: bool,
}

/// Largest memfd that is read: a specification with thousands of mounts stays far below.
const MAX_DOCUMENT: u64 = 8 * 1024 * 1024;

/// A document read back from a memfd.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<T> {
    /// The document.
    pub document: T,
    /// SHA-256 of its JSON bytes, hexadecimal.
    pub digest: String,
    /// The compiled seccomp program; may be empty.
    pub seccomp: Vec<u8>,
}

impl Plan {
    /// The plan as a sealed memfd, to be sent with `Request::Create`.
    pub fn to_memfd(&self, seccomp: &[u8]) -> io::Result<OwnedFd> {
        store("corten-plan", self, seccomp)
    }

    /// Reads a plan; refuses sizes that do not add up and versions it does not know.
    pub fn from_memfd(memfd: BorrowedFd<'_>) -> io::Result<Loaded<Self>> {
        let loaded: Loaded<Self> = load(memfd)?;
        check_version(loaded.document.version)?;
        Ok(loaded)
    }
}

impl ExecPlan {
    /// The plan as a sealed memfd, to be sent with `Request::Exec`. With an empty `seccomp` the process gets the
    /// container's own program (none if `privileged`).
    pub fn to_memfd(&self, seccomp: &[u8]) -> io::Result<OwnedFd> {
        store("corten-exec", self, seccomp)
    }

    /// Reads a plan; refuses sizes that do not add up and versions it does not know.
    pub fn from_memfd(memfd: BorrowedFd<'_>) -> io::Result<Loaded<Self>> {
        let loaded: Loaded<Self> = load(memfd)?;
        check_version(loaded.document.version)?;
        Ok(loaded)
    }
}

fn check_version(version: u32) -> io::Result<()> {
    if version == 1 { Ok(()) } else { Err(malformed(format!("version {version} is not known"))) }
}

fn malformed(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("plan: {why}"))
}

fn store<T: Serialize>(name: &str, document: &T, seccomp: &[u8]) -> io::Result<OwnedFd> {
    if !seccomp.len().is_multiple_of(FILTER_SIZE) {
        return Err(malformed("seccomp program is not a whole number of instructions"));
    }
    let json = serde_json::to_vec(document)?;
    let length = u32::try_from(json.len()).map_err(|_| malformed("document is too large"))?;
    linux::memfd::sealed(name, &[&length.to_le_bytes(), &json, seccomp])
}

fn load<T: DeserializeOwned>(memfd: BorrowedFd<'_>) -> io::Result<Loaded<T>> {
    let bytes = linux::memfd::read(memfd, MAX_DOCUMENT)?;
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| malformed("no length"))?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(malformed)?;
    let (json, seccomp) = rest.split_at_checked(length).ok_or_else(|| malformed("length is past the end"))?;
    if !seccomp.len().is_multiple_of(FILTER_SIZE) {
        return Err(malformed("seccomp program is not a whole number of instructions"));
    }
    let document = serde_json::from_slice(json)?;
    Ok(Loaded { document, digest: sha256(json), seccomp: seccomp.to_vec() })
}

fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        hex.push(char::from(HEX[usize::from(byte >> 4)]));
        hex.push(char::from(HEX[usize::from(byte & 15)]));
    }
    hex
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// `sizeof(struct sock_filter)`.
const FILTER_SIZE: usize = 8;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn plan() -> Plan {
        Plan {
            reaper: true,
            shm_of: Some(7),
            version: 1,
            id: "ab".repeat(32),
            run_dir: "/run/corten/containers/ab".into(),
            rootfs: Rootfs::Overlay {
                lower: vec!["/l1".into(), "/l2".into()],
                upper: "/u".into(),
                work: "/w".into(),
                volatile: true,
            },
            spec: Spec::default(),
            user: "daemon".into(),
            groups: vec!["10".into()],
            open_stdin: true,
            stdin_once: false,
            seccomp_flags: 4,
            log: None,
            shim_cgroup: Some("/corten-1/shim".into()),
        }
    }

    #[test]
    fn a_plan_survives_its_memfd() {
        let seccomp = [7u8; 16];
        let memfd = plan().to_memfd(&seccomp).unwrap();
        for _ in 0..2 {
            let loaded = Plan::from_memfd(memfd.as_fd()).unwrap();
            assert_eq!(loaded.document, plan());
            assert_eq!(loaded.seccomp, seccomp);
            assert_eq!(loaded.digest, sha256(&serde_json::to_vec(&plan()).unwrap()));
        }
    }

    #[test]
    fn the_digest_is_sha256() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_memfd_that_does_not_add_up_is_refused() {
        let json = serde_json::to_vec(&Plan { version: 2, ..plan() }).unwrap();
        let length = u32::try_from(json.len()).unwrap().to_le_bytes();
        let cases: [(&str, Vec<u8>); 6] = [
            ("empty", vec![]),
            ("short length", vec![1, 0]),
            ("length past the end", vec![200, 0, 0, 0, b'{', b'}']),
            ("not the document", vec![2, 0, 0, 0, b'{', b'}']),
            ("half an instruction", vec![2, 0, 0, 0, b'{', b'}', 1, 2, 3]),
            ("later version", [&length[..], &json].concat()),
        ];
        for (what, bytes) in cases {
            let memfd = linux::memfd::sealed("test", &[&bytes]).unwrap();
            assert!(Plan::from_memfd(memfd.as_fd()).is_err(), "{what}");
        }
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(Plan::from_memfd(null.as_fd()).is_err(), "a device");
    }
}
