//! What takes space, and what pruning gave back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::container::Summary;
use crate::image::{DeleteResponse, ImageSummary};

/// Answer of `GET /system/df`. A kind that was not asked for is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskUsage {
    /// Bytes of all layers, each once.
    pub layers_size: i64,
    /// Images.
    pub images: Option<Vec<ImageSummary>>,
    /// Containers.
    pub containers: Option<Vec<Summary>>,
    /// Volumes.
    pub volumes: Option<Vec<Volume>>,
    /// Records of the build cache.
    pub build_cache: Option<Vec<BuildCache>>,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// RFC 3339.
    pub created_at: String,
    /// `local`.
    pub driver: String,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Where its files are.
    pub mountpoint: String,
    /// Name.
    pub name: String,
    /// The driver's options.
    pub options: Option<BTreeMap<String, String>>,
    /// `local` or `global`.
    pub scope: String,
    /// In a list of what takes space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_data: Option<VolumeUsage>,
}

/// What a volume takes, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeUsage {
    /// Containers that use it; −1: not known.
    pub ref_count: i64,
    /// Bytes; −1: not known.
    pub size: i64,
}

/// A record of the build cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BuildCache {
    /// Id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Records it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parents: Option<Vec<String>>,
    /// `regular`, `source.local`, ….
    #[serde(rename = "Type")]
    pub kind: String,
    /// What it is, for people.
    pub description: String,
    /// A build uses it now.
    pub in_use: bool,
    /// Others share its bytes.
    pub shared: bool,
    /// Bytes.
    pub size: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; none: never.
    pub last_used_at: Option<String>,
    /// How often.
    pub usage_count: i64,
}

/// Answer of `POST /containers/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainersPruned {
    /// Ids; null when there was nothing to remove.
    pub containers_deleted: Option<Vec<String>>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// Answer of `POST /images/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImagesPruned {
    /// Names and images; null when there was nothing to remove.
    pub images_deleted: Option<Vec<DeleteResponse>>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// Answer of `POST /networks/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworksPruned {
    /// Names; null when there was nothing to remove.
    pub networks_deleted: Option<Vec<String>>,
}

/// Answer of `POST /volumes/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumesPruned {
    /// Names.
    pub volumes_deleted: Vec<String>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// Answer of `POST /build/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BuildCachePruned {
    /// Ids; null when there was nothing to remove.
    pub caches_deleted: Option<Vec<String>>,
    /// Bytes.
    pub space_reclaimed: u64,
}
