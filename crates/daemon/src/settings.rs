//! What configuration file and flags come to: flag over file over default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine::params::{ContainerDefaults, Ulimit};
use engine::security::SeccompChoice;
use tracing::Level;

use crate::args::{Args, CalledAs};
use crate::config::{Config, Size};

/// Where the daemon listens when it is called `corten daemon`.
const DEFAULT_SOCKET: &str = "/run/corten.sock";
/// Where it listens when it is called `dockerd`.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// Tasks of a container that names no limit.
const DEFAULT_PIDS_LIMIT: i64 = 4096;
/// Seconds between the stop signal and SIGKILL.
const DEFAULT_STOP_TIMEOUT: u64 = 10;
/// One for the next start, and one while that is replaced.
const DEFAULT_READY_SHIMS: usize = 2;
/// Logs are bounded unless someone says otherwise.
const DEFAULT_LOG_OPTIONS: [(&str, &str); 2] = [("max-size", "100m"), ("max-file", "3")];

/// One socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A path.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
    /// What the service manager has opened.
    Inherited,
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) plain_tcp: bool,
    pub(crate) data_root: PathBuf,
    pub(crate) exec_root: PathBuf,
    pub(crate) pidfile: Option<PathBuf>,
    pub(crate) group: Option<String>,
    pub(crate) reloadable: Reloadable,
    pub(crate) log_options: BTreeMap<String, String>,
    pub(crate) pids_limit: Option<i64>,
    pub(crate) init: bool,
    pub(crate) default_ulimits: Vec<Ulimit>,
    pub(crate) defaults: ContainerDefaults,
    pub(crate) stop_timeout: u64,
    pub(crate) max_layer_size: Option<u64>,
    pub(crate) cgroup_root: Option<String>,
    pub(crate) ready_shims: usize,
    pub(crate) shim: Option<PathBuf>,
}

/// What is read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reloadable {
    pub(crate) log_level: Level,
    pub(crate) labels: Vec<String>,
}

