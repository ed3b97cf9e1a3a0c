//! Capabilities of a container: Docker's default fourteen, changed by `--cap-add` and `--cap-drop`.
//!
//! Pure except [`Available::of_this_process`]. Nothing is ever inheritable or ambient: with those, a program of
//! the image could hand capabilities to a user who has none (CVE-2022-24769).

use std::io;

use linux::caps::NAMES;
use oci::runtime::Capabilities;

/// What a container gets when nobody says anything.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Capabilities the daemon itself can give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Available(u64);

impl Available {
    /// Those both permitted and in the bounding set of this process.
    pub fn of_this_process() -> io::Result<Self> {
        Self::from_status(&std::fs::read_to_string("/proc/self/status")?)
    }

    /// From the text of `/proc/PID/status`.
    fn from_status(status: &str) -> io::Result<Self> {
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            u64::from_str_radix(value.trim(), 16).ok()
        };
        match (field("CapPrm:"), field("CapBnd:")) {
            (Some(permitted), Some(bounding)) => Ok(Self(permitted & bounding)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no capability sets in /proc/self/status")),
        }
    }

    fn has(self, name: &str) -> bool {
        NAMES.iter().position(|&known| known == name).is_some_and(|number| self.0 & (1 << number) != 0)
    }

    /// Their names, by number.
    pub fn names(self) -> Vec<String> {
        NAMES.iter().filter(|name| self.has(name)).map(|&name| name.to_owned()).collect()
    }
}

/// Why a capability list was refused. The texts are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// No kernel knows the name.
    #[error("invalid {list}: unknown capability: {name:?}")]
    Unknown {
        /// `CapAdd` or `CapDrop`.
        list: &'static str,
        /// The name, upper case, with its prefix.
        name: String,
    },
    /// The daemon does not have it, so it cannot give it.
    #[error(
        "invalid {list}: capability not supported by your kernel or not available in the current environment: {name:?}"
    )]
    Unavailable {
        /// `CapAdd` or `CapDrop`.
        list: &'static str,
        /// The name, upper case, with its prefix.
        name: String,
    },
}

/// `--cap-add`, `--cap-drop` and `--privileged` of one container.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// `HostConfig.CapAdd`: names in any case, `CAP_` optional, or `ALL`.
    pub add: &'a [String],
    /// `HostConfig.CapDrop`.
    pub drop: &'a [String],
    /// Everything the daemon has; the lists are checked and then ignored, as Docker does.
    pub privileged: bool,
}

/// The sets of a container's process. A default capability that the daemon lacks is left out silently; one that was
/// asked for by name is an error.
pub fn resolve(request: Request<'_>, available: Available) -> Result<Capabilities, CapabilityError> {
    let add = normalize("CapAdd", request.add, available)?;
    let drop = normalize("CapDrop", request.drop, available)?;
    let everything = NAMES.iter().copied().filter(|name| available.has(name));
    let mut names: Vec<&str> = if request.privileged {
        everything.collect()
    } else if add.contains(&ALL) {
        everything.filter(|name| !drop.contains(name)).collect()
    } else if drop.contains(&ALL) {
        add
    } else {
        let kept = DEFAULT.into_iter().filter(|name| available.has(name) && !drop.contains(name));
        kept.chain(add).collect()
    };
    let mut seen = Vec::with_capacity(names.len());
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(*name);
            true
        }
    });
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    Ok(Capabilities {
        bounding: names.clone(),
        effective: names.clone(),
        permitted: names,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    })
}

/// The word for every capability.
const ALL: &str = "ALL";

/// Full names of a list, in its order; `ALL` stays.
fn normalize(
    list: &'static str,
    names: &[String],
    available: Available,
) -> Result<Vec<&'static str>, CapabilityError> {
    names.iter().map(|name| normalize_one(list, name, available)).collect()
}

