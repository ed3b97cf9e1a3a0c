//! Options of one mount of the specification, from strings to flags. Pure.

use rustix::mount::{MountAttrFlags, MountPropagationFlags};

/// Options of one mount, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// A bind mount, and whether it takes the mounts below along.
    pub bind: Option<Recursion>,
    /// Change the mount that is already there.
    pub remount: bool,
    /// Attributes to turn on.
    pub set: MountAttrFlags,
    /// Attributes to turn off first; access time modes exclude each other.
    pub clear: MountAttrFlags,
    /// The same for the mount and all below it (`rro`, `rnosuid`, …).
    pub set_recursive: MountAttrFlags,
    /// Likewise.
    pub clear_recursive: MountAttrFlags,
    /// Propagation types, in order.
    pub propagation: Vec<(MountPropagationFlags, Recursion)>,
    /// Copy what the image has at the destination into the new tmpfs.
    pub copy_up: bool,
    /// Map ids of the mount by the mount's own or the container's mappings.
    pub id_map: Option<Recursion>,
    /// What is left: options of the file system itself.
    pub data: Vec<(String, Option<String>)>,
}

/// Whether something reaches the mounts below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursion {
    /// This mount only.
    Single,
    /// This mount and all below it.
    Recursive,
}

impl Recursion {
    /// As a flag for the kernel.
    pub(crate) fn is_recursive(self) -> bool {
        self == Self::Recursive
    }
}

impl MountOptions {
    /// Understands `options`; words it does not know are options of the file system.
    pub(crate) fn parse(options: &[String]) -> Self {
        let mut parsed = Self {
            bind: None,
            remount: false,
            set: MountAttrFlags::empty(),
            clear: MountAttrFlags::empty(),
            set_recursive: MountAttrFlags::empty(),
            clear_recursive: MountAttrFlags::empty(),
            propagation: Vec::new(),
            copy_up: false,
            id_map: None,
            data: Vec::new(),
        };
        for option in options.iter().flat_map(|option| option.split(',')) {
            parsed.add(option);
        }
        parsed
    }

    /// The value of a file system option, the last one winning.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.data.iter().rev().find(|(name, _)| name == key).and_then(|(_, value)| value.as_deref())
    }

    fn add(&mut self, option: &str) {
        match option {
            "" | "defaults" => {}
            "bind" => self.bind = self.bind.or(Some(Recursion::Single)),
            "rbind" => self.bind = Some(Recursion::Recursive),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.id_map = Some(Recursion::Single),
            "ridmap" => self.id_map = Some(Recursion::Recursive),
            _ => {
                if let Some((flags, recursion)) = propagation(option) {
                    self.propagation.push((flags, recursion));
                } else if let Some((attribute, on)) = attribute(option) {
                    change(&mut self.set, &mut self.clear, attribute, on);
                } else if let Some((attribute, on)) = option.strip_prefix('r').and_then(attribute) {
                    change(&mut self.set_recursive, &mut self.clear_recursive, attribute, on);
                } else {
                    let (key, value) = match option.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (option, None),
                    };
                    self.data.push((key.to_owned(), value));
                }
            }
        }
    }
}

fn change(set: &mut MountAttrFlags, clear: &mut MountAttrFlags, attribute: MountAttrFlags, on: bool) {
    let access_time = MountAttrFlags::MOUNT_ATTR__ATIME;
    // The access time modes are values of one field: RELATIME is zero, so it is "set" by clearing the field.
    if access_time.contains(attribute) {
        set.remove(access_time);
        clear.insert(access_time);
        if on {
            set.insert(attribute);
        }
    } else if on {
        set.insert(attribute);
        clear.remove(attribute);
    } else {
        set.remove(attribute);
        clear.insert(attribute);
    }
}

fn propagation(option: &str) -> Option<(MountPropagationFlags, Recursion)> {
    let (name, recursion) = match option.strip_prefix('r') {
        Some(name) => (name, Recursion::Recursive),
        None => (option, Recursion::Single),
    };
    let flags = match name {
        "private" => MountPropagationFlags::PRIVATE,
        "shared" => MountPropagationFlags::SHARED,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return None,
    };
    Some((flags, recursion))
}

/// Parses `rootfsPropagation`.
pub(crate) fn root_propagation(value: &str) -> Option<(MountPropagationFlags, Recursion)> {
    propagation(value)
}

fn attribute(option: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match option {
        "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, true),
        "rw" => (MountAttrFlags::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
        "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
        "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
        "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "atime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, false),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        "nostrictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, false),
        "relatime" => (MountAttrFlags::MOUNT_ATTR_RELATIME, true),
        "norelatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        "nosymfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, true),
        "symfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> MountOptions {
        MountOptions::parse(&options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn attributes_are_told_from_file_system_options() {
        let options = parse(&["nosuid", "noexec", "ro", "mode=755", "size=65536k", "newinstance"]);
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_RDONLY;
        assert_eq!(options.set, attributes);
        assert_eq!(options.value("size"), Some("65536k"));
        assert_eq!(options.data.len(), 3);
        assert_eq!(options.data[2], ("newinstance".to_owned(), None));
    }

    #[test]
    fn the_last_word_wins() {
        assert_eq!(parse(&["ro", "rw"]).set, MountAttrFlags::empty());
        assert_eq!(parse(&["rw", "ro"]).set, MountAttrFlags::MOUNT_ATTR_RDONLY);
        assert_eq!(parse(&["noatime", "strictatime"]).set, MountAttrFlags::MOUNT_ATTR_STRICTATIME);
        assert_eq!(parse(&["noatime", "relatime"]).set, MountAttrFlags::empty());
        assert_eq!(parse(&["noatime"]).clear, MountAttrFlags::MOUNT_ATTR__ATIME);
    }

    #[test]
    fn recursive_forms_are_kept_apart() {
        let options = parse(&["rbind", "rprivate", "rro"]);
        assert_eq!(options.bind, Some(Recursion::Recursive));
        assert_eq!(options.propagation, [(MountPropagationFlags::PRIVATE, Recursion::Recursive)]);
        assert_eq!(options.set, MountAttrFlags::empty());
        assert_eq!(options.set_recursive, MountAttrFlags::MOUNT_ATTR_RDONLY);
        assert_eq!(parse(&["rw"]).set_recursive, MountAttrFlags::empty());
        assert_eq!(parse(&["relatime"]).set_recursive, MountAttrFlags::empty());
    }
}
