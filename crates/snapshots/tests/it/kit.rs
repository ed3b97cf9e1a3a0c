//! Directories of a test's own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use oci::digest::{Algorithm, Digest};
use snapshots::{Layers, Settings};

/// A directory that is removed on drop.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("corten-snapshots-{}-{n}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn layers(&self) -> Layers {
        Layers::open(&self.0.join("layers"), Settings::default()).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Unpacks an archive and puts the layer in its place.
pub(crate) fn add(layers: &Layers, archive: &[u8]) -> Digest {
    let staged = layers.unpack(archive, Algorithm::Sha256).unwrap();
    let diff_id = staged.unpacked().diff_id.clone();
    layers.publish(vec![staged]).unwrap();
    diff_id
}
