//! The store: opening, adding, and what every operation stands on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use db::{Database, DbError};
use jiff::Timestamp;
use oci::digest::Digest;
use oci::image::ImageConfig;
use oci::reference::Reference;
use snapshots::layers::{Detached, Layers, LayersError, Staged};
use snapshots::settings::Settings;

use crate::image::{Image, ImageId, Layer};
use crate::index::Index;
use crate::rows::{self, ImageRow};

/// The images of one data root. Clones share the store; all calls block and may be made from any thread.
#[derive(Debug, Clone)]
pub struct Images(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    content: content::Store,
    layers: Layers,
    index: RwLock<Index>,
    /// Held while rows and their shadows change together, so that nobody removes what another is about to name.
    changing: Mutex<()>,
}

/// The store itself failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The content store.
    #[error(transparent)]
    Content(#[from] content::ContentError),
    /// The layer store.
    #[error(transparent)]
    Layers(#[from] LayersError),
    /// A configuration made here cannot be written.
    #[error("cannot write an image's configuration")]
    Config(#[from] serde_json::Error),
    /// Another operation removed a layer that this one counted on.
    #[error("layer {0} is gone")]
    LayerGone(Digest),
}

/// An image to be added.
pub(crate) struct NewImage {
    pub(crate) raw_config: Vec<u8>,
    pub(crate) config: ImageConfig,
    pub(crate) parent: Option<ImageId>,
}

/// Keeps an image's content while it lives, even if the image is removed meanwhile.
#[derive(Debug)]
pub struct Hold {
    images: Images,
    id: ImageId,
}

/// Keeps a layer while it lives.
#[derive(Debug)]
pub(crate) struct LayerPin {
    images: Images,
    diff_id: Digest,
}

impl Images {
    /// Opens the store below `data_root`, with its tables in `database`, and sweeps what a crash left.
    ///
    /// A damaged image is set aside with a warning and does not keep the others from being used.
    pub fn open(data_root: &Path, database: Database) -> Result<Self, StoreError> {
        Self::open_with(data_root, database, Settings::default())
    }

    /// Like [`Self::open`], with settings for the layers.
    pub fn open_with(data_root: &Path, database: Database, settings: Settings) -> Result<Self, StoreError> {
        database.migrate(rows::COMPONENT)?;
        let content = content::Store::open(&data_root.join("content"))?;
        let layers = Layers::open(&data_root.join("layers"), settings)?;
        let inner = Inner { database, content, layers, index: RwLock::default(), changing: Mutex::default() };
        let images = Self(Arc::new(inner));
        images.load_rows()?;
        Ok(images)
    }

    /// All images, in the order of their ids.
    pub fn list(&self) -> Vec<Arc<Image>> {
        self.index().images().cloned().collect()
    }

    /// An image by its exact id; also one that was removed and is kept for its containers.
    pub fn get(&self, id: &ImageId) -> Option<Arc<Image>> {
        self.index().image_or_hidden(id).cloned()
    }

    /// Images that were committed or built on this one.
    pub fn children(&self, id: &ImageId) -> Vec<ImageId> {
        self.index().children(id).map(|image| image.id.clone()).collect()
    }

    /// Keeps the image's content until the hold is dropped: a container that is being created holds its image until
    /// its own row is written. `None` if there is no such image.
    pub fn hold(&self, id: &ImageId) -> Option<Hold> {
        let mut index = self.index_mut();
        index.image_or_hidden(id)?;
        index.held_images.add(id.clone());
        Some(Hold { images: self.clone(), id: id.clone() })
    }

    /// The layer store.
    pub fn layers(&self) -> &Layers {
        &self.0.layers
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(crate) fn content(&self) -> &content::Store {
        &self.0.content
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.0.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Taken before rows and shadows change together.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a layer that is in the store from being removed; `None` if it is not there.
    pub(crate) fn pin_layer(&self, diff_id: &Digest) -> Option<LayerPin> {
        let mut index = self.index_mut();
        index.layer(diff_id)?;
        index.pinned_layers.add(diff_id.clone());
        Some(LayerPin { images: self.clone(), diff_id: diff_id.clone() })
    }

    /// Adds an image, its new layers and its names in one step that survives a power cut.
    ///
    /// Layers that the image has and `staged` does not bring must be pinned by the caller. Returns the image and,
    /// for each name, the image that had it before.
    pub(crate) fn add(
        &self,
        new: NewImage,
        staged: Vec<Staged>,
        names: &[Reference],
    ) -> Result<Arc<Image>, StoreError> {
        let mut fresh: Vec<Layer> = staged.iter().map(layer_of).collect();
        fresh.dedup_by(|a, b| a.diff_id == b.diff_id);
        self.layers().sync()?;
        let _changing = self.changing();
        let id = ImageId::from(self.content().put(&new.raw_config)?);
        let published = self.layers().publish(staged)?;
        let row = ImageRow {
            id: id.clone(),
            parent: new.parent.clone(),
            last_tagged: None,
            hidden: false,
            diff_ids: new.config.rootfs.diff_ids.clone(),
        };
        let written = self.write_rows(&row, &fresh, names);
        let now = match written {
            Ok(now) => now,
            Err(error) => {
                self.take_back(&id, &published);
                return Err(error);
            }
        };
        let mut index = self.index_mut();
        fresh.into_iter().for_each(|layer| index.put_layer(layer));
        let last_tagged = index.image(&id).and_then(|known| known.last_tagged);
        let image = self.assemble(&index, row, new.config, new.raw_config.into(), last_tagged)?;
        index.put_image(image);
        for name in names {
            index.put_name(name.clone(), &id, Some(now));
        }
        Ok(Arc::clone(index.image(&id).expect("put above")))
    }

    fn write_rows(
        &self,
        row: &ImageRow,
        fresh: &[Layer],
        names: &[Reference],
    ) -> Result<Timestamp, StoreError> {
        let (row, fresh, names) = (row.clone(), fresh.to_vec(), names.to_vec());
        let now = Timestamp::now();
        self.database().write_durable(move |tx| {
            rows::put_image(tx, &row, &fresh)?;
            names.iter().try_for_each(|name| rows::put_name(tx, name, &row.id, now))
        })?;
        Ok(now)
    }

    /// After a failed write: shadows without rows go at once rather than at the next start.
    fn take_back(&self, id: &ImageId, published: &[Digest]) {
        let index = self.index();
        if index.image_or_hidden(id).is_none() {
            let _ = self.content().remove(id.digest());
        }
        for diff_id in published.iter().filter(|diff_id| index.layer(diff_id).is_none()) {
            let _ = self.layers().detach(diff_id);
        }
    }

    fn assemble(
        &self,
        index: &Index,
        row: ImageRow,
        config: ImageConfig,
        raw_config: Arc<[u8]>,
        last_tagged: Option<Timestamp>,
    ) -> Result<Image, StoreError> {
        let layers = row
            .diff_ids
            .iter()
            .map(|diff_id| {
                index.layer(diff_id).cloned().ok_or_else(|| StoreError::LayerGone(diff_id.clone()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        // overlayfs refuses a directory given twice, and a layer that comes again further up hides its lower self.
        let mut lower_dirs: Vec<PathBuf> = Vec::with_capacity(layers.len());
        for layer in layers.iter().rev() {
            let tree = self.layers().tree(&layer.diff_id);
            if !lower_dirs.contains(&tree) {
                lower_dirs.push(tree);
            }
        }
        if lower_dirs.is_empty() {
            lower_dirs.push(self.layers().empty_tree());
        }
        Ok(Image {
            id: row.id,
            config,
            raw_config,
            names: Vec::new(),
            parent: row.parent,
            layers,
            lower_dirs,
            last_tagged,
        })
    }

    /// Removes layers that no image has any more: their rows in `tx`'s own transaction, done by the caller, their
    /// directories here. What is returned is deleted when it is dropped, which may take long: after the lock.
    pub(crate) fn detach_layers(&self, diff_ids: &[Digest]) -> Vec<Detached> {
        let mut index = self.index_mut();
        let mut detached = Vec::new();
        for diff_id in diff_ids {
            index.remove_layer(diff_id);
            match self.layers().detach(diff_id) {
                Ok(directory) => detached.extend(directory),
                // The row is gone; the directory is swept at the next start.
                Err(error) => tracing::warn!(layer = %diff_id, %error, "cannot remove a layer"),
            }
        }
        detached
    }

    fn load_rows(&self) -> Result<(), StoreError> {
        let (layers, images, names) = self.database().read(|connection| {
            let layers = rows::load_layers(connection)?;
            let images = rows::load_images(connection)?;
            Ok::<_, DbError>((layers, images, rows::load_names(connection)?))
        })?;
        let unreadable = [&layers.unreadable, &images.unreadable, &names.unreadable];
        for row in unreadable.into_iter().flatten() {
            tracing::warn!(key = row.key, reason = row.reason, "a row of the image store is unreadable");
        }
        let mut index = self.index_mut();
        self.sweep(&layers.rows, &images.rows, unreadable.iter().all(|rows| rows.is_empty()))?;
        for layer in layers.rows {
            // A layer whose directory is gone cannot be used; the image says so when it is put together.
            if self.layers().contains(&layer.diff_id) {
                index.put_layer(layer);
            }
        }
        for row in images.rows {
            let (id, hidden) = (row.id.clone(), row.hidden);
            match self.read_image(&index, row) {
                Ok(image) if hidden => index.put_hidden(image),
                Ok(image) => index.put_image(image),
                Err(error) => tracing::warn!(image = %id, %error, "an image is damaged and set aside"),
            }
        }
        for (name, id) in names.rows {
            index.put_name(name, &id, None);
        }
        Ok(())
    }

    fn read_image(&self, index: &Index, row: ImageRow) -> Result<Image, StoreError> {
        let raw_config = self.content().read(row.id.digest())?;
        let config = serde_json::from_slice(&raw_config)?;
        let last_tagged = row.last_tagged;
        self.assemble(index, row, config, raw_config.into(), last_tagged)
    }

    /// Removes shadows without rows. Not if a row was unreadable: its shadows are all that is left of its object.
    fn sweep(&self, layers: &[Layer], images: &[ImageRow], all_readable: bool) -> Result<(), StoreError> {
        if !all_readable {
            return Ok(());
        }
        let used: std::collections::HashSet<&Digest> =
            images.iter().flat_map(|image| &image.diff_ids).collect();
        let unused = self.database().write(|tx| rows::remove_unused_layers(tx, |_| false))?;
        let layers: std::collections::HashSet<&str> = layers
            .iter()
            .map(|layer| &layer.diff_id)
            .filter(|diff_id| used.contains(diff_id) && !unused.contains(diff_id))
            .map(Digest::hex)
            .collect();
        let directories = self.layers().sweep(|name| layers.contains(name))?;
        let blobs = self.content().sweep(|digest| images.iter().any(|image| image.id.digest() == digest))?;
        if directories + blobs > 0 {
            tracing::info!(directories, blobs, "swept what an interrupted operation left");
        }
        Ok(())
    }
}

fn layer_of(staged: &Staged) -> Layer {
    let unpacked = staged.unpacked();
    Layer { diff_id: unpacked.diff_id.clone(), size: unpacked.size, archive_size: unpacked.archive_size }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.images.index_mut().held_images.release(&self.id);
    }
}

impl Drop for LayerPin {
    fn drop(&mut self) {
        self.images.index_mut().pinned_layers.release(&self.diff_id);
    }
}
