//! What the rows say, in memory: every question is answered from here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use oci::digest::Digest;
use oci::reference::Reference;

use crate::image::{Image, ImageId, Layer};

#[derive(Debug, Default)]
pub(crate) struct Index {
    images: BTreeMap<ImageId, Arc<Image>>,
    /// Removed images that containers still use.
    hidden: BTreeMap<ImageId, Arc<Image>>,
    names: BTreeMap<Reference, ImageId>,
    layers: HashMap<Digest, Layer>,
    /// Layers that an operation in progress counts on.
    pub(crate) pinned_layers: Counts<Digest>,
    /// Images that an operation in progress counts on.
    pub(crate) held_images: Counts<ImageId>,
}

impl Index {
    pub(crate) fn image(&self, id: &ImageId) -> Option<&Arc<Image>> {
        self.images.get(id)
    }

    pub(crate) fn image_or_hidden(&self, id: &ImageId) -> Option<&Arc<Image>> {
        self.images.get(id).or_else(|| self.hidden.get(id))
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values()
    }

    pub(crate) fn hidden(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.hidden.values()
    }

    pub(crate) fn named(&self, name: &Reference) -> Option<&ImageId> {
        self.names.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Reference> {
        self.names.keys()
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> Option<&Layer> {
        self.layers.get(diff_id)
    }

    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.layers.values()
    }

    pub(crate) fn children(&self, id: &ImageId) -> impl Iterator<Item = &Arc<Image>> {
        let id = id.clone();
        self.images.values().filter(move |image| image.parent.as_ref() == Some(&id))
    }

    pub(crate) fn put_layer(&mut self, layer: Layer) {
        self.layers.insert(layer.diff_id.clone(), layer);
    }

    pub(crate) fn remove_layer(&mut self, diff_id: &Digest) {
        self.layers.remove(diff_id);
    }

    /// Adds an image without names, or takes it out of hiding; one that is there keeps its names.
    pub(crate) fn put_image(&mut self, mut image: Image) {
        self.hidden.remove(&image.id);
        image.names = match self.images.get(&image.id) {
            Some(known) => known.names.clone(),
            None => Vec::new(),
        };
        self.images.insert(image.id.clone(), Arc::new(image));
    }

    pub(crate) fn put_hidden(&mut self, image: Image) {
        self.hidden.insert(image.id.clone(), Arc::new(image));
    }

    /// Takes an image and its names out of sight.
    pub(crate) fn hide(&mut self, id: &ImageId) {
        if let Some(mut image) = self.images.remove(id) {
            self.names.retain(|_, named| named != id);
            Arc::make_mut(&mut image).names.clear();
            self.hidden.insert(id.clone(), image);
        }
    }

    pub(crate) fn remove_image(&mut self, id: &ImageId) {
        self.images.remove(id);
        self.hidden.remove(id);
        self.names.retain(|_, named| named != id);
    }

    pub(crate) fn put_name(&mut self, name: Reference, id: &ImageId, now: Option<Timestamp>) {
        self.remove_name(&name);
        if let Some(image) = self.images.get_mut(id) {
            let image = Arc::make_mut(image);
            let place = image.names.partition_point(|other| *other < name);
            image.names.insert(place, name.clone());
            image.last_tagged = now.or(image.last_tagged);
            self.names.insert(name, id.clone());
        }
    }

    pub(crate) fn remove_name(&mut self, name: &Reference) {
        if let Some(id) = self.names.remove(name)
            && let Some(image) = self.images.get_mut(&id)
        {
            Arc::make_mut(image).names.retain(|other| other != name);
        }
    }
}

/// How often something is held.
#[derive(Debug)]
pub(crate) struct Counts<K>(HashMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq> Counts<K> {
    pub(crate) fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    pub(crate) fn release(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }
}
