//! The files that every container gets from the engine: hosts, hostname, resolv.conf.
//!
//! They are written in place, so that the inode which is bind-mounted in a running container stays; and only while
//! nobody else has changed them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{EngineError, Result};
use crate::layout::ContainerDir;
use crate::modes::{self, NetworkMode};
use crate::record::Record;
use crate::spec;

/// Writes those files that are missing or as the engine left them. Returns the digests for the record.
pub(crate) fn write(
    record: &Record,
    dir: &ContainerDir,
    host_name: &str,
) -> Result<BTreeMap<String, String>> {
    let host_network = matches!(modes::network(&record.host_config.network_mode), Ok(NetworkMode::Host));
    let hostname = spec::hostname(record, host_name);
    let mut digests = BTreeMap::new();
    for (name, path, content) in [
        ("hostname", dir.hostname(), format!("{hostname}\n")),
        ("hosts", dir.hosts(), hosts(record, hostname, host_network)?),
        ("resolv.conf", dir.resolv_conf(), resolv_conf(record, host_network)?),
    ] {
        let digest = refresh(&path, &content, record.written_files.get(name))
            .map_err(|error| EngineError::system(format!("cannot write {}", path.display()), error))?;
        digests.insert(name.to_owned(), digest);
    }
    Ok(digests)
}

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn refresh(path: &Path, content: &str, last: Option<&String>) -> io::Result<String> {
    let wanted = digest(content.as_bytes());
    match std::fs::read(path) {
        Ok(present) => {
            let found = digest(&present);
            if found == wanted || last.is_none_or(|last| *last != found) {
                // Already so, or somebody's own.
                return Ok(last.cloned().unwrap_or(wanted));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    write_in_place(path, content.as_bytes())?;
    Ok(wanted)
}

/// Not `linux::fs::replace`: a new inode would not be seen by the container that has the old one mounted.
fn write_in_place(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    let mut file = options.open(path)?;
    file.write_all(content)
}

fn hosts(record: &Record, hostname: &str, host_network: bool) -> Result<String> {
    let mut text = if host_network {
        std::fs::read_to_string("/etc/hosts").unwrap_or_default()
    } else {
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n".to_owned()
    };
    for line in record.host_config.extra_hosts.iter().flatten() {
        let (name, address) = line
            .split_once([':', '='])
            .ok_or_else(|| EngineError::invalid(format!("invalid extra host: {line}")))?;
        if address == "host-gateway" {
            return Err(EngineError::invalid(format!(
                "extra host {name}: host-gateway needs a bridge network, which this version has not yet"
            )));
        }
        check_text("extra host", line)?;
        let _ = writeln!(text, "{address}\t{name}");
    }
    if !host_network {
        // A name of one's own resolves although there is no address yet: Debian's convention.
        let own = match record.config.domainname.as_str() {
            "" => hostname.to_owned(),
            domain => format!("{hostname}.{domain} {hostname}"),
        };
        let _ = writeln!(text, "127.0.1.1\t{own}");
    }
    Ok(text)
}

fn resolv_conf(record: &Record, host_network: bool) -> Result<String> {
    let config = &record.host_config;
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if host_network && config.dns.is_empty() && config.dns_search.is_empty() && config.dns_options.is_empty()
    {
        return Ok(host);
    }
    for value in config.dns.iter().chain(&config.dns_search).chain(&config.dns_options) {
        check_text("DNS setting", value)?;
    }
    let of_host = |keyword: &str| -> Vec<String> {
        host.lines()
            .filter_map(|line| line.trim().strip_prefix(keyword))
            .filter(|rest| rest.starts_with([' ', '\t']))
            .flat_map(|rest| rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let choose = |own: &[String], keyword: &str| if own.is_empty() { of_host(keyword) } else { own.to_vec() };
    let mut text = String::new();
    for server in choose(&config.dns, "nameserver") {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search = choose(&config.dns_search, "search");
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    let options = choose(&config.dns_options, "options");
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    Ok(text)
}

/// A line break in a value would write a line of its own.
fn check_text(what: &str, value: &str) -> Result<()> {
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(EngineError::invalid(format!("{what} {value:?} contains control characters")));
    }
    Ok(())
}
