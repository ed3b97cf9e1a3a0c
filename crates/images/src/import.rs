//! Making an image of a root file system's archive: `docker import`.

use std::io::Read;

use jiff::Timestamp;
use oci::digest::Algorithm;
use oci::image::{History, ImageConfig, RootFs, RunConfig, to_json};
use oci::platform::Platform;
use oci::reference::Reference;
use snapshots::UnpackError;

use crate::changes::{self, ChangeError};
use crate::image::ImageId;
use crate::store::{Images, NewImage, StoreError};
use crate::tag::taggable;

/// How an archive becomes an image.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The image's name.
    pub reference: Option<Reference>,
    /// Recorded as comment; empty or absent: `Imported from -`.
    pub message: Option<String>,
    /// Dockerfile instructions that set the configuration.
    pub changes: Vec<String>,
    /// What the image runs on; absent: this machine.
    pub platform: Option<Platform>,
}

/// Why an archive did not become an image. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// An instruction is not valid.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The name must not be given.
    #[error("{0}")]
    Name(&'static str),
    /// Images for other systems cannot be made here.
    #[error("operating system is not supported: {0}")]
    OperatingSystem(String),
    /// The archive cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Images {
    /// Unpacks an archive of any compression as the only layer of a new image. Everything that can be refused is
    /// refused before the archive is read.
    pub fn import(&self, archive: impl Read, options: &ImportOptions) -> Result<ImageId, ImportError> {
        let name = options.reference.as_ref().map(taggable).transpose().map_err(ImportError::Name)?;
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        if platform.os != "linux" {
            return Err(ImportError::OperatingSystem(platform.os));
        }
        let config = changes::apply(RunConfig::default(), &options.changes)?;
        let layer = self.layers().unpack(archive, Algorithm::Sha256)?;
        let rootfs = RootFs { diff_ids: vec![layer.unpacked().diff_id.clone()], ..RootFs::default() };
        let config = image_config(options, config, platform, rootfs);
        let raw_config = to_json(&config).map_err(StoreError::from)?.into_bytes();
        let new = NewImage { raw_config, config, parent: None };
        let image = self.add(new, vec![layer], name.as_slice())?;
        Ok(image.id.clone())
    }
}

/// The document that Docker writes for an import.
fn image_config(
    options: &ImportOptions,
    config: RunConfig,
    platform: Platform,
    rootfs: RootFs,
) -> ImageConfig {
    let message = options.message.clone().filter(|message| !message.is_empty());
    let comment = message.unwrap_or_else(|| "Imported from -".to_owned());
    let created = Some(Timestamp::now().to_string());
    ImageConfig {
        architecture: platform.architecture,
        comment: comment.clone(),
        config,
        container_config: Some(RunConfig::default()),
        created: created.clone(),
        docker_version: env!("CARGO_PKG_VERSION").to_owned(),
        history: vec![History { created, comment, ..History::default() }],
        os: platform.os,
        rootfs,
        variant: platform.variant.unwrap_or_default(),
        ..ImageConfig::default()
    }
}
