//! Giving images names.

use std::sync::Arc;

use jiff::Timestamp;
use oci::reference::Reference;

use crate::image::Image;
use crate::resolve::ResolveError;
use crate::rows;
use crate::store::{Images, StoreError};

/// Why an image did not get a name.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// There is no such image.
    #[error(transparent)]
    Source(#[from] ResolveError),
    /// The name must not be given. The words are Docker's.
    #[error("{0}")]
    Refused(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Images {
    /// Gives the image `source` the name `name`, with `latest` if it has no tag. Whichever image had the name loses
    /// it. Returns the image as it is then.
    pub fn tag(&self, source: &str, name: &Reference) -> Result<Arc<Image>, TagError> {
        let name = taggable(name).map_err(TagError::Refused)?;
        let _changing = self.changing();
        let image = self.resolve(source)?;
        let now = Timestamp::now();
        let (row_name, id) = (name.clone(), image.id.clone());
        self.database()
            .write_durable(move |tx| rows::put_name(tx, &row_name, &id, now))
            .map_err(StoreError::from)?;
        let mut index = self.index_mut();
        index.put_name(name, &image.id, Some(now));
        Ok(Arc::clone(index.image(&image.id).expect("resolved under the lock")))
    }
}

/// The name with its tag, if an image may be given it.
pub(crate) fn taggable(name: &Reference) -> Result<Reference, &'static str> {
    if name.digest().is_some() {
        return Err("refusing to create a tag with a digest reference");
    }
    if matches!(name.familiar_name().as_str(), "sha256" | "sha384" | "sha512") {
        return Err("refusing to create an ambiguous tag using digest algorithm as name");
    }
    Ok(name.clone().with_default_tag())
}
