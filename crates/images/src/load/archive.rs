//! One pass over an archive: small files are kept, layers are unpacked, the rest is left out.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::rc::Rc;

use ::archive::compression::{Compression, Decompressor};
use ::archive::tar::{BLOCK, Kind, Reader, TarError, looks_like_tar};
use oci::digest::{Algorithm, Digest, Hasher};
use snapshots::layers::Staged;
use snapshots::{UnpackError, unpack};

use super::{LoadError, LoadProgress};
use crate::store::{Images, LayerPin};

/// Largest file that is kept as a document.
const DOCUMENT_MAX: u64 = 8 << 20;
/// Most bytes of documents that are kept together.
const DOCUMENTS_MAX: u64 = 128 << 20;
/// Links followed from one name: old archives link equal layers.
const LINKS_MAX: usize = 16;

/// What an archive has.
pub(super) struct Archive {
    documents: HashMap<String, Rc<Vec<u8>>>,
    layers: HashMap<String, LayerFile>,
    links: HashMap<String, String>,
    /// Neither document nor layer.
    others: HashSet<String>,
}

/// A file that is, or should be, a layer.
pub(super) enum LayerFile {
    /// Unpacked; the digest is that of the file, which may be compressed.
    Unpacked { staged: Box<Staged>, file: Digest },
    /// In the store already, by its name; it was not read.
    Present { pin: LayerPin },
    /// Handed on to an image.
    Taken { diff_id: Digest },
    /// It cannot be unpacked, which matters only if an image wants it.
    Broken(UnpackError),
}

impl Archive {
    pub(super) fn read(
        images: &Images,
        source: impl Read,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Self, LoadError> {
        let mut archive = Self {
            documents: HashMap::new(),
            layers: HashMap::new(),
            links: HashMap::new(),
            others: HashSet::new(),
        };
        let mut reader = Reader::new(Decompressor::new(source).map_err(TarError::from)?);
        let mut budget = DOCUMENTS_MAX;
        while let Some(header) = reader.next()? {
            let name = key(&String::from_utf8_lossy(&header.name));
            archive.forget(&name);
            match header.kind {
                Kind::File => archive.file(images, name, &mut reader, &mut budget, progress)?,
                Kind::Symlink => {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let link = String::from_utf8_lossy(&header.link);
                    archive.links.insert(name.clone(), key(&format!("{folder}/{link}")));
                }
                Kind::HardLink => {
                    archive.links.insert(name, key(&String::from_utf8_lossy(&header.link)));
                }
                _ => {}
            }
        }
        Ok(archive)
    }

    /// A document by its name, links followed.
    pub(super) fn document(&self, name: &str) -> Option<Rc<Vec<u8>>> {
        self.documents.get(&self.target(name)).cloned()
    }

    /// A document that `by` names.
    pub(super) fn named_document(&self, by: &str, name: &str) -> Result<Rc<Vec<u8>>, LoadError> {
        self.document(name).ok_or_else(|| {
            if self.others.contains(&self.target(name)) {
                let reason = format!("it is longer than {DOCUMENT_MAX} bytes");
                return LoadError::Document { name: name.to_owned(), reason };
            }
            LoadError::Missing { by: by.to_owned(), name: name.to_owned() }
        })
    }

    /// A document that must hash to `digest`.
    pub(super) fn blob(&self, by: &str, digest: &Digest) -> Result<Rc<Vec<u8>>, LoadError> {
        let name = blob_name(digest);
        let bytes = self.named_document(by, &name)?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found == *digest { Ok(bytes) } else { Err(LoadError::Damaged { name, found: found.to_string() }) }
    }

    /// A layer by its name, links followed.
    pub(super) fn layer(&mut self, name: &str) -> Option<&mut LayerFile> {
        let target = self.target(name);
        self.layers.get_mut(&target)
    }

    fn target(&self, name: &str) -> String {
        let mut name = key(name);
        for _ in 0..LINKS_MAX {
            match self.links.get(&name) {
                Some(target) => name.clone_from(target),
                None => break,
            }
        }
        name
    }

    /// A name that comes twice means its last entry.
    fn forget(&mut self, name: &str) {
        self.documents.remove(name);
        self.layers.remove(name);
        self.links.remove(name);
        self.others.remove(name);
    }

    fn file<R: Read>(
        &mut self,
        images: &Images,
        name: String,
        reader: &mut Reader<R>,
        budget: &mut u64,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<(), LoadError> {
        let mut start = Vec::with_capacity(BLOCK);
        let mut payload = reader.payload();
        payload.by_ref().take(BLOCK as u64).read_to_end(&mut start).map_err(TarError::from)?;
        if Compression::detect(&start) != Compression::None || looks_like_tar(&start) {
            let layer = match digest_in(&name).and_then(|digest| images.pin_layer(&digest)) {
                // Its name says which layer it is, and that one was verified when it came.
                Some(pin) => LayerFile::Present { pin },
                None => unpack_layer(images, &name, start.as_slice().chain(payload), progress)?,
            };
            self.layers.insert(name, layer);
            return Ok(());
        }
        let size = start.len() as u64 + payload.left();
        if size > DOCUMENT_MAX || size > *budget {
            self.others.insert(name);
            return Ok(());
        }
        *budget -= size;
        payload.read_to_end(&mut start).map_err(TarError::from)?;
        self.documents.insert(name, Rc::new(start));
        Ok(())
    }
}

fn unpack_layer(
    images: &Images,
    name: &str,
    source: impl Read,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<LayerFile, LoadError> {
    let algorithm = digest_in(name).map_or(Algorithm::Sha256, |digest| digest.algorithm());
    let mut file = Hashing { source, hasher: Hasher::new(algorithm) };
    match images.layers().unpack(&mut file, Algorithm::Sha256) {
        Ok(staged) => {
            // The file may go on after what its compression knows of.
            io::copy(&mut file, &mut io::sink()).map_err(TarError::from)?;
            let archive_size = staged.unpacked().archive_size;
            progress(LoadProgress::Layer { name: name.to_owned(), archive_size });
            Ok(LayerFile::Unpacked { staged: Box::new(staged), file: file.hasher.finish() })
        }
        // These concern the whole load, whoever wants the layer.
        Err(
            source @ (unpack::UnpackError::NoSpace { .. }
            | unpack::UnpackError::TooLarge { .. }
            | unpack::UnpackError::Store(_)),
        ) => Err(LoadError::Layer { name: name.to_owned(), source }),
        Err(error) => Ok(LayerFile::Broken(error)),
    }
}

struct Hashing<R> {
    source: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// A name without empty parts, `.` and `..`, so that each file has one.
fn key(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Where a layout keeps a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest that a blob's name states.
pub(super) fn digest_in(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}
