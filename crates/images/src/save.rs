//! Images into an archive: `docker save`.
//!
//! One tar that is both of the formats in use: an OCI image layout (`index.json`) and Docker's own (`manifest.json`,
//! `repositories`), sharing the blobs. Layers are written uncompressed, made again from their recipes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use archive::tar::{Header, Kind, Time, Writer};
use oci::digest::Digest;
use oci::image::{
    ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, Descriptor, Index, Manifest, media_type, to_json,
};
use oci::reference::Reference;
use serde::Serialize;
use snapshots::LayersError;

use crate::image::{Image, Layer};
use crate::resolve::ResolveError;
use crate::store::{Hold, Images};

/// Why an archive was not written, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no such image.
    #[error(transparent)]
    NotFound(#[from] ResolveError),
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayersError),
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[from] io::Error),
    /// A document cannot be written.
    #[error("cannot write a document of the archive")]
    Document(#[from] serde_json::Error),
}

/// Images that are kept until they are saved.
#[derive(Debug)]
pub struct Selection(Vec<Selected>);

impl Selection {
    /// The images, each once.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.0.iter().map(|selected| &*selected.image)
    }
}

/// An image to be saved, with the names that it is saved under.
#[derive(Debug)]
struct Selected {
    image: Arc<Image>,
    names: Vec<Reference>,
    _hold: Hold,
}

/// What a text means: an image, and the name it is meant by.
type Meant = (Arc<Image>, Option<Reference>);

/// An entry of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    layer_sources: BTreeMap<String, Descriptor>,
}

impl Images {
    /// Writes the images to `out`. A name without tag means all tags of the repository; an id has no name in the
    /// archive.
    pub fn save<W: Write>(&self, texts: &[String], out: W) -> Result<W, SaveError> {
        self.save_selected(&self.select(texts)?, out)
    }

    /// Writes images that were [selected](Self::select).
    pub fn save_selected<W: Write>(&self, selection: &Selection, out: W) -> Result<W, SaveError> {
        let Selection(selected) = selection;
        let mut archive = Archive { writer: Writer::new(out), index: Vec::new(), manifest: Vec::new() };
        archive.folder("blobs/")?;
        archive.folder("blobs/sha256/")?;
        let mut written = BTreeSet::new();
        for Selected { image, names, .. } in selected {
            for layer in &image.layers {
                if written.insert(layer.diff_id.clone()) {
                    let header = file(&blob_name(&layer.diff_id), layer.archive_size);
                    archive.writer.file_from(&header, |out| {
                        Ok::<_, SaveError>(self.layers().archive(&layer.diff_id, out)?)
                    })?;
                }
            }
            archive.image(image, names, &mut written)?;
        }
        archive.documents(selected)
    }

    /// The images and the names that the texts mean, each image once, in the order of the texts.
    pub fn select(&self, texts: &[String]) -> Result<Selection, ResolveError> {
        let mut selected: Vec<Selected> = Vec::new();
        for text in texts {
            for (image, name) in self.meant(text)? {
                let place = match selected.iter().position(|known| known.image.id == image.id) {
                    Some(place) => place,
                    None => {
                        // Removed in this very moment: there is no such image.
                        let hold =
                            self.hold(&image.id).ok_or_else(|| ResolveError::not_found(text.clone()))?;
                        selected.push(Selected { image, names: Vec::new(), _hold: hold });
                        selected.len() - 1
                    }
                };
                let names = &mut selected[place].names;
                names.extend(name.filter(|name| !names.contains(name)));
            }
        }
        Ok(Selection(selected))
    }

    fn meant(&self, text: &str) -> Result<Vec<Meant>, ResolveError> {
        let name: Option<Reference> = text.parse().ok();
        if let Some(name) = name.as_ref().filter(|name| name.tag().is_none() && name.digest().is_none()) {
            let images = self.list();
            let tags = images.iter().flat_map(|image| {
                let same = |tag: &&Reference| tag.name() == name.name() && tag.tag().is_some();
                image.names.iter().filter(same).map(|tag| (Arc::clone(image), Some(tag.clone())))
            });
            let mut tags: Vec<_> = tags.collect();
            tags.sort_by(|a, b| a.1.cmp(&b.1));
            if !tags.is_empty() {
                return Ok(tags);
            }
        }
        let image = self.resolve(text)?;
        let name = name.filter(|name| image.names.contains(name) && name.digest().is_none());
        Ok(vec![(image, name)])
    }
}

