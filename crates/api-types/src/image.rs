//! Images: list, inspect, history, delete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One image of `GET /images/json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageSummary {
    /// Containers that use it; −1: not counted.
    pub containers: i64,
    /// Unix seconds.
    pub created: i64,
    /// `sha256:…`.
    pub id: String,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Image it was built from.
    pub parent_id: String,
    /// From API 1.48, when a manifest is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<serde_json::Value>,
    /// `name@sha256:…`.
    pub repo_digests: Vec<String>,
    /// `name:tag`.
    pub repo_tags: Vec<String>,
    /// −1: not counted.
    pub shared_size: i64,
    /// Bytes.
    pub size: i64,
    /// As `size`; up to API 1.43.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
}

/// One entry of `GET /images/{name}/history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HistoryItem {
    /// Comment.
    pub comment: String,
    /// Unix seconds.
    pub created: i64,
    /// Instruction.
    pub created_by: String,
    /// Image id, or `<missing>`.
    pub id: String,
    /// Bytes.
    pub size: i64,
    /// Names.
    pub tags: Option<Vec<String>>,
}

/// One entry of the answer of `DELETE /images/{name}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteResponse {
    /// Image or layer that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// Name that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untagged: Option<String>,
}

/// Answer of `GET /images/{name}/json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    /// `sha256:…`.
    pub id: String,
    /// `name:tag`.
    pub repo_tags: Vec<String>,
    /// `name@sha256:…`.
    pub repo_digests: Vec<String>,
    /// Image it was built from.
    pub parent: String,
    /// Comment.
    pub comment: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Configuration of the container it was made from, up to API 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<crate::config::Config>,
    /// Version of the engine that made it.
    pub docker_version: String,
    /// Author.
    pub author: String,
    /// `amd64`.
    pub architecture: String,
    /// `v8`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub variant: String,
    /// `linux`.
    pub os: String,
    /// Windows only.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub os_version: String,
    /// Bytes.
    pub size: i64,
    /// As `size`; up to API 1.43.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
    /// Where the layers are.
    pub graph_driver: crate::container::GraphDriver,
    /// Layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// Local data.
    pub metadata: Metadata,
    /// From API 1.48, when a manifest is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<serde_json::Value>,
    /// Configuration; the image's own, with its unknown members.
    pub config: Option<serde_json::Value>,
}

/// Layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// DiffIDs, the lowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
}

/// Local data of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Metadata {
    /// RFC 3339.
    pub last_tag_time: String,
}
