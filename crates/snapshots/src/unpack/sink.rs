//! Between the plain stream and the archive reader: digests, counts, and records for the recipe.

use std::io::{self, Read};

use oci::digest::{Algorithm, Digest, Hasher};

use super::UnpackError;
use super::budget::Budget;
use crate::recipe;

pub(super) struct Tap<R> {
    source: R,
    hasher: Hasher,
    budget: Budget,
    recipe: recipe::Writer,
    /// File contents are not recorded: the layer's own files have them.
    in_content: bool,
    refusal: Option<UnpackError>,
}

impl<R: Read> Tap<R> {
    pub(super) fn new(source: R, algorithm: Algorithm, budget: Budget, recipe: recipe::Writer) -> Self {
        Self { source, hasher: Hasher::new(algorithm), budget, recipe, in_content: false, refusal: None }
    }

    /// One more entry begins.
    pub(super) fn entry(&mut self) -> Result<(), UnpackError> {
        self.budget.entry()
    }

    /// The bytes up to [`Self::content_ends`] are the content of the file at `path`.
    pub(super) fn content_begins(&mut self, path: &[u8], length: u64) -> Result<(), UnpackError> {
        self.in_content = true;
        self.recipe.content(path, length).map_err(UnpackError::Store)
    }

    /// What follows is part of the archive's structure again.
    pub(super) fn content_ends(&mut self) {
        self.in_content = false;
    }

    /// What was at `path` is now at `shadowed/<index>`.
    pub(super) fn shadowed(&mut self, path: &[u8], index: u64) -> Result<(), UnpackError> {
        self.recipe.shadowed(path, index).map_err(UnpackError::Store)
    }

    /// Why reading was refused, if it was.
    pub(super) fn refusal(&self) -> Option<UnpackError> {
        match self.refusal.as_ref()? {
            UnpackError::TooLarge { maximum } => Some(UnpackError::TooLarge { maximum: *maximum }),
            UnpackError::NoSpace { reserve } => Some(UnpackError::NoSpace { reserve: *reserve }),
            _ => None,
        }
    }

    /// The digest and length of the whole archive.
    pub(super) fn finish(self) -> Result<(Digest, u64), UnpackError> {
        self.recipe.finish().map_err(UnpackError::Store)?;
        Ok((self.hasher.finish(), self.budget.total()))
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        if let Err(refusal) = self.budget.bytes(read as u64) {
            let error = io::Error::other(refusal.to_string());
            self.refusal = Some(refusal);
            return Err(error);
        }
        self.hasher.update(&buffer[..read]);
        if !self.in_content {
            self.recipe.raw(&buffer[..read])?;
        }
        Ok(read)
    }
}
