//! `manifest.json`, as `docker save` writes it.

use oci::reference::Reference;
use serde::Deserialize;

use super::{Item, LoadError, parse};
use crate::image::ImageId;
use crate::tag::taggable;

const MANIFEST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
    #[serde(default)]
    parent: Option<String>,
}

pub(super) fn items(manifest: &[u8]) -> Result<Vec<Item>, LoadError> {
    let entries: Vec<Entry> = parse(MANIFEST, manifest)?;
    entries.into_iter().map(item).collect()
}

fn item(entry: Entry) -> Result<Item, LoadError> {
    let names = entry.repo_tags.unwrap_or_default();
    let names = names.iter().map(|name| tagged(name)).collect::<Result<_, _>>()?;
    let parent = entry.parent.filter(|parent| !parent.is_empty());
    Ok(Item {
        by: MANIFEST.to_owned(),
        config: entry.config,
        layers: entry.layers.unwrap_or_default(),
        names,
        parent: parent.and_then(|parent| parent.parse::<ImageId>().ok()),
    })
}

/// A name that must have a tag.
fn tagged(name: &str) -> Result<Reference, LoadError> {
    let error = || LoadError::Tag(name.to_owned());
    let reference: Reference = name.parse().map_err(|_| error())?;
    if reference.tag().is_none() {
        return Err(error());
    }
    taggable(&reference).map_err(|_| error())
}