struct Archive<W> {
    writer: Writer<W>,
    index: Vec<Descriptor>,
    manifest: Vec<Entry>,
}

impl<W: Write> Archive<W> {
    /// Writes an image's configuration and manifest.
    fn image(
        &mut self,
        image: &Image,
        names: &[Reference],
        written: &mut BTreeSet<Digest>,
    ) -> Result<(), SaveError> {
        let layers: Vec<Descriptor> = image.layers.iter().map(layer_descriptor).collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::MANIFEST.to_owned()),
            config: descriptor(media_type::CONFIG, image.id.digest().clone(), image.raw_config.len() as u64),
            layers: layers.clone(),
            annotations: BTreeMap::new(),
        };
        let manifest = to_json(&manifest)?.into_bytes();
        let entry = descriptor(media_type::MANIFEST, Digest::sha256(&manifest), manifest.len() as u64);
        for (digest, bytes) in [(image.id.digest(), &*image.raw_config), (&entry.digest, &manifest)] {
            if written.insert(digest.clone()) {
                self.document(&blob_name(digest), bytes)?;
            }
        }
        if names.is_empty() {
            self.index.push(entry);
        } else {
            self.index.extend(
                names.iter().map(|name| Descriptor { annotations: annotations(name), ..entry.clone() }),
            );
        }
        let tags = names.iter().map(Reference::familiar).collect::<Vec<_>>();
        self.manifest.push(Entry {
            config: blob_name(image.id.digest()),
            repo_tags: (!tags.is_empty()).then_some(tags),
            layers: image.layers.iter().map(|layer| blob_name(&layer.diff_id)).collect(),
            layer_sources: layers.into_iter().map(|layer| (layer.digest.to_string(), layer)).collect(),
        });
        Ok(())
    }

    /// Writes what describes the whole, and the end.
    fn documents(mut self, selected: &[Selected]) -> Result<W, SaveError> {
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::INDEX.to_owned()),
            manifests: std::mem::take(&mut self.index),
            annotations: BTreeMap::new(),
        };
        let manifest = to_json(&self.manifest)?;
        self.document("index.json", to_json(&index)?.as_bytes())?;
        self.document("manifest.json", manifest.as_bytes())?;
        self.document("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#)?;
        let mut repositories: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
        for Selected { image, names, .. } in selected {
            let top = image.layers.last().map_or("", |layer| layer.diff_id.hex());
            for name in names {
                let tags = repositories.entry(name.familiar_name()).or_default();
                tags.insert(name.tag().unwrap_or_default(), top);
            }
        }
        if !repositories.is_empty() {
            self.document("repositories", format!("{}\n", to_json(&repositories)?).as_bytes())?;
        }
        Ok(self.writer.finish()?)
    }

    fn document(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.writer.file(&file(name, bytes.len() as u64), bytes)
    }

    fn folder(&mut self, name: &str) -> io::Result<()> {
        self.writer.entry(&Header { kind: Kind::Directory, mode: 0o755, ..file(name, 0) })
    }
}

fn file(name: &str, size: u64) -> Header {
    Header {
        name: name.into(),
        link: Vec::new(),
        kind: Kind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        // The same images give the same archive.
        mtime: Time::default(),
        atime: None,
        size,
        major: 0,
        minor: 0,
        xattrs: Vec::new(),
        sparse: None,
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

fn layer_descriptor(layer: &Layer) -> Descriptor {
    descriptor(media_type::LAYER, layer.diff_id.clone(), layer.archive_size)
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        annotations: BTreeMap::new(),
        platform: None,
    }
}

fn annotations(name: &Reference) -> BTreeMap<String, String> {
    let tag = name.tag().unwrap_or_default();
    [(ANNOTATION_IMAGE_NAME, name.to_string()), (ANNOTATION_REF_NAME, tag.to_owned())]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
