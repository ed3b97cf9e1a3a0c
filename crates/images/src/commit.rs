//! Making an image of what a container changed: `docker commit`.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use jiff::Timestamp;
use oci::digest::{Algorithm, Digest};
use oci::image::{History, ImageConfig, RootFs, RunConfig, to_json};
use oci::reference::Reference;
use snapshots::UnpackError;
use snapshots::layers::Staged;
use snapshots::pack::{Contents, pack};

use crate::image::{Image, ImageId};
use crate::store::{Images, NewImage, StoreError};
use crate::tag::taggable;

/// The archive of no files at all: two blocks of zeros.
const EMPTY_ARCHIVE: [u8; 1024] = [0; 1024];

/// What is known of the container, and what the image shall be.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// The image that the container was made from.
    pub parent: ImageId,
    /// Id of the container.
    pub container: String,
    /// The container's configuration.
    pub container_config: RunConfig,
    /// The image's configuration.
    pub config: RunConfig,
    /// Who commits.
    pub author: String,
    /// Why.
    pub comment: String,
    /// The image's name.
    pub reference: Option<Reference>,
}

/// Why a container did not become an image. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The name must not be given. The words are Docker's.
    #[error("{0}")]
    Name(&'static str),
    /// The image that the container was made from is gone.
    #[error("No such image: {0}")]
    ParentGone(ImageId),
    /// The container's files cannot be read.
    #[error("cannot read the container's files")]
    Read(#[source] io::Error),
    /// The layer cannot be written.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Images {
    /// Whether an image may be given this name, and with which tag it is.
    pub fn check_name(&self, name: &Reference) -> Result<Reference, CommitError> {
        taggable(name).map_err(CommitError::Name)
    }

    /// Makes a layer of `upper`, a container's own directory, on the layers of its image. `still_there` is asked when
    /// all has been read, and its error ends the commit.
    pub fn commit<E: From<CommitError>>(
        &self,
        upper: BorrowedFd<'_>,
        options: CommitOptions,
        still_there: impl FnOnce() -> Result<(), E>,
    ) -> Result<Arc<Image>, E> {
        let gone = || CommitError::ParentGone(options.parent.clone());
        let name = options.reference.as_ref().map(|name| self.check_name(name)).transpose()?;
        let _hold = self.hold(&options.parent).ok_or_else(gone)?;
        let parent = self.get(&options.parent).ok_or_else(gone)?;
        let pins: Option<Vec<_>> = parent.layers.iter().map(|layer| self.pin_layer(&layer.diff_id)).collect();
        let _pins = pins.ok_or_else(gone)?;
        let layer = self.layer_of(upper)?;
        still_there()?;
        let staged = Some(layer).filter(|layer| layer.unpacked().diff_id != Digest::sha256(EMPTY_ARCHIVE));
        let config = image_config(options, &parent, staged.as_ref().map(|layer| &layer.unpacked().diff_id));
        let raw_config = to_json(&config).map_err(StoreError::from).map_err(CommitError::from)?.into_bytes();
        let new = NewImage { raw_config, config, parent: Some(parent.id.clone()) };
        Ok(self.add(new, staged.into_iter().collect(), name.as_slice()).map_err(CommitError::from)?)
    }

    /// Packs and unpacks at once: the archive's digest is the layer's name, and its recipe is kept for `save`.
    fn layer_of(&self, upper: BorrowedFd<'_>) -> Result<Staged, CommitError> {
        let (reader, writer) = io::pipe().map_err(CommitError::Read)?;
        let settings = *self.layers().settings();
        std::thread::scope(|scope| {
            let packing = scope.spawn(move || {
                // A pipe takes 64 KiB; headers come in pieces of 512 bytes.
                let writer = io::BufWriter::with_capacity(64 * 1024, writer);
                pack(upper, Contents::Layer, &settings, writer).map(drop)
            });
            let unpacked = self.layers().unpack(reader, Algorithm::Sha256);
            let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("packing failed")));
            match (packed, unpacked) {
                // The reader left, and says why.
                (Err(error), Err(unpacked)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    Err(unpacked.into())
                }
                // An archive that breaks off between two files looks like a whole one.
                (Err(error), _) => Err(CommitError::Read(error)),
                (Ok(()), unpacked) => Ok(unpacked?),
            }
        })
    }
}

/// The document that Docker writes for a commit.
fn image_config(options: CommitOptions, parent: &Image, layer: Option<&Digest>) -> ImageConfig {
    let below = &parent.config;
    let created = Some(Timestamp::now().to_string());
    let step = History {
        created: created.clone(),
        author: options.author.clone(),
        created_by: options.container_config.cmd.as_deref().unwrap_or_default().join(" "),
        comment: options.comment,
        empty_layer: layer.is_none(),
    };
    let mut history = below.history.clone();
    history.push(step);
    let mut rootfs = RootFs { diff_ids: below.rootfs.diff_ids.clone(), ..RootFs::default() };
    rootfs.diff_ids.extend(layer.cloned());
    ImageConfig {
        architecture: below.architecture.clone(),
        author: options.author,
        // Docker has it in the history alone.
        comment: String::new(),
        config: options.config,
        container: options.container,
        container_config: Some(options.container_config),
        created,
        docker_version: env!("CARGO_PKG_VERSION").to_owned(),
        history,
        os: below.os.clone(),
        os_version: below.os_version.clone(),
        rootfs,
        variant: below.variant.clone(),
    }
}
