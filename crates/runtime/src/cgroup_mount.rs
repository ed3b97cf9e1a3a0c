//! /sys/fs/cgroup of a container on cgroup v1 and hybrid hosts: its own directory of every hierarchy, no other.

use std::fs;
use std::io;
use std::path::Path;

use linux::mount::{Attributes, clone_tree, set_attributes};
use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use crate::cgroup::Cgroup;
use crate::mount_options::MountOptions;
use crate::sources::Source;

const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// Whether the host has the unified hierarchy alone.
pub(crate) fn is_unified() -> bool {
    rustix::fs::statfs(MOUNT_POINT).is_ok_and(|stat| stat.f_type == CGROUP2_MAGIC)
}

/// Pins the container's directory in each hierarchy; a hierarchy that has none is left out.
pub(crate) fn hierarchies(cgroup: Option<&Cgroup>, options: &MountOptions) -> io::Result<Source> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let attributes = Attributes {
        set: options.set,
        clear: options.clear & MountAttrFlags::MOUNT_ATTR__ATIME,
        propagation: MountPropagationFlags::PRIVATE,
        user_namespace: None,
    };
    let (mut trees, mut links) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(MOUNT_POINT)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.file_type()?.is_symlink() {
            // `cpu -> cpu,cpuacct`: programs look for either name.
            if let Ok(target) = fs::read_link(entry.path())?.into_os_string().into_string() {
                links.push((name, target));
            }
            continue;
        }
        let path = match cgroup {
            Some(cgroup) => cgroup.path(),
            None => own_path(&own, &name),
        };
        let directory = entry.path().join(path.trim_start_matches('/'));
        match clone_tree(CWD, &directory, false) {
            Ok(tree) => {
                set_attributes(&tree, false, &attributes)?;
                trees.push((name, tree));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Source::Hierarchies { trees, links })
}

/// The path of this process in the hierarchy mounted as `name`, from the lines of `/proc/self/cgroup`.
fn own_path<'a>(lines: &'a str, name: &str) -> &'a str {
    let find = |wanted: &dyn Fn(&str) -> bool| {
        lines.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then_some(path)
        })
    };
    let named = Path::new(name);
    match name {
        "unified" => find(&|controllers| controllers.is_empty()),
        _ => find(&|controllers| {
            Path::new(controllers) == named
                || controllers.strip_prefix("name=") == Some(name)
                || controllers.split(',').any(|one| one == name)
        }),
    }
    .unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_are_found_by_mount_name() {
        let lines = "5:cpu,cpuacct:/a\n4:memory:/m\n1:name=systemd:/s\n0::/u\n";
        for (name, path) in [
            ("cpu,cpuacct", "/a"),
            ("cpu", "/a"),
            ("memory", "/m"),
            ("systemd", "/s"),
            ("unified", "/u"),
            ("x", "/"),
        ] {
            assert_eq!(own_path(lines, name), path, "{name}");
        }
    }
}
