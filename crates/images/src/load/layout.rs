//! `index.json`: an OCI image layout.

use oci::image::{ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, Descriptor, Index, Manifest, media_type};
use oci::platform::Platform;
use oci::reference::Reference;

use super::archive::{Archive, blob_name};
use super::{Item, LoadError, parse};
use crate::tag::taggable;

/// Indexes within indexes are followed this deep.
const NESTING_MAX: usize = 4;

pub(super) fn items(
    archive: &Archive,
    index: &[u8],
    platform: Option<&Platform>,
) -> Result<Vec<Item>, LoadError> {
    let index: Index = parse("index.json", index)?;
    let entries = index.manifests.iter().filter(|entry| !is_attestation(entry));
    entries.map(|entry| item(archive, entry, platform)).collect()
}

fn item(archive: &Archive, entry: &Descriptor, platform: Option<&Platform>) -> Result<Item, LoadError> {
    let manifest_of = manifest(archive, "index.json", entry, platform, NESTING_MAX)?;
    let (by, manifest): (String, Manifest) = manifest_of;
    if !matches!(manifest.config.media_type.as_str(), media_type::CONFIG | media_type::DOCKER_CONFIG) {
        let reason = format!("{:?} is not the configuration of an image", manifest.config.media_type);
        return Err(LoadError::Document { name: by, reason });
    }
    Ok(Item {
        config: blob_name(&manifest.config.digest),
        layers: manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect(),
        names: name(entry).into_iter().collect(),
        parent: None,
        by,
    })
}

/// Follows an entry to the manifest of one image.
fn manifest(
    archive: &Archive,
    by: &str,
    entry: &Descriptor,
    platform: Option<&Platform>,
    nesting: usize,
) -> Result<(String, Manifest), LoadError> {
    let bytes = archive.blob(by, &entry.digest)?;
    let name = blob_name(&entry.digest);
    if media_type::is_manifest(&entry.media_type) {
        let manifest = parse(&name, &bytes)?;
        return Ok((name, manifest));
    }
    if !media_type::is_index(&entry.media_type) || nesting == 0 {
        let reason = format!("{:?} is not the manifest of an image", entry.media_type);
        return Err(LoadError::Document { name, reason });
    }
    let index: Index = parse(&name, &bytes)?;
    let chosen = choose(archive, &index, platform)?;
    manifest(archive, &name, chosen, platform, nesting - 1)
}

/// The entry for the wanted platform or this machine. Without a wish, an archive that has only others gives its
/// first: loading an image for another machine is allowed, running it is another matter.
fn choose<'a>(
    archive: &Archive,
    index: &'a Index,
    wanted: Option<&Platform>,
) -> Result<&'a Descriptor, LoadError> {
    let candidates: Vec<&Descriptor> =
        index.manifests.iter().filter(|entry| !is_attestation(entry)).collect();
    let host = Platform::host();
    let target = wanted.unwrap_or(&host).normal();
    let exact = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|p| p.normal() == target);
    let runs = |entry: &&Descriptor| entry.platform.as_ref().is_none_or(|p| p.runs_on(&target));
    // A layout may list platforms whose content was not exported.
    let here = |entry: &&Descriptor| archive.document(&blob_name(&entry.digest)).is_some();
    let mut present = candidates.iter().copied().filter(here);
    let fallback = if wanted.is_none() { present.next() } else { None };
    candidates
        .iter()
        .copied()
        .filter(here)
        .find(exact)
        .or_else(|| candidates.iter().copied().filter(here).find(runs))
        .or(fallback)
        .ok_or_else(|| LoadError::NoSuchPlatform {
            wanted: target.to_string(),
            published: candidates
                .iter()
                .filter_map(|entry| entry.platform.as_ref())
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

/// Build attestations sit beside the images that they are about.
fn is_attestation(entry: &Descriptor) -> bool {
    entry.annotations.contains_key("vnd.docker.reference.type")
        || entry.platform.as_ref().is_some_and(|p| p.os == "unknown" && p.architecture == "unknown")
}

/// The image's name. `ref.name` is often only a tag, which names nothing.
fn name(entry: &Descriptor) -> Option<Reference> {
    let full = entry.annotations.get(ANNOTATION_IMAGE_NAME);
    let short = entry.annotations.get(ANNOTATION_REF_NAME).filter(|name| name.contains([':', '/']));
    let name: Reference = full.or(short)?.parse().ok()?;
    taggable(&name).ok()
}