fn normalize_one(
    list: &'static str,
    name: &str,
    available: Available,
) -> Result<&'static str, CapabilityError> {
    let upper = name.to_uppercase();
    if upper == ALL {
        return Ok(ALL);
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    match NAMES.iter().find(|&&known| known == full) {
        None => Err(CapabilityError::Unknown { list, name: full }),
        Some(known) if !available.has(known) => Err(CapabilityError::Unavailable { list, name: full }),
        Some(known) => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Available = Available((1 << 41) - 1);
    const NO_RESOURCE: Available = Available(EVERYTHING.0 & !(1 << 24));

    fn bounding(
        add: &[&str],
        drop: &[&str],
        privileged: bool,
        available: Available,
    ) -> Result<Vec<String>, String> {
        let own = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let (add, drop) = (own(add), own(drop));
        let sets = resolve(Request { add: &add, drop: &drop, privileged }, available)
            .map_err(|error| error.to_string())?;
        assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
        assert_eq!((&sets.bounding, &sets.bounding), (&sets.effective, &sets.permitted));
        Ok(sets.bounding)
    }

    /// add, drop, privileged, available, resulting mask
    type Case = (&'static [&'static str], &'static [&'static str], bool, Available, u64);

    fn mask(names: &[String]) -> u64 {
        names.iter().map(|name| 1_u64 << NAMES.iter().position(|known| known == name).unwrap()).sum()
    }

    #[test]
    fn lists_change_the_default_set() {
        let default = 0xa804_25fb;
        let (net_admin, mknod, chown) = (1 << 12, 1 << 27, 1);
        let cases: &[Case] = &[
            (&[], &[], false, EVERYTHING, default),
            (&["NET_ADMIN"], &[], false, EVERYTHING, default | net_admin),
            (&["cap_net_admin", "Net_Admin", "chown"], &[], false, EVERYTHING, default | net_admin),
            (&[], &["mknod"], false, EVERYTHING, default & !mknod),
            (&["mknod"], &["mknod"], false, EVERYTHING, default),
            (&["all"], &[], false, EVERYTHING, EVERYTHING.0),
            (&["ALL"], &[], false, NO_RESOURCE, NO_RESOURCE.0),
            (&["ALL"], &["CHOWN"], false, EVERYTHING, EVERYTHING.0 & !chown),
            (&["ALL"], &["ALL"], false, EVERYTHING, EVERYTHING.0),
            (&[], &["all"], false, EVERYTHING, 0),
            (&["chown", "net_admin"], &["ALL"], false, EVERYTHING, chown | net_admin),
            (&[], &[], true, NO_RESOURCE, NO_RESOURCE.0),
            (&[], &["ALL"], true, EVERYTHING, EVERYTHING.0),
            (&[], &[], false, Available(chown), chown),
        ];
        for &(add, drop, privileged, available, expected) in cases {
            let names = bounding(add, drop, privileged, available).unwrap();
            assert_eq!(mask(&names), expected, "add {add:?} drop {drop:?} privileged {privileged}");
        }
    }

    #[test]
    fn refusals_have_dockers_words() {
        let cases: &[(&[&str], &[&str], bool, &str)] = &[
            (&["foo"], &[], false, "invalid CapAdd: unknown capability: \"CAP_FOO\""),
            (&["CAP_"], &[], false, "invalid CapAdd: unknown capability: \"CAP_\""),
            (&[], &["cap_bar"], false, "invalid CapDrop: unknown capability: \"CAP_BAR\""),
            (&["foo"], &[], true, "invalid CapAdd: unknown capability: \"CAP_FOO\""),
            (
                &["SYS_RESOURCE"],
                &[],
                false,
                "invalid CapAdd: capability not supported by your kernel or not available in the current environment: \
                 \"CAP_SYS_RESOURCE\"",
            ),
        ];
        for &(add, drop, privileged, message) in cases {
            assert_eq!(bounding(add, drop, privileged, NO_RESOURCE).unwrap_err(), message);
        }
    }

    #[test]
    fn the_daemons_own_sets_bound_what_it_gives() {
        let status =
            "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000007\nCapBnd:\t0000000000000005\n";
        assert_eq!(Available::from_status(status).unwrap().names(), ["CAP_CHOWN", "CAP_DAC_READ_SEARCH"]);
        assert!(Available::from_status("Name:\tx\n").is_err());
        assert!(Available::of_this_process().is_ok());
    }
}
