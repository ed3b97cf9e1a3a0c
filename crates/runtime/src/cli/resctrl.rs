//! `linux.intelRdt`: a group of the `resctrl` file system, by which Intel's and AMD's processors share out cache and
//! memory bandwidth. Only such processors, and kernels that have it mounted, have it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci::runtime::IntelRdt;

use super::{Failure, Naming};

/// Where it is mounted.
pub(crate) const MOUNT: &str = "/sys/fs/resctrl";

/// A container's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    directory: PathBuf,
    /// Made for the container, and for it alone.
    own: bool,
}

impl Group {
    /// Makes or finds the group of container `id`, and sets its shares.
    pub(crate) fn prepare(mount: &Path, id: &str, wanted: &IntelRdt) -> Result<Self, Failure> {
        if !mount.join("schemata").exists() {
            return Err(Failure::new(format_args!(
                "linux.intelRdt: there is no resctrl file system at {}: the processor or the kernel lacks it, or it is \
                 not mounted (mount -t resctrl resctrl {})",
                mount.display(),
                mount.display()
            )));
        }
        if wanted.enable_monitoring || wanted.enable_cmt || wanted.enable_mbm {
            return Err(Failure::new(
                "linux.intelRdt: monitoring groups are not made by this runtime; leave the enable… members out",
            ));
        }
        let name = wanted.clos_id.as_deref().unwrap_or(id);
        if name.is_empty()
            || name.contains('/')
            || [".", "..", "info", "mon_groups", "mon_data"].contains(&name)
        {
            return Err(Failure::new(format_args!(
                "linux.intelRdt: closID {name:?} cannot be a group's name"
            )));
        }
        let directory = mount.join(name);
        let naming = || format!("make resctrl group {}", directory.display());
        let own = match fs::create_dir(&directory) {
            Ok(()) => true,
            // A group that is named may be shared with others.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && wanted.clos_id.is_some() => false,
            result => result.naming(naming).map(|()| true)?,
        };
        let group = Self { directory, own };
        group.set(wanted).inspect_err(|_| group.remove())?;
        Ok(group)
    }

    fn set(&self, wanted: &IntelRdt) -> Result<(), Failure> {
        let lines = wanted.schemata.iter().chain(&wanted.l3_cache_schema).chain(&wanted.mem_bw_schema);
        lines.into_iter().try_for_each(|line| self.write("schemata", line))
    }

    /// Puts a process, and those that it will start, into the group.
    pub(crate) fn add(&self, pid: i32) -> Result<(), Failure> {
        self.write("tasks", &pid.to_string())
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Failure> {
        let path = self.directory.join(file);
        let open = fs::OpenOptions::new().write(true).open(&path);
        open.and_then(|mut file| io::Write::write_all(&mut file, format!("{text}\n").as_bytes()))
            .naming(|| format!("write {text:?} to {}", path.display()))
    }

    /// What has to go with the container.
    pub(crate) fn own_directory(&self) -> Option<&Path> {
        self.own.then_some(&*self.directory)
    }

    fn remove(&self) {
        if let Some(directory) = self.own_directory() {
            // Nobody is in it; what stays behind has no effect.
            let _ = fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that stands in for the file system; its groups have their files beforehand.
    fn mount(name: &str, groups: &[&str]) -> PathBuf {
        let mount = std::env::temp_dir().join(format!("corten-resctrl-{}-{name}", std::process::id()));
        fs::create_dir_all(&mount).unwrap();
        for path in [mount.clone()].into_iter().chain(groups.iter().map(|group| mount.join(group))) {
            fs::create_dir_all(&path).unwrap();
            for file in ["schemata", "tasks"] {
                fs::File::create(path.join(file)).unwrap();
            }
        }
        mount
    }

    fn wanted(json: &str) -> IntelRdt {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_named_group_gets_its_shares_and_stays() {
        let mount = mount("named", &["guaranteed"]);
        let wanted =
            wanted(r#"{"closID": "guaranteed", "l3CacheSchema": "L3:0=7f", "memBwSchema": "MB:0=20"}"#);
        let group = Group::prepare(&mount, "box", &wanted).unwrap();
        group.add(77).unwrap();
        let read = |file: &str| fs::read_to_string(mount.join("guaranteed").join(file)).unwrap();
        assert_eq!((&*read("schemata"), &*read("tasks")), ("MB:0=20\n", "77\n"));
        assert_eq!(group.own_directory(), None);
        fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    fn a_group_that_cannot_be_set_is_not_left_behind() {
        let mount = mount("failing", &[]);
        // Here no kernel puts the files into a new directory.
        let error = Group::prepare(&mount, "box", &wanted(r#"{"l3CacheSchema": "L3:0=7f"}"#)).unwrap_err();
        assert!(error.message.contains("schemata"), "{error:?}");
        assert!(!mount.join("box").exists());
        fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let mount = mount("refused", &[]);
        for (json, text) in [
            (r#"{"closID": "../x"}"#, "cannot be a group's name"),
            (r#"{"closID": "info"}"#, "cannot be a group's name"),
            (r#"{"enableCMT": true}"#, "monitoring groups are not made"),
        ] {
            let error = Group::prepare(&mount, "box", &wanted(json)).unwrap_err();
            assert!(error.message.contains(text), "{json}: {error:?}");
        }
        fs::remove_dir_all(&mount).unwrap();
        let error = Group::prepare(&mount, "box", &wanted("{}")).unwrap_err();
        assert!(error.message.contains("there is no resctrl file system"), "{error:?}");
    }
}