impl Reloadable {
    /// Puts it together.
    pub(crate) fn new(args: &Args, config: &Config) -> Result<Self, SettingsError> {
        let labels = if args.labels.is_empty() { &config.labels } else { &args.labels };
        labels.iter().try_for_each(|label| pair("label", label).map(drop))?;
        Ok(Self { log_level: log_level(args, config)?, labels: labels.clone() })
    }
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("invalid socket {0:?}: expected unix://PATH, tcp://HOST:PORT or fd://")]
    Endpoint(String),
    #[error("invalid log level {0:?}: expected debug, info, warn, error or fatal")]
    LogLevel(String),
    #[error("invalid {what} {value:?}: expected KEY=VALUE")]
    Pair { what: &'static str, value: String },
    #[error("invalid default ulimit {0:?}: expected NAME=SOFT[:HARD], with numbers, -1 for no limit")]
    Ulimit(String),
    #[error("invalid default ulimit: {0}")]
    UlimitName(String),
    #[error("invalid default shm size {0:?}: expected a number of bytes such as 64m")]
    ShmSize(String),
    #[error("cannot read seccomp profile {}: {reason}", path.display())]
    Seccomp { path: PathBuf, reason: String },
    #[error("{what} must be an absolute path, not {path:?}")]
    Relative { what: &'static str, path: PathBuf },
}

impl Settings {
    /// Puts them together.
    pub(crate) fn new(args: Args, config: Config, called_as: CalledAs) -> Result<Self, SettingsError> {
        let reloadable = Reloadable::new(&args, &config)?;
        let endpoints = endpoints(&args, &config, called_as)?;
        let mut log_options = config.log_opts;
        for option in args.log_opts {
            let (key, value) = pair("log option", &option)?;
            log_options.insert(key, value);
        }
        if log_options.is_empty() {
            log_options = DEFAULT_LOG_OPTIONS.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        }
        let root = |flag: Option<PathBuf>, file: Option<PathBuf>, default: &str| {
            flag.or(file).unwrap_or_else(|| default.into())
        };
        let pids_limit = config.pids_limit.unwrap_or(DEFAULT_PIDS_LIMIT);
        let defaults = ContainerDefaults {
            shm_size: shm_size(args.default_shm_size.map(Size::Text).or(config.default_shm_size))?,
            no_new_privileges: args.no_new_privileges || config.no_new_privileges,
            seccomp: seccomp(args.seccomp_profile.or(config.seccomp_profile))?,
        };
        Ok(Self {
            endpoints,
            plain_tcp: args.tls.or(config.tls) == Some(false),
            data_root: absolute("data root", root(args.data_root, config.data_root, "/var/lib/corten"))?,
            exec_root: absolute("exec root", root(args.exec_root, config.exec_root, "/run/corten"))?,
            pidfile: args.pidfile.or(config.pidfile),
            group: args.group.or(config.group),
            reloadable,
            log_options,
            pids_limit: (pids_limit > 0).then_some(pids_limit),
            init: args.init || config.init,
            default_ulimits: ulimits(&args.default_ulimits, config.default_ulimits)?,
            defaults,
            stop_timeout: config.stop_timeout.unwrap_or(DEFAULT_STOP_TIMEOUT),
            max_layer_size: config.max_layer_size,
            cgroup_root: args.cgroup_parent.or(config.cgroup_root),
            ready_shims: config.ready_shims.unwrap_or(DEFAULT_READY_SHIMS),
            shim: args.shim,
        })
    }
}

fn log_level(args: &Args, config: &Config) -> Result<Level, SettingsError> {
    let given = args.log_level.as_ref().or(config.log_level.as_ref());
    if args.debug || (given.is_none() && config.debug) {
        return Ok(Level::DEBUG);
    }
    match given.map_or("info", String::as_str) {
        "trace" => Ok(Level::TRACE),
        "debug" => Ok(Level::DEBUG),
        "info" => Ok(Level::INFO),
        "warn" | "warning" => Ok(Level::WARN),
        "error" | "fatal" | "panic" => Ok(Level::ERROR),
        other => Err(SettingsError::LogLevel(other.to_owned())),
    }
}

fn endpoints(args: &Args, config: &Config, called_as: CalledAs) -> Result<Vec<Endpoint>, SettingsError> {
    let given = if args.hosts.is_empty() { &config.hosts } else { &args.hosts };
    let mut endpoints = given.iter().map(|host| endpoint(host)).collect::<Result<Vec<_>, _>>()?;
    if endpoints.is_empty() {
        endpoints.push(Endpoint::Unix(match called_as {
            CalledAs::Corten => DEFAULT_SOCKET.into(),
            CalledAs::Dockerd => DOCKER_SOCKET.into(),
        }));
    }
    let docker = Endpoint::Unix(DOCKER_SOCKET.into());
    if (args.docker_socket || config.docker_socket) && !endpoints.contains(&docker) {
        endpoints.push(docker);
    }
    Ok(endpoints)
}

fn endpoint(text: &str) -> Result<Endpoint, SettingsError> {
    let invalid = || SettingsError::Endpoint(text.to_owned());
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') { Ok(Endpoint::Unix(path.into())) } else { Err(invalid()) };
    }
    if let Some(address) = text.strip_prefix("tcp://") {
        let address = address.trim_end_matches('/');
        // Docker's default port without encryption.
        let port_given = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if address.starts_with(':') { "127.0.0.1" } else { "" };
        return match (address, port_given) {
            ("", _) => Err(invalid()),
            (_, true) => Ok(Endpoint::Tcp(format!("{host}{address}"))),
            _ if address.contains(':') && !address.ends_with(']') => Err(invalid()),
            _ => Ok(Endpoint::Tcp(format!("{address}:2375"))),
        };
    }
    if text.starts_with("fd://") { Ok(Endpoint::Inherited) } else { Err(invalid()) }
}

fn pair(what: &'static str, text: &str) -> Result<(String, String), SettingsError> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(SettingsError::Pair { what, value: text.to_owned() }),
    }
}

/// The flags' limits over the file's.
fn ulimits(flags: &[String], file: BTreeMap<String, Ulimit>) -> Result<Vec<Ulimit>, SettingsError> {
    let mut limits = file;
    for text in flags {
        let limit = ulimit(text).ok_or_else(|| SettingsError::Ulimit(text.clone()))?;
        limits.insert(limit.name.clone(), limit);
    }
    // In the file the key is the name; the field may be left out.
    let named = limits.into_iter().map(|(name, limit)| Ulimit { name, ..limit });
    named
        .map(|limit| match engine::resources::check_ulimit(&limit) {
            Ok(()) => Ok(limit),
            Err(error) => Err(SettingsError::UlimitName(error.message().to_owned())),
        })
        .collect()
}

fn ulimit(text: &str) -> Option<Ulimit> {
    let (name, values) = text.split_once('=')?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    Some(Ulimit { name: name.to_owned(), soft: soft.parse().ok()?, hard: hard.parse().ok()? })
}

