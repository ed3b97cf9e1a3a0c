//! Namespace modes: `host`, `private`, `container:x`, ….

use api_types::host_config::HostConfig;

use crate::error::{EngineError, ErrorKind, Result};

/// Which namespace a container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode<'a> {
    /// One of its own.
    Private,
    /// The host's.
    Host,
    /// That of another container, by name or id.
    Container(&'a str),
}

/// `--network`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode<'a> {
    /// Loopback only, asked for.
    None,
    /// Loopback only, for want of a bridge.
    Default,
    /// The host's.
    Host,
    /// That of another container.
    Container(&'a str),
}

fn container(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:").filter(|name| !name.is_empty())
}

/// `--pid`.
pub fn pid(mode: &str) -> Result<Mode<'_>> {
    match mode {
        "" | "private" => Ok(Mode::Private),
        "host" => Ok(Mode::Host),
        other => container(other)
            .map(Mode::Container)
            .ok_or_else(|| EngineError::invalid(format!("invalid PID mode: {other}"))),
    }
}

/// `--ipc`. `none` and `shareable` are private ones; see [`has_shm`].
pub fn ipc(mode: &str) -> Result<Mode<'_>> {
    match mode {
        "" | "private" | "shareable" | "none" => Ok(Mode::Private),
        "host" => Ok(Mode::Host),
        other => container(other)
            .map(Mode::Container)
            .ok_or_else(|| EngineError::invalid(format!("invalid IPC mode: {other}"))),
    }
}

/// Whether other containers may join the IPC namespace of one with this mode.
pub fn is_shareable(mode: &str) -> bool {
    mode == "shareable"
}

/// A container of IPC mode `none` has no `/dev/shm`.
pub fn has_shm(mode: &str) -> bool {
    mode != "none"
}

/// `--uts`.
pub fn uts(mode: &str) -> Result<Mode<'_>> {
    match mode {
        "" => Ok(Mode::Private),
        "host" => Ok(Mode::Host),
        other => Err(EngineError::invalid(format!("invalid UTS mode: {other}"))),
    }
}

/// `--cgroupns`; empty is Docker's default: private on cgroup v2, host on v1.
pub fn cgroup(mode: &str, cgroup_v2: bool) -> Result<Mode<'_>> {
    match mode {
        "" if cgroup_v2 => Ok(Mode::Private),
        "" | "host" => Ok(Mode::Host),
        "private" => Ok(Mode::Private),
        other => Err(EngineError::invalid(format!("invalid cgroup namespace mode: {other}"))),
    }
}

/// `--network`.
pub fn network(mode: &str) -> Result<NetworkMode<'_>> {
    match mode {
        "" | "default" => Ok(NetworkMode::Default),
        "none" => Ok(NetworkMode::None),
        "host" => Ok(NetworkMode::Host),
        other => match container(other) {
            Some(name) => Ok(NetworkMode::Container(name)),
            // Not "not found": to clients that answer to a create means that the image is missing, and they pull it.
            None if other.starts_with("container:") => Err(EngineError::invalid(
                "invalid network mode: invalid container format container:<name|id>",
            )),
            None => Err(EngineError::invalid(format!("network {other} not found"))),
        },
    }
}

/// Refuses modes that make no sense, alone or together.
pub fn check(config: &HostConfig, has_hostname: bool, has_ports: bool) -> Result<()> {
    pid(&config.pid_mode)?;
    ipc(&config.ipc_mode)?;
    let uts = uts(&config.uts_mode)?;
    cgroup(&config.cgroupns_mode, true)?;
    let network = network(&config.network_mode)?;
    if !matches!(config.userns_mode.as_str(), "" | "host") {
        return Err(EngineError::invalid(format!("invalid user namespace mode: {}", config.userns_mode)));
    }
    let conflict = |text: &str| Err(EngineError::new(ErrorKind::InvalidParameter, text));
    if uts == Mode::Host && has_hostname {
        return conflict("conflicting options: hostname and the UTS mode");
    }
    if let NetworkMode::Container(_) = network {
        if has_hostname {
            return conflict("conflicting options: hostname and the network mode");
        }
        if has_ports {
            return conflict("conflicting options: port publishing and the container type network mode");
        }
        if config.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()) {
            return conflict("conflicting options: custom host-to-IP mapping and the network mode");
        }
        if !config.dns.is_empty() {
            return conflict("conflicting options: dns and the network mode");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_modes_are_refused_by_name() {
        assert_eq!(pid("foo").unwrap_err().message(), "invalid PID mode: foo");
        assert_eq!(ipc("foo").unwrap_err().message(), "invalid IPC mode: foo");
        assert_eq!(network("foo").unwrap_err().message(), "network foo not found");
        assert_eq!(pid("container:").unwrap_err().message(), "invalid PID mode: container:");
    }

    #[test]
    fn the_cgroup_namespace_follows_the_hierarchy() {
        assert_eq!(cgroup("", true).unwrap(), Mode::Private);
        assert_eq!(cgroup("", false).unwrap(), Mode::Host);
    }
}
