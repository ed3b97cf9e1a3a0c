//! `Config`: what a container runs, wherever it runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Empty, is_default};

/// The portable configuration of a container, and the `Config` of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Host name inside; empty: the first 12 digits of the id.
    pub hostname: String,
    /// Domain name inside.
    pub domainname: String,
    /// `user[:group]` by name or number; empty: root.
    pub user: String,
    /// The creating client attaches to standard input.
    pub attach_stdin: bool,
    /// The creating client attaches to standard output.
    pub attach_stdout: bool,
    /// The creating client attaches to standard error.
    pub attach_stderr: bool,
    /// Ports that the image declares, `80/tcp`.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// Give the process a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub open_stdin: bool,
    /// Close standard input when the first attached client leaves.
    pub stdin_once: bool,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Arguments, or the whole command when there is no entrypoint.
    #[serde(deserialize_with = "words", default)]
    pub cmd: Option<Vec<String>>,
    /// Health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Windows only.
    #[serde(skip_serializing_if = "is_default")]
    pub args_escaped: bool,
    /// Image as the user named it.
    pub image: String,
    /// Anonymous volumes, by path.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Absolute working directory.
    pub working_dir: String,
    /// Program and leading arguments.
    #[serde(deserialize_with = "words", default)]
    pub entrypoint: Option<Vec<String>>,
    /// Networking is switched off.
    #[serde(skip_serializing_if = "is_default")]
    pub network_disabled: bool,
    /// MAC address, before API 1.44.
    #[serde(skip_serializing_if = "is_default")]
    pub mac_address: String,
    /// Triggers for builds that start from this image.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Signal that asks the process to stop.
    #[serde(skip_serializing_if = "is_default")]
    pub stop_signal: String,
    /// Seconds between the stop signal and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Shell of the image's shell-form instructions.
    #[serde(deserialize_with = "words", skip_serializing_if = "crate::no_items")]
    pub shell: Option<Vec<String>>,
}

/// A command given as a list, or as one string (Docker's `strslice`).
pub(crate) fn words<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Words>::deserialize(deserializer)?.map(|words| match words {
        Words::One(word) => vec![word],
        Words::Many(words) => words,
    }))
}

/// How the engine finds out whether a container works. Times are nanoseconds; 0 inherits or takes the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; empty inherits.
    #[serde(skip_serializing_if = "crate::no_items")]
    pub test: Option<Vec<String>>,
    /// Time between checks.
    #[serde(skip_serializing_if = "is_default")]
    pub interval: i64,
    /// Time after which a check counts as failed.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: i64,
    /// Time in which failures do not count.
    #[serde(skip_serializing_if = "is_default")]
    pub start_period: i64,
    /// Time between checks during the start period.
    #[serde(skip_serializing_if = "is_default")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: i64,
}