fn shm_size(given: Option<Size>) -> Result<i64, SettingsError> {
    let (bytes, shown) = match given {
        None => return Ok(ContainerDefaults::default().shm_size),
        Some(Size::Number(bytes)) => (Some(bytes), bytes.to_string()),
        Some(Size::Text(text)) => (engine::log_config::parse_size(&text), text),
    };
    let bytes = bytes.and_then(|bytes| i64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    bytes.ok_or(SettingsError::ShmSize(shown))
}

/// Read now, so that a profile that is not there keeps the daemon from starting and not each container.
fn seccomp(given: Option<String>) -> Result<SeccompChoice, SettingsError> {
    let path = match given.as_deref() {
        None | Some("" | "builtin") => return Ok(SeccompChoice::Builtin),
        Some("unconfined") => return Ok(SeccompChoice::Unconfined),
        Some(path) => PathBuf::from(path),
    };
    let failed = |reason: String| SettingsError::Seccomp { path: path.clone(), reason };
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text)
        .map_err(|error| failed(error.to_string()))?;
    Ok(SeccompChoice::Profile(text))
}

fn absolute(what: &'static str, path: PathBuf) -> Result<PathBuf, SettingsError> {
    if path.is_absolute() { Ok(path) } else { Err(SettingsError::Relative { what, path }) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn settings(args: &[&str], config: Config) -> Result<Settings, SettingsError> {
        let args = Args::try_parse_from(std::iter::once("daemon").chain(args.iter().copied())).unwrap();
        Settings::new(args, config, CalledAs::Corten)
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_the_default() {
        let file = || Config { data_root: Some("/file".into()), debug: true, ..Config::default() };
        assert_eq!(settings(&["--data-root", "/flag"], file()).unwrap().data_root, PathBuf::from("/flag"));
        assert_eq!(settings(&[], file()).unwrap().data_root, PathBuf::from("/file"));
        assert_eq!(settings(&[], Config::default()).unwrap().data_root, PathBuf::from("/var/lib/corten"));
        assert_eq!(settings(&[], file()).unwrap().reloadable.log_level, Level::DEBUG);
        assert_eq!(settings(&["-l", "warn"], file()).unwrap().reloadable.log_level, Level::WARN);
    }

    #[test]
    fn sockets_are_given_as_docker_gives_them() {
        for (text, wanted) in [
            ("unix:///x.sock", Some(Endpoint::Unix("/x.sock".into()))),
            ("tcp://127.0.0.1:2375", Some(Endpoint::Tcp("127.0.0.1:2375".into()))),
            ("tcp://127.0.0.1", Some(Endpoint::Tcp("127.0.0.1:2375".into()))),
            ("tcp://:5555", Some(Endpoint::Tcp("127.0.0.1:5555".into()))),
            ("tcp://[::1]:5555", Some(Endpoint::Tcp("[::1]:5555".into()))),
            ("fd://", Some(Endpoint::Inherited)),
            ("unix://x.sock", None),
            ("tcp://", None),
            ("tcp://h:x", None),
            ("http://x", None),
        ] {
            assert_eq!(endpoint(text).ok(), wanted, "{text}");
        }
    }

    #[test]
    fn dockerd_serves_docker_s_socket() {
        let settings = Settings::new(Args::default(), Config::default(), CalledAs::Dockerd).unwrap();
        assert_eq!(settings.endpoints, [Endpoint::Unix(DOCKER_SOCKET.into())]);
        let both = Args { docker_socket: true, ..Args::default() };
        assert_eq!(Settings::new(both, Config::default(), CalledAs::Corten).unwrap().endpoints.len(), 2);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(settings(&["--data-root", "x"], Config::default()).is_err());
        assert!(settings(&["--log-level", "loud"], Config::default()).is_err());
        assert!(settings(&["--log-opt", "max-size"], Config::default()).is_err());
        for bad in ["nofile", "nofile=x", "nope=1", "nofile=5:1", "nofile=-1:5"] {
            assert!(settings(&["--default-ulimit", bad], Config::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn default_ulimits_of_flags_replace_those_of_the_file() {
        let limit = |soft, hard| Ulimit { name: String::new(), soft, hard };
        let file = BTreeMap::from([("core".into(), limit(0, 0)), ("nofile".into(), limit(1, 2))]);
        let config = Config { default_ulimits: file, ..Config::default() };
        let settings = settings(&["--default-ulimit", "nofile=64:-1"], config).unwrap();
        let named = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
        assert_eq!(settings.default_ulimits, [named("core", 0, 0), named("nofile", 64, -1)]);
    }
}
