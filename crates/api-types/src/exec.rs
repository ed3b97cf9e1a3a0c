//! Exec: one more process in a running container.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;

/// Body of `POST /containers/{id}/exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecCreateRequest {
    /// `user[:group]`; empty: the container's.
    pub user: String,
    /// All capabilities.
    pub privileged: bool,
    /// Give the process a terminal.
    pub tty: bool,
    /// Initial terminal size: rows, columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u32; 2]>,
    /// Attach standard input.
    pub attach_stdin: bool,
    /// Attach standard error.
    pub attach_stderr: bool,
    /// Attach standard output.
    pub attach_stdout: bool,
    /// Do not wait.
    pub detach: bool,
    /// Detach key sequence.
    pub detach_keys: String,
    /// `NAME=value`, beside the container's.
    pub env: Option<Vec<String>>,
    /// Working directory; empty: the container's.
    pub working_dir: String,
    /// Command.
    pub cmd: Vec<String>,
}

/// Answer with an id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdResponse {
    /// 64 hexadecimal digits, or an image id.
    pub id: String,
}

/// Body of `POST /exec/{id}/start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecStartRequest {
    /// Do not attach.
    pub detach: bool,
    /// As given at create.
    pub tty: bool,
    /// Initial terminal size: rows, columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u32; 2]>,
}

/// Answer of `GET /exec/{id}/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecInspect {
    /// Exec id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Running now.
    pub running: bool,
    /// null while it runs.
    pub exit_code: Option<i32>,
    /// What runs.
    pub process_config: ProcessConfig,
    /// Standard input is attached.
    pub open_stdin: bool,
    /// Standard error is attached.
    pub open_stderr: bool,
    /// Standard output is attached.
    pub open_stdout: bool,
    /// Gone with the container.
    pub can_remove: bool,
    /// Container's id.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Detach key sequence.
    pub detach_keys: Bytes,
    /// Host pid.
    pub pid: i32,
}

/// What an exec runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessConfig {
    /// Terminal.
    pub tty: bool,
    /// Program.
    pub entrypoint: String,
    /// Arguments.
    pub arguments: Vec<String>,
    /// All capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// User, when given.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub user: String,
}
