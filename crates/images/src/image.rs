//! One image.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use oci::digest::{Digest, DigestError};
use oci::image::ImageConfig;
use oci::reference::Reference;

/// Identifies an image: the digest of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(Digest);

impl ImageId {
    /// The digest.
    pub fn digest(&self) -> &Digest {
        &self.0
    }

    /// The first twelve digits.
    pub fn short(&self) -> &str {
        self.0.short()
    }

    /// Whether `prefix` begins this id, with or without `sha256:`.
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.0.hex().starts_with(prefix) || self.to_string().starts_with(prefix)
    }
}

impl From<Digest> for ImageId {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl FromStr for ImageId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An image, as it was when it was asked for.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its configuration.
    pub config: ImageConfig,
    /// The configuration's bytes, whose digest is the id.
    pub raw_config: Arc<[u8]>,
    /// Names with a tag or a digest, sorted.
    pub names: Vec<Reference>,
    /// The image it was committed or built on, if that was here.
    pub parent: Option<ImageId>,
    /// Its layers, lowest first.
    pub layers: Vec<Layer>,
    /// Lower directories of an overlay mount, uppermost first; never empty, since overlayfs wants one.
    pub lower_dirs: Vec<PathBuf>,
    /// When it got a name last.
    pub last_tagged: Option<Timestamp>,
}

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of its uncompressed archive.
    pub diff_id: Digest,
    /// Bytes of its files.
    pub size: u64,
    /// Length of its uncompressed archive.
    pub archive_size: u64,
}

impl Image {
    /// Bytes of the files of all its layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// When it was made, if its configuration says so.
    pub fn created(&self) -> Option<Timestamp> {
        self.config.created.as_deref()?.parse().ok()
    }

    /// Names with a tag, as people write them: `busybox:latest`.
    pub fn repo_tags(&self) -> Vec<String> {
        let tagged = self.names.iter().filter(|name| name.digest().is_none());
        tagged.map(Reference::familiar).collect()
    }

    /// Names with a digest, as people write them: `busybox@sha256:…`.
    pub fn repo_digests(&self) -> Vec<String> {
        let digested = self.names.iter().filter(|name| name.digest().is_some());
        digested.map(Reference::familiar).collect()
    }

    /// Whether it has no name.
    pub fn is_dangling(&self) -> bool {
        self.names.is_empty()
    }
}
