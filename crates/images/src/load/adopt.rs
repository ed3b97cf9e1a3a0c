//! An image's documents and layers into the store.

use std::collections::HashSet;
use std::sync::Arc;

use oci::digest::{Digest, Hasher};
use oci::image::ImageConfig;
use snapshots::layers::Staged;

use super::archive::{Archive, LayerFile, digest_in};
use super::{Item, LoadError, LoadProgress, LoadedImage, parse};
use crate::store::{Images, LayerPin, NewImage};

/// An image whose documents were read and fit each other.
pub(super) struct Adoption {
    item: Item,
    raw_config: Vec<u8>,
    pub(super) config: ImageConfig,
}

pub(super) fn read(archive: &Archive, item: Item) -> Result<Adoption, LoadError> {
    let raw_config = archive.named_document(&item.by, &item.config)?;
    if let Some(stated) = digest_in(&item.config) {
        let mut hasher = Hasher::new(stated.algorithm());
        hasher.update(&raw_config);
        let found = hasher.finish();
        if found != stated {
            return Err(LoadError::Damaged { name: item.config, found: found.to_string() });
        }
    }
    let config: ImageConfig = parse(&item.config, &raw_config)?;
    if config.rootfs.kind.is_empty() {
        let reason = "invalid image JSON, no RootFS key".to_owned();
        return Err(LoadError::Document { name: item.config, reason });
    }
    if !config.os.is_empty() && config.os != "linux" {
        return Err(LoadError::OperatingSystem(config.os));
    }
    let (expected, found) = (item.layers.len(), config.rootfs.diff_ids.len());
    if expected != found {
        return Err(LoadError::LayerCount { expected, found });
    }
    Ok(Adoption { raw_config: raw_config.to_vec(), item, config })
}

/// Adds the image. `pins` keep its layers until the whole archive is loaded, for the images that share them.
pub(super) fn adopt(
    images: &Images,
    archive: &mut Archive,
    adoption: Adoption,
    pins: &mut Vec<LayerPin>,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<LoadedImage, LoadError> {
    let Adoption { item, raw_config, config } = adoption;
    let mut staged: Vec<Staged> = Vec::new();
    let mut seen = HashSet::new();
    for (index, (name, expected)) in item.layers.iter().zip(&config.rootfs.diff_ids).enumerate() {
        let layer = layer(images, archive, &item.by, name, pins)?;
        let found = match &layer {
            Found::Staged(staged) => staged.unpacked().diff_id.clone(),
            Found::Present(diff_id) => diff_id.clone(),
        };
        if found != *expected {
            let (expected, found) = (expected.to_string(), found.to_string());
            return Err(LoadError::DiffId { index, expected, found });
        }
        if let Found::Staged(layer) = layer
            && seen.insert(found)
        {
            staged.push(*layer);
        }
    }
    for name in &item.names {
        if let Some(old) = images.find(name).filter(|old| old.id.digest() != &Digest::sha256(&raw_config)) {
            progress(LoadProgress::Message(format!(
                "The image {} already exists, renaming the old one with ID {} to empty string",
                name.familiar(),
                old.id
            )));
        }
    }
    let parent = item.parent.filter(|parent| images.get(parent).is_some());
    let diff_ids = config.rootfs.diff_ids.clone();
    let image = images.add(NewImage { raw_config, config, parent }, staged, &item.names)?;
    pins.extend(diff_ids.iter().filter_map(|diff_id| images.pin_layer(diff_id)));
    Ok(LoadedImage { id: Arc::unwrap_or_clone(image).id, names: item.names })
}

enum Found {
    Staged(Box<Staged>),
    Present(Digest),
}

fn layer(
    images: &Images,
    archive: &mut Archive,
    by: &str,
    name: &str,
    pins: &mut Vec<LayerPin>,
) -> Result<Found, LoadError> {
    let stated = digest_in(name);
    let Some(file) = archive.layer(name) else {
        // A layer of no bytes at all passed as a document.
        let bytes = archive.named_document(by, name)?;
        let unpacked = images.layers().unpack(bytes.as_slice(), oci::digest::Algorithm::Sha256);
        let unpacked = unpacked.map_err(|source| LoadError::Layer { name: name.to_owned(), source })?;
        return Ok(Found::Staged(Box::new(unpacked)));
    };
    match file {
        LayerFile::Taken { diff_id } => Ok(Found::Present(diff_id.clone())),
        LayerFile::Present { .. } => {
            let diff_id = stated.expect("only what states its digest is taken as present");
            let taken = std::mem::replace(file, LayerFile::Taken { diff_id: diff_id.clone() });
            if let LayerFile::Present { pin } = taken {
                pins.push(pin);
            }
            Ok(Found::Present(diff_id))
        }
        LayerFile::Broken(_) | LayerFile::Unpacked { .. } => match take(file) {
            LayerFile::Unpacked { staged, file: found } => match stated {
                Some(stated) if stated != found => {
                    Err(LoadError::Damaged { name: name.to_owned(), found: found.to_string() })
                }
                _ => Ok(Found::Staged(staged)),
            },
            LayerFile::Broken(source) => Err(LoadError::Layer { name: name.to_owned(), source }),
            LayerFile::Taken { .. } | LayerFile::Present { .. } => unreachable!("matched above"),
        },
    }
}

/// Hands the layer on; whoever asks again finds it in the store.
fn take(file: &mut LayerFile) -> LayerFile {
    let diff_id = match file {
        LayerFile::Unpacked { staged, .. } => staged.unpacked().diff_id.clone(),
        // Asked for again, the same error cannot be given twice; the load ends at the first.
        _ => Digest::sha256(""),
    };
    std::mem::replace(file, LayerFile::Taken { diff_id })
}
