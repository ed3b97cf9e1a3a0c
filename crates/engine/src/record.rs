//! One container as kept on disk: a JSON document in table `containers`.
//!
//! **Format:** `version` 1. A document of a newer version, or one that does not parse, sets its one container aside
//! (see `store`), never the start of the engine. Fields are only added, each with a default.

use std::collections::BTreeMap;

use api_types::config::Config;
use api_types::host_config::HostConfig;
use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::mounts::MountPlan;
use crate::state::State;

/// Version of the document that this engine writes.
pub const VERSION: u32 = 1;

/// Everything the engine remembers of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the document.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Unix nanoseconds.
    pub created: i64,
    /// Image as the user named it.
    pub image: String,
    /// `sha256:…`.
    pub image_id: String,
    /// Configuration, merged with the image's.
    pub config: Config,
    /// Host configuration, with defaults filled in.
    pub host_config: HostConfig,
    /// What is mounted beside the default mounts.
    pub mounts: Vec<MountPlan>,
    /// Where it stands.
    pub state: State,
    /// Restarts by policy.
    #[serde(default)]
    pub restart_count: i64,
    /// Paused by a commit, which ends with the engine that did it.
    #[serde(default)]
    pub paused_for_commit: bool,
    /// The user stopped it: `unless-stopped` leaves it alone.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Health, once it has been started with something to be checked.
    #[serde(default)]
    pub health: Option<Health>,
    /// SHA-256 of the network files as the engine last wrote them, by file name; a file that differs belongs to the
    /// user.
    #[serde(default)]
    pub written_files: BTreeMap<String, String>,
    /// Boot that `state` belongs to (`/proc/sys/kernel/random/boot_id`).
    #[serde(default)]
    pub boot_id: String,
}

impl Record {
    /// The program, and its arguments.
    pub fn command(&self) -> (String, Vec<String>) {
        let mut words = self.config.entrypoint.clone().unwrap_or_default();
        words.extend(self.config.cmd.clone().unwrap_or_default());
        if words.is_empty() {
            return (String::new(), Vec::new());
        }
        let path = words.remove(0);
        (path, words)
    }

    /// The first 12 digits of the id.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}
