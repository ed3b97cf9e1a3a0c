//! The shim's own cgroup.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Where hierarchies are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Moves this process to the cgroup `path`, which is made if it is missing.
///
/// On v1 and hybrid hosts only in the hierarchies that count or limit something a shim uses, memory and pids: each
/// move costs the kernel an RCU grace period.
pub(super) fn join(path: &str) -> io::Result<()> {
    let relative = path.trim_start_matches('/');
    let root = Path::new(MOUNT);
    if root.join("cgroup.controllers").exists() {
        return join_one(&root.join(relative));
    }
    for hierarchy in ["memory", "pids"] {
        let mounted = root.join(hierarchy);
        if mounted.join("cgroup.procs").exists() {
            join_one(&mounted.join(relative))?;
        }
    }
    Ok(())
}

fn join_one(directory: &Path) -> io::Result<()> {
    let open = || File::options().write(true).open(directory.join("cgroup.procs"));
    let mut procs = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(directory)?;
            open()?
        }
        other => other?,
    };
    // 0 is the process that writes.
    procs.write_all(b"0")
}
