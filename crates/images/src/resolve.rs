//! Finding an image by what people write: a name, a name with a digest, an id or the beginning of one.

use std::sync::Arc;

use oci::digest::Digest;
use oci::nearest::{did_you_mean, nearest};
use oci::reference::{Reference, ReferenceError, is_id};

use crate::image::{Image, ImageId};
use crate::store::Images;

/// Why no image was found. The words are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is none.
    #[error("No such image: {name}{}", did_you_mean(.similar.as_deref()))]
    NotFound {
        /// As it was asked for, with the tag that was meant.
        name: String,
        /// One that was perhaps meant.
        similar: Option<String>,
    },
    /// The beginning of more than one id.
    #[error("No such image: {name}: {count} image ids begin with {prefix}, give more of it")]
    Ambiguous {
        /// As a name it would be this.
        name: String,
        /// What was given.
        prefix: String,
        /// How many ids begin so.
        count: usize,
    },
    /// Neither a name nor an id.
    #[error(transparent)]
    Invalid(#[from] ReferenceError),
}

impl ResolveError {
    /// There is none of this name, and nothing to be said about it.
    pub(crate) fn not_found(name: String) -> Self {
        Self::NotFound { name, similar: None }
    }
}

/// What a text means, before anything is looked up.
enum Asked {
    Id(ImageId),
    Name(Reference),
}

impl Images {
    /// Finds an image by name (`busybox`, `busybox:1`, `busybox@sha256:…`), id or the beginning of an id, with or
    /// without `sha256:`. A name wins over the beginning of an id. When there is none, the error says which name was
    /// perhaps meant, for which all are compared.
    pub fn resolve(&self, text: &str) -> Result<Arc<Image>, ResolveError> {
        self.look_up(text).map_err(|error| match error {
            ResolveError::NotFound { name, similar: None } => {
                let known: Vec<String> = self.index().names().map(Reference::familiar).collect();
                let similar = nearest(&name, known.iter().map(String::as_str)).map(str::to_owned);
                ResolveError::NotFound { name, similar }
            }
            other => other,
        })
    }

    /// The same for those who tell nobody why there is none.
    pub fn look_up(&self, text: &str) -> Result<Arc<Image>, ResolveError> {
        let index = self.index();
        let name = match parse(text)? {
            Asked::Id(id) => {
                return index.image(&id).cloned().ok_or_else(|| ResolveError::not_found(id.to_string()));
            }
            Asked::Name(name) => name,
        };
        if let Some(image) = index.named(&name).and_then(|id| index.image(id)) {
            return Ok(Arc::clone(image));
        }
        let mut begin_so = index.images().filter(|image| image.id.starts_with(text));
        match (begin_so.next(), begin_so.count()) {
            (Some(image), 0) => Ok(Arc::clone(image)),
            (Some(_), others) => Err(ResolveError::Ambiguous {
                name: name.familiar(),
                prefix: text.to_owned(),
                count: others + 1,
            }),
            (None, _) => Err(ResolveError::not_found(name.familiar())),
        }
    }

    /// The image that has exactly this name; `latest` is implied where neither tag nor digest is given.
    pub fn find(&self, name: &Reference) -> Option<Arc<Image>> {
        let index = self.index();
        index.named(&name.clone().with_default_tag()).and_then(|id| index.image(id)).cloned()
    }
}

fn parse(text: &str) -> Result<Asked, ReferenceError> {
    if is_id(text) {
        let digest = Digest::from_sha256_hex(text).expect("64 hexadecimal digits");
        return Ok(Asked::Id(digest.into()));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        return Ok(Asked::Id(digest.into()));
    }
    text.parse::<Reference>().map(|name| Asked::Name(name.with_default_tag()))
}
