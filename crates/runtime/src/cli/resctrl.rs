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
    /// Made for the container, and for it alone: it goes with it. One that has a name of its own stays.
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
        let (named, group) = (wanted.clos_id.as_deref(), wanted.clos_id.as_deref().unwrap_or(id));
        // The root is the group of everybody else.
        let directory = if named == Some("/") { mount.to_owned() } else { mount.join(name(group)?) };
        let lines = schemata(wanted);
        let there = directory.is_dir();
        if named.is_some() && there {
            let group = Self { directory, own: false };
            return group.check(&lines).map(|()| group);
        }
        if named.is_some() && lines.is_empty() {
            return Err(Failure::new(format_args!(
                "linux.intelRdt: there is no resctrl group {} and nothing is said of its shares; make it, or give schemata",
                directory.display()
            )));
        }
        fs::create_dir(&directory).naming(|| format!("make resctrl group {}", directory.display()))?;
        let group = Self { directory, own: named.is_none() };
        if let Err(failure) = lines.iter().try_for_each(|line| group.write("schemata", line)) {
            // Nobody is in it; what stays behind has no effect.
            let _ = fs::remove_dir(&group.directory);
            return Err(failure);
        }
        Ok(group)
    }

    /// A group that was there belongs to others too: its shares are compared, never changed.
    fn check(&self, lines: &[&str]) -> Result<(), Failure> {
        let path = self.directory.join("schemata");
        let there = fs::read_to_string(&path).naming(|| format!("read {}", path.display()))?;
        let there: Vec<_> = there.lines().flat_map(shares).collect();
        let differs = |line: &&&str| shares(line).iter().any(|share| !there.contains(share));
        match lines.iter().find(differs) {
            None => Ok(()),
            Some(line) => Err(Failure::new(format_args!(
                "linux.intelRdt: group {} has other shares than {line:?}; change {}, or name another group",
                self.directory.display(),
                path.display()
            ))),
        }
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
}

/// A group's name as a directory's.
fn name(group: &str) -> Result<&str, Failure> {
    if group.is_empty()
        || group.contains('/')
        || [".", "..", "info", "mon_groups", "mon_data"].contains(&group)
    {
        return Err(Failure::new(format_args!("linux.intelRdt: closID {group:?} cannot be a group's name")));
    }
    Ok(group)
}

/// The lines to write, in the order that the specification gives them.
fn schemata(wanted: &IntelRdt) -> Vec<&str> {
    let lines = wanted.l3_cache_schema.iter().chain(&wanted.mem_bw_schema).chain(&wanted.schemata);
    lines.map(String::as_str).collect()
}

/// `L3:0=00f;1=ff` as resource, domain and value; the kernel pads what it prints.
fn shares(line: &str) -> Vec<(String, String, String)> {
    let Some((resource, domains)) = line.split_once(':') else { return Vec::new() };
    let share = |domain: &str| {
        let (domain, value) = domain.split_once('=')?;
        let value = value.trim().trim_start_matches('0').to_ascii_lowercase();
        Some((resource.trim().to_owned(), domain.trim().to_owned(), value))
    };
    domains.split(';').filter_map(share).collect()
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
    fn a_group_that_is_there_is_joined_and_never_changed() {
        let mount = mount("named", &["guaranteed"]);
        let schemata = "    MB:0=  20;1= 100\n    L3:0=07f;1=7ff\n";
        for directory in ["guaranteed", "."] {
            let mut file =
                fs::File::options().write(true).open(mount.join(directory).join("schemata")).unwrap();
            io::Write::write_all(&mut file, schemata.as_bytes()).unwrap();
        }
        for (json, directory) in [
            (r#"{"closID": "guaranteed"}"#, "guaranteed"),
            (
                r#"{"closID": "guaranteed", "l3CacheSchema": "L3:0=7f", "memBwSchema": "MB:0=20"}"#,
                "guaranteed",
            ),
            (r#"{"closID": "guaranteed", "schemata": ["L3:1=7FF"]}"#, "guaranteed"),
            (r#"{"closID": "/"}"#, "."),
        ] {
            let group = Group::prepare(&mount, "box", &wanted(json)).unwrap();
            group.add(77).unwrap();
            let read = |file: &str| fs::read_to_string(mount.join(directory).join(file)).unwrap();
            assert_eq!((&*read("schemata"), &*read("tasks")), (schemata, "77\n"), "{json}");
            assert_eq!(group.own_directory(), None, "{json}");
        }
        let other = r#"{"closID": "guaranteed", "l3CacheSchema": "L3:0=f"}"#;
        let error = Group::prepare(&mount, "box", &wanted(other)).unwrap_err();
        assert!(error.message.contains("has other shares than \"L3:0=f\""), "{error:?}");
        fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    fn shares_are_written_in_the_specifications_order() {
        let wanted =
            wanted(r#"{"schemata": ["L2:0=1"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=7f"}"#);
        assert_eq!(schemata(&wanted), ["L3:0=7f", "MB:0=20", "L2:0=1"]);
    }

    #[test]
    fn a_group_of_the_containers_own_goes_with_it_and_one_with_a_name_stays() {
        let mount = mount("made", &[]);
        let group = Group::prepare(&mount, "box", &wanted("{}")).unwrap();
        assert_eq!(group.own_directory(), Some(&*mount.join("box")));
        let error = Group::prepare(&mount, "box", &wanted(r#"{"closID": "none"}"#)).unwrap_err();
        assert!(error.message.contains("there is no resctrl group"), "{error:?}");
        assert!(!mount.join("none").exists());
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
