//! Images from an archive: `docker load`.
//!
//! Reads what `docker save` writes (`manifest.json`), and OCI image layouts in a tar, both also compressed as a whole
//! or layer by layer. The archive is read once: what looks like a layer is unpacked as it passes, and only when the
//! documents are known is it decided which layers are wanted. Names in the archive are keys of a table, never paths
//! on disk.
//!
//! - [`Images::load`]: the operation
//! - `archive`: one pass over the archive
//! - `docker`, `layout`: which images it holds, by either format
//! - `adopt`: an image's documents and layers into the store

mod adopt;
mod archive;
mod docker;
mod layout;

use std::io::Read;

use ::archive::tar::TarError;
use oci::platform::Platform;
use oci::reference::Reference;
use snapshots::UnpackError;

use crate::image::ImageId;
use crate::store::{Images, StoreError};
use archive::Archive;

/// Which of an archive's images are wanted.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Only those for this platform; absent: all, and of an index the one for this machine.
    pub platform: Option<Platform>,
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its id.
    pub id: ImageId,
    /// Names that the archive gave it.
    pub names: Vec<Reference>,
}

impl LoadedImage {
    /// Docker's lines about it.
    pub fn lines(&self) -> Vec<String> {
        if self.names.is_empty() {
            return vec![format!("Loaded image ID: {}", self.id)];
        }
        self.names.iter().map(|name| format!("Loaded image: {}", name.familiar())).collect()
    }
}

/// What happens during a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadProgress {
    /// A layer was unpacked.
    Layer {
        /// Its name in the archive.
        name: String,
        /// Length of its uncompressed archive.
        archive_size: u64,
    },
    /// A line for people.
    Message(String),
}

/// Why an archive, or the rest of it, was not loaded. Images loaded before stay.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive is damaged, cut off, or none.
    #[error("{0}")]
    Archive(#[from] TarError),
    /// The archive is of another kind.
    #[error(
        "invalid archive: it has neither manifest.json nor index.json, so it is not an image archive as \"docker save\" \
         writes; a root file system is imported with \"import\""
    )]
    NotImages,
    /// A document is not what it should be.
    #[error("invalid archive: cannot read {name}: {reason}")]
    Document {
        /// Its name in the archive.
        name: String,
        /// Why.
        reason: String,
    },
    /// A document names something that the archive does not have.
    #[error("invalid archive: {by} names {name:?}: no such file or directory in it")]
    Missing {
        /// The document.
        by: String,
        /// What it names.
        name: String,
    },
    /// A document and the configuration disagree on the number of layers.
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {found}")]
    LayerCount {
        /// Layers by the manifest.
        expected: usize,
        /// Layers by the configuration.
        found: usize,
    },
    /// A layer is not the one that the configuration means.
    #[error("invalid diffID for layer {index}: expected \"{expected}\", got \"{found}\"")]
    DiffId {
        /// Which layer, lowest first.
        index: usize,
        /// What the configuration says.
        expected: String,
        /// What the layer is.
        found: String,
    },
    /// Content does not hash to its name.
    #[error("invalid archive: {name} is damaged: its digest is {found}")]
    Damaged {
        /// Its name in the archive.
        name: String,
        /// What it hashes to.
        found: String,
    },
    /// A layer cannot be unpacked.
    #[error("cannot unpack layer {name}: {source}")]
    Layer {
        /// Its name in the archive.
        name: String,
        /// Why.
        source: UnpackError,
    },
    /// A name in the archive is no image name.
    #[error("invalid tag {0:?}")]
    Tag(String),
    /// An image for another system.
    #[error("cannot load {0} image on linux")]
    OperatingSystem(String),
    /// No image for the platform.
    #[error("no image of the archive is for {wanted}; it has images for {published}")]
    NoSuchPlatform {
        /// The platform.
        wanted: String,
        /// Those that there are.
        published: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Images {
    /// Loads the images of an archive of any compression.
    pub fn load(
        &self,
        archive: impl Read,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Vec<LoadedImage>, LoadError> {
        let mut archive = Archive::read(self, archive, progress)?;
        let items = if let Some(manifest) = archive.document("manifest.json") {
            docker::items(&manifest)?
        } else if let Some(index) = archive.document("index.json") {
            layout::items(&archive, &index, options.platform.as_ref())?
        } else {
            return Err(LoadError::NotImages);
        };
        let mut loaded = Vec::new();
        let mut pins = Vec::new();
        let mut published = Vec::new();
        for item in items {
            let adoption = adopt::read(&archive, item)?;
            let platform = adoption.config.platform();
            if options.platform.as_ref().is_some_and(|wanted| platform.normal() != wanted.normal()) {
                published.push(platform.to_string());
                continue;
            }
            let image = adopt::adopt(self, &mut archive, adoption, &mut pins, progress)?;
            image.lines().into_iter().for_each(|line| progress(LoadProgress::Message(line)));
            loaded.push(image);
        }
        match (&options.platform, loaded.is_empty()) {
            (Some(wanted), true) => {
                Err(LoadError::NoSuchPlatform { wanted: wanted.to_string(), published: published.join(", ") })
            }
            _ => Ok(loaded),
        }
    }
}

/// An image of an archive, by names of what it consists of.
struct Item {
    /// The document that describes it, for error texts.
    by: String,
    config: String,
    /// Lowest first.
    layers: Vec<String>,
    names: Vec<Reference>,
    parent: Option<ImageId>,
}

/// A document's content as `T`.
fn parse<'a, T: serde::Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T, LoadError> {
    serde_json::from_slice(bytes)
        .map_err(|error| LoadError::Document { name: name.to_owned(), reason: error.to_string() })
}
