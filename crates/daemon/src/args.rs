//! The command line, with Docker's names.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Parser};

/// Run the engine
///
/// Serves the Engine API until SIGTERM or SIGINT. Containers keep running when it stops, and are found again by the
/// next one.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "daemon", bin_name = "corten daemon", disable_version_flag = true)]
pub(crate) struct Args {
    /// Socket to listen on: unix://PATH, tcp://HOST:PORT or fd:// (can be repeated)
    #[arg(short = 'H', long = "host", value_name = "SOCKET")]
    pub(crate) hosts: Vec<String>,
    /// Serve /var/run/docker.sock as well
    #[arg(long)]
    pub(crate) docker_socket: bool,
    /// Directory of persistent data
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// Directory of what is gone at boot
    #[arg(long, value_name = "DIR")]
    pub(crate) exec_root: Option<PathBuf>,
    /// File to write the daemon's process id to
    #[arg(short = 'p', long, value_name = "FILE")]
    pub(crate) pidfile: Option<PathBuf>,
    /// Configuration file, TOML, or JSON with Docker's keys when it is called *.json
    #[arg(long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Group that may use the unix sockets
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// What to log: debug, info, warn, error, fatal
    #[arg(short = 'l', long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Log at level debug
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Log option of containers that name none: max-size=SIZE, max-file=N (can be repeated)
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub(crate) log_opts: Vec<String>,
    /// Give containers an init process that reaps and hands signals on
    #[arg(long)]
    pub(crate) init: bool,
    /// Resource limit of containers that do not set it themselves (can be repeated)
    #[arg(long = "default-ulimit", value_name = "NAME=SOFT[:HARD]")]
    pub(crate) default_ulimits: Vec<String>,
    /// Size of /dev/shm of containers that name none
    #[arg(long, value_name = "SIZE")]
    pub(crate) default_shm_size: Option<String>,
    /// Do not let programs in containers gain privileges by running others
    #[arg(long)]
    pub(crate) no_new_privileges: bool,
    /// System call filter of containers that name none: a file with a profile, builtin or unconfined
    #[arg(long, value_name = "FILE")]
    pub(crate) seccomp_profile: Option<String>,
    /// Cgroup below which containers get theirs
    #[arg(long, value_name = "CGROUP")]
    pub(crate) cgroup_parent: Option<String>,
    /// Label of this daemon, shown by info (can be repeated)
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// With =false: serve unencrypted tcp:// beyond this machine
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls: Option<bool>,
    /// Check the configuration and exit
    #[arg(long)]
    pub(crate) validate: bool,
    /// The shim's program
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) shim: Option<PathBuf>,
    /// Print the points at which a test can make it die or fail, and exit
    #[arg(long, hide = true)]
    pub(crate) list_failpoints: bool,
    /// Print the version and exit
    #[arg(short = 'v', long, action = ArgAction::SetTrue)]
    pub(crate) version: bool,
}

/// How it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CalledAs {
    /// `corten daemon`.
    Corten,
    /// `dockerd`.
    Dockerd,
}

impl CalledAs {
    /// By the first argument.
    pub(crate) fn from_name(name: Option<&OsString>) -> Self {
        let name = name.and_then(|name| Path::new(name).file_name());
        if name.is_some_and(|name| name == "dockerd") { Self::Dockerd } else { Self::Corten }
    }
}
