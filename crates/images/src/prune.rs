//! Removing what nobody uses.

use std::collections::HashSet;
use std::sync::Arc;

use crate::image::Image;
use crate::remove::{Removal, RemoveError, Removed, UsedBy};
use crate::store::Images;

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Each image, and the lines of Docker's output for it.
    pub images: Vec<(Arc<Image>, Vec<Removed>)>,
    /// Bytes of the layers that went with them.
    pub reclaimed: u64,
}

impl Images {
    /// Removes the images that `wanted` lets through, that no container uses and no other image was built on, with all
    /// their names. What an operation in progress holds stays.
    ///
    /// An image in use keeps all its names, where Docker takes all but one.
    pub fn prune(&self, wanted: impl Fn(&Image) -> bool, used_by: UsedBy<'_>) -> Result<Pruned, RemoveError> {
        let mut pruned = Pruned::default();
        let mut detached = Vec::new();
        // Until nothing goes any more, for an image may be free once those built on it are gone.
        loop {
            let before = pruned.images.len();
            for image in self.list().into_iter().filter(|image| wanted(image)) {
                let _changing = self.changing();
                // It may have changed since it was listed.
                let Some(image) = self.index().image(&image.id).cloned() else { continue };
                if !wanted(&image) || !self.is_free(&image, used_by) {
                    continue;
                }
                let mut removed = Vec::new();
                Removal { images: self, used_by, removed: &mut removed, detached: &mut detached }
                    .whole(&image)?;
                pruned.reclaimed += self.gone_with(&image);
                pruned.images.push((image, removed));
            }
            if pruned.images.len() == before {
                return Ok(pruned);
            }
        }
    }

    fn is_free(&self, image: &Image, used_by: UsedBy<'_>) -> bool {
        // Asked first: the caller takes locks of its own, under which it may ask for images.
        let used = used_by(&image.id).is_some();
        let index = self.index();
        !used && !index.held_images.contains(&image.id) && index.children(&image.id).next().is_none()
    }

    /// Bytes of the layers of a removed image that no other has.
    fn gone_with(&self, image: &Image) -> u64 {
        let index = self.index();
        let mut seen = HashSet::new();
        let gone = image
            .layers
            .iter()
            .filter(|layer| index.layer(&layer.diff_id).is_none() && seen.insert(&layer.diff_id));
        gone.map(|layer| layer.size).sum()
    }

    /// Bytes of all layers, each once however many images have it.
    pub fn layers_size(&self) -> u64 {
        self.index().layers().map(|layer| layer.size).sum()
    }
}
