//! Devices of the host in a container.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use api_types::host_config::DeviceMapping;
use oci::runtime::{Device, DeviceRule};

use crate::error::{EngineError, Result};

/// Device nodes to make, and rules for the device controller.
#[derive(Debug, Default)]
pub struct Devices {
    /// Nodes beside the runtime's default ones.
    pub nodes: Vec<Device>,
    /// Rules, in order.
    pub rules: Vec<DeviceRule>,
}

/// The devices that every container may use: null, zero, full, random, urandom, tty, console, ptmx and its
/// terminals. Nodes of any kind may be made, none of them opened.
fn default_rules() -> Vec<DeviceRule> {
    let rule = |allow: bool, kind: Option<&str>, major: Option<i64>, minor: Option<i64>, access: &str| {
        DeviceRule { allow, kind: kind.map(str::to_owned), major, minor, access: Some(access.to_owned()) }
    };
    let mut rules = vec![
        rule(false, None, None, None, "rwm"),
        rule(true, Some("c"), None, None, "m"),
        rule(true, Some("b"), None, None, "m"),
    ];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(rule(true, Some("c"), Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(true, Some("c"), Some(136), None, "rwm"));
    rules
}

/// Devices of one container. Looks at the host's `/dev`, so it blocks.
pub fn plan(privileged: bool, mappings: &[DeviceMapping], cgroup_rules: &[String]) -> Result<Devices> {
    if privileged {
        let everything = DeviceRule { allow: true, access: Some("rwm".into()), ..DeviceRule::default() };
        let mut nodes = Vec::new();
        all_nodes(Path::new("/dev"), &mut nodes);
        return Ok(Devices { nodes, rules: vec![everything] });
    }
    let mut devices = Devices { nodes: Vec::new(), rules: default_rules() };
    for mapping in mappings {
        add_mapping(&mut devices, mapping)?;
    }
    for rule in cgroup_rules {
        devices.rules.push(parse_rule(rule)?);
    }
    Ok(devices)
}

fn add_mapping(devices: &mut Devices, mapping: &DeviceMapping) -> Result<()> {
    let gather = |error: std::io::Error| {
        EngineError::system(
            format!(
                "error gathering device information while adding custom device \"{}\"",
                mapping.path_on_host
            ),
            crate::error::plain(&error),
        )
    };
    let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
    let inside =
        if mapping.path_in_container.is_empty() { &mapping.path_on_host } else { &mapping.path_in_container };
    let host = Path::new(&mapping.path_on_host);
    let status = std::fs::metadata(host).map_err(gather)?;
    let mut found = Vec::new();
    if status.is_dir() {
        all_nodes(host, &mut found);
        for node in &mut found {
            if let Ok(rest) = node.path.strip_prefix(host) {
                node.path = Path::new(inside).join(rest);
            }
        }
    } else if let Some(mut node) = node_of(host, &status) {
        node.path = PathBuf::from(inside);
        found.push(node);
    }
    if found.is_empty() {
        return Err(EngineError::system(
            format!(
                "error gathering device information while adding custom device \"{}\"",
                mapping.path_on_host
            ),
            "not a device node",
        ));
    }
    for node in found {
        devices.rules.push(DeviceRule {
            allow: true,
            kind: Some(node.kind.clone()),
            major: Some(node.major),
            minor: Some(node.minor),
            access: Some(access.to_owned()),
        });
        devices.nodes.push(node);
    }
    Ok(())
}

fn node_of(path: &Path, status: &std::fs::Metadata) -> Option<Device> {
    let kind = if status.file_type().is_char_device() {
        "c"
    } else if status.file_type().is_block_device() {
        "b"
    } else {
        return None;
    };
    Some(Device {
        kind: kind.into(),
        path: path.to_owned(),
        major: i64::from(rustix::fs::major(status.rdev())),
        minor: i64::from(rustix::fs::minor(status.rdev())),
        file_mode: Some(status.mode() & 0o7777),
        uid: Some(status.uid()),
        gid: Some(status.gid()),
    })
}

/// Every device node below `dir`, without what the container has of its own.
fn all_nodes(dir: &Path, nodes: &mut Vec<Device>) {
    const OWN: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".udev"];
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        if kind.is_dir() {
            if !OWN.iter().any(|own| name == *own) {
                all_nodes(&entry.path(), nodes);
            }
        } else if name != "console" && name != "ptmx" {
            // Links are left out: `lstat` of a link is no device.
            nodes.extend(entry.metadata().ok().and_then(|status| node_of(&entry.path(), &status)));
        }
    }
}

/// `c 13:* rwm`.
fn parse_rule(text: &str) -> Result<DeviceRule> {
    let invalid = || EngineError::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let number = |part: &str| -> Result<Option<i64>> {
        if part == "*" { Ok(None) } else { part.parse::<i64>().map(Some).map_err(|_| invalid()) }
    };
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, access] = words[..] else { return Err(invalid()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let access_good = !access.is_empty() && access.bytes().all(|byte| b"rwm".contains(&byte));
    if !matches!(kind, "a" | "b" | "c") || !access_good {
        return Err(invalid());
    }
    Ok(DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()).filter(|kind| kind != "a"),
        major: number(major)?,
        minor: number(minor)?,
        access: Some(access.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_rules_are_read() {
        let rule = parse_rule("c 13:* rwm").unwrap();
        assert_eq!((rule.kind.as_deref(), rule.major, rule.minor), (Some("c"), Some(13), None));
        for bad in ["", "x 1:2 r", "c 1 r", "c 1:x r", "c 1:2 q", "c 1:2"] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_missing_device_is_named() {
        let mapping = DeviceMapping { path_on_host: "/dev/nope".into(), ..DeviceMapping::default() };
        let error = plan(false, &[mapping], &[]).unwrap_err();
        assert_eq!(
            error.message(),
            "error gathering device information while adding custom device \"/dev/nope\": no such file or directory"
        );
    }

    #[test]
    fn a_device_is_made_and_allowed() {
        let mapping = DeviceMapping {
            path_on_host: "/dev/null".into(),
            path_in_container: "/dev/n".into(),
            cgroup_permissions: "r".into(),
        };
        let devices = plan(false, &[mapping], &[]).unwrap();
        assert_eq!(devices.nodes[0].path, Path::new("/dev/n"));
        assert_eq!(devices.rules.last().unwrap().access.as_deref(), Some("r"));
    }
}
