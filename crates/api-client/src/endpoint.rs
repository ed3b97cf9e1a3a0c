//! Where an engine listens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// Port of an engine on TCP when none is given.
const DEFAULT_TCP_PORT: u16 = 2375;

/// Address of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// Plain HTTP over TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// A host that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Neither `unix://` nor `tcp://`.
    #[error("Invalid bind address format: {0}")]
    Format(String),
    /// A port that is no number, or a path where none belongs.
    #[error("Invalid bind address format: {0}")]
    Address(String),
}

impl Endpoint {
    /// What someone who may not connect can do about it.
    pub(crate) fn remedy(&self) -> String {
        let Self::Unix(path) = self else { return "ask the administrator of that machine".to_owned() };
        // Who may not even see the socket learns of the usual group.
        let gid = std::fs::metadata(path).map(|socket| std::os::unix::fs::MetadataExt::gid(&socket)).ok();
        if gid == Some(0) {
            return "the socket is root's alone: use sudo, or start the engine with --group".to_owned();
        }
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let group = match gid {
            None => "corten".to_owned(),
            Some(gid) => group_name(&groups, gid).map_or_else(|| gid.to_string(), str::to_owned),
        };
        format!(
            "only root and the members of group {group} may use it: use sudo, or have yourself added with 'sudo usermod \
             -aG {group} $USER' and log in again (members of that group can become root)"
        )
    }

    /// Reads `unix:///path`, `tcp://host:port` or a bare `host[:port]`, which means TCP.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            if path.is_empty() {
                return Err(EndpointError::Format(text.to_owned()));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let address = match text.split_once("://") {
            Some(("tcp" | "http", address)) => address,
            Some(_) => return Err(EndpointError::Format(text.to_owned())),
            None => text,
        };
        Self::parse_tcp(address.trim_end_matches('/')).ok_or_else(|| EndpointError::Address(text.to_owned()))
    }

    fn parse_tcp(address: &str) -> Option<Self> {
        if let Some(rest) = address.strip_prefix('[') {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            let port =
                if port.is_empty() { DEFAULT_TCP_PORT } else { port.strip_prefix(':')?.parse().ok()? };
            return Some(Self::Tcp { host: host.to_owned(), port });
        }
        let (host, port) = match address.split_once(':') {
            Some((host, "")) => (host, DEFAULT_TCP_PORT),
            Some((host, port)) => (host, port.parse().ok()?),
            None => (address, DEFAULT_TCP_PORT),
        };
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        (!host.contains('/')).then(|| Self::Tcp { host: host.to_owned(), port })
    }

    /// The addresses to try. Names are looked up in `/etc/hosts` alone: a static binary must not ask glibc, whose
    /// name service loads shared objects into it.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let Self::Tcp { host, .. } = self else { return Vec::new() };
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut found = addresses_of(host, &hosts);
        if found.is_empty() && host == "localhost" {
            found = vec![IpAddr::from([127, 0, 0, 1])];
        }
        found
    }
}

/// The addresses that a hosts file has for `name`.
fn addresses_of(name: &str, hosts: &str) -> Vec<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
        })
        .collect()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

/// Name of a group in the text of `/etc/group`.
fn group_name(groups: &str, gid: u32) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_number() {
        let groups = "root:x:0:\ncorten:x:998:me,you\nbroken\n";
        assert_eq!(group_name(groups, 998), Some("corten"));
        assert_eq!(group_name(groups, 7), None);
    }

    #[test]
    fn hosts_are_read_as_docker_reads_them() {
        for (text, want) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("tcp://box", "tcp://box:2375"),
            ("tcp://box:", "tcp://box:2375"),
            ("tcp://:4000", "tcp://127.0.0.1:4000"),
            ("box:4000", "tcp://box:4000"),
            ("tcp://[::1]:4000", "tcp://[::1]:4000"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
        ] {
            assert_eq!(Endpoint::parse(text).map(|e| e.to_string()), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["unix://", "ftp://x", "tcp://a:b", "tcp://a/b", "tcp://[x]:1", "tcp://a:99999"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hosts_file_answers_names() {
        let hosts =
            "127.0.0.1 localhost # self\n::1 localhost6 localhost\n# 10.0.0.1 x\n10.0.0.2 box Box.example\n";
        let found = |name| addresses_of(name, hosts).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(found("box.example"), ["10.0.0.2"]);
        assert!(found("x").is_empty());
    }
}
