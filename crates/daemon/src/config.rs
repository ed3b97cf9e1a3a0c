//! The configuration file: TOML, or JSON as Docker's `daemon.json`. The keys are the flags' names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use engine::params::Ulimit;
use serde::Deserialize;

use crate::args::CalledAs;
use crate::tolerated::{self, Unsupported};

/// The files of which the first that is there is read when none is named.
const DEFAULT_FILES: [&str; 2] = ["/etc/corten/config.toml", "/etc/corten/daemon.json"];
/// The same when the daemon is called `dockerd`.
const DOCKER_FILES: [&str; 1] = ["/etc/docker/daemon.json"];

/// What a file says. Docker's keys where Docker has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Sockets to listen on.
    pub(crate) hosts: Vec<String>,
    /// Serve `/var/run/docker.sock` as well.
    pub(crate) docker_socket: bool,
    /// Directory of persistent data.
    pub(crate) data_root: Option<PathBuf>,
    /// Directory of what is gone at boot.
    pub(crate) exec_root: Option<PathBuf>,
    /// File to write the process id to.
    pub(crate) pidfile: Option<PathBuf>,
    /// Group that may use the unix sockets.
    pub(crate) group: Option<String>,
    /// `debug`, `info`, `warn`, `error`, `fatal`.
    pub(crate) log_level: Option<String>,
    /// Log at level debug.
    pub(crate) debug: bool,
    /// Log options of containers that name none.
    pub(crate) log_opts: BTreeMap<String, String>,
    /// Labels of the daemon.
    pub(crate) labels: Vec<String>,
    /// Whether tcp sockets are encrypted; `false` allows plain ones beyond this machine.
    pub(crate) tls: Option<bool>,
    /// Task limit of containers that name none; 0 or less: none.
    pub(crate) pids_limit: Option<i64>,
    /// Containers that say nothing of it get an init process.
    pub(crate) init: bool,
    /// Resource limits of containers that do not set these themselves, by name.
    pub(crate) default_ulimits: BTreeMap<String, Ulimit>,
    /// Bytes of `/dev/shm` of containers that name none, `64m`.
    pub(crate) default_shm_size: Option<Size>,
    /// Programs in containers that say nothing of it gain no privileges by running others.
    pub(crate) no_new_privileges: bool,
    /// System call filter of containers that name none: a file with a profile, `builtin` or `unconfined`.
    pub(crate) seccomp_profile: Option<String>,
    /// Seconds between the stop signal and SIGKILL of containers that name none.
    pub(crate) stop_timeout: Option<u64>,
    /// Largest unpacked layer, in bytes.
    pub(crate) max_layer_size: Option<u64>,
    /// Cgroup of this engine's containers; Docker's name for it is `cgroup-parent`.
    #[serde(alias = "cgroup-parent")]
    pub(crate) cgroup_root: Option<String>,
    /// Shims that wait for containers; each makes one start faster and holds some 200 kB.
    pub(crate) ready_shims: Option<usize>,
}

/// A number of bytes, with a unit or without.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Size {
    /// Bytes.
    Number(u64),
    /// `64m`.
    Text(String),
}

/// Why a file is not usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read configuration file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("configuration file {}: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("configuration file {}: {source}", path.display())]
    Unsupported { path: PathBuf, source: Unsupported },
}

/// Reads `path`, or the first default file that is there; and what is to be said about its keys.
pub(crate) fn read(path: Option<&Path>, called_as: CalledAs) -> Result<(Config, Vec<String>), ConfigError> {
    let defaults: &[&str] = match called_as {
        CalledAs::Corten => &DEFAULT_FILES,
        CalledAs::Dockerd => &DOCKER_FILES,
    };
    let files = path.map_or_else(|| defaults.iter().map(Path::new).collect(), |path| vec![path]);
    for file in files {
        match std::fs::read_to_string(file) {
            Ok(text) => return parse(file, &text),
            Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ConfigError::Unreadable { path: file.to_owned(), source }),
        }
    }
    Ok(Default::default())
}

fn parse(path: &Path, text: &str) -> Result<(Config, Vec<String>), ConfigError> {
    let invalid = |reason: String| ConfigError::Invalid { path: path.to_owned(), reason };
    if path.extension().is_none_or(|extension| extension != "json") {
        // The error shows the line.
        let config =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end().to_owned()))?;
        return Ok((config, Vec::new()));
    }
    if text.trim().is_empty() {
        return Ok(Default::default());
    }
    let mut document = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let notes = tolerated::take_keys(&mut document)
        .map_err(|source| ConfigError::Unsupported { path: path.to_owned(), source })?;
    let config = serde_json::from_value(document.into()).map_err(|error| invalid(error.to_string()))?;
    Ok((config, notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_docker_s_json_say_the_same() {
        let toml =
            "hosts = [\"unix:///x\"]\ndata-root = \"/d\"\ndebug = true\n[log-opts]\nmax-size = \"1m\"\n";
        let json = r#"{"hosts":["unix:///x"],"data-root":"/d","debug":true,"log-opts":{"max-size":"1m"},
            "userland-proxy":false,"exec-opts":["native.cgroupdriver=cgroupfs"],"log-driver":"json-file"}"#;
        let (from_toml, _) = parse(Path::new("c.toml"), toml).unwrap();
        let (from_json, notes) = parse(Path::new("daemon.json"), json).unwrap();
        assert_eq!(from_toml, from_json);
        assert_eq!(notes.len(), 3);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error =
            parse(Path::new("/etc/corten/config.toml"), "debug = true\ndata-rot = \"/x\"\n").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("configuration file /etc/corten/config.toml: "), "{text}");
        assert!(text.contains("line 2") && text.contains("data-rot"), "{text}");
        assert!(parse(Path::new("daemon.json"), r#"{"userns-remap":"x"}"#).is_err());
    }

    #[test]
    fn only_the_default_file_may_be_absent() {
        assert!(read(Some(Path::new("/nonexistent/config.toml")), CalledAs::Corten).is_err());
    }
}
