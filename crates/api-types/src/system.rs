//! The daemon itself: version, info, events, errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Body of every error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorResponse {
    /// Text.
    pub message: String,
}

/// Answer of `GET /version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// Product.
    pub platform: PlatformName,
    /// Parts and their versions.
    pub components: Vec<Component>,
    /// Engine's version.
    pub version: String,
    /// Newest API version.
    pub api_version: String,
    /// Oldest API version.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
    /// Commit it was built from.
    pub git_commit: String,
    /// Toolchain.
    pub go_version: String,
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub arch: String,
    /// Kernel release.
    pub kernel_version: String,
    /// Experimental features are on.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub experimental: bool,
    /// RFC 3339.
    pub build_time: String,
}

/// Product's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlatformName {
    /// Name.
    pub name: String,
}

/// One part of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Component {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// More.
    pub details: BTreeMap<String, String>,
}

/// One message of `GET /events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventMessage {
    /// As `Action`, for containers and images; deprecated.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub status: String,
    /// As `Actor.ID`; deprecated.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub id: String,
    /// Image of a container; deprecated.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub from: String,
    /// `container`, `image`, ….
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `start`, `die`, ….
    #[serde(rename = "Action")]
    pub action: String,
    /// What it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local`.
    pub scope: String,
    /// Unix seconds.
    pub time: i64,
    /// Unix nanoseconds.
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// What an event happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Labels, name, image, exit code, ….
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// One line of a progress stream (`load`, `pull`, `build`, `import`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Output of a build.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub stream: String,
    /// What is going on.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub status: String,
    /// Layer or image it is about.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub id: String,
    /// A bar drawn by the daemon; deprecated.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub progress: String,
    /// Figures.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// Failure.
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// Failure's text.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub error: String,
}

/// Figures of a progress line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    /// Bytes done.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub current: i64,
    /// Bytes in all.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub total: i64,
}

/// Failure of a progress stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// Exit code of a build step.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub code: i32,
    /// Text.
    pub message: String,
}
