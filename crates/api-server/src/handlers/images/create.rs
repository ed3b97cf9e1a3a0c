//! `POST /images/create`: import an archive, or pull an image.

use std::io::Read;

use axum::body::Body;
use bytes::Bytes;
use engine::error::chain;
use futures_util::{StreamExt, TryStreamExt};
use images::{ImportError, ImportOptions};
use oci::platform::Platform;
use oci::reference::Reference;
use serde_json::json;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{announce, blocking, invalid_reference, repository_and_tag};
use crate::call::{Call, with_type};
use crate::error::{ApiError, ApiResult};
use crate::fetch;

/// `POST /images/create`.
pub(crate) async fn create(call: Call, body: Body) -> ApiResult {
    if call.query.non_empty("fromImage").is_some() {
        return pull(&call);
    }
    let options = ImportOptions {
        reference: repository_and_tag(&call)?,
        message: call.query.non_empty("message").map(str::to_owned),
        changes: call.query.all("changes").map(str::to_owned).collect(),
        platform: call.query.non_empty("platform").map(platform).transpose()?,
    };
    match call.query.text("fromSrc") {
        "-" => import(&call, options, reader(body)).await,
        "" => Err(ApiError::bad_request("one of fromImage and fromSrc is required")),
        url => {
            let source = url.to_owned();
            let archive = blocking(&call, move |_, _| {
                fetch::get(&source).map_err(|error| ApiError::internal(error.to_string()))
            })
            .await?;
            let options = ImportOptions {
                message: options.message.or_else(|| Some(format!("Imported from {url}"))),
                ..options
            };
            import(&call, options, archive).await
        }
    }
}

async fn import(call: &Call, options: ImportOptions, archive: impl Read + Send + 'static) -> ApiResult {
    let name = options.reference.clone();
    let image = blocking(call, move |images, _| {
        let id = images.import(archive, &options)?;
        images.get(&id).ok_or_else(|| ApiError::internal(format!("image {id} was removed at once")))
    })
    .await?;
    if let Some(name) = name {
        announce(&call.app, &image, "tag", &name.with_default_tag().familiar());
    }
    let id = image.id.to_string();
    announce(&call.app, &image, "import", &id);
    let line = format!("{}\r\n", json!({ "status": id }));
    // Of unknown length, as all progress is.
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from(line))]);
    Ok(with_type("application/json", Body::from_stream(stream)))
}

/// Registries come with a later part; until then a name is checked and the way out is told.
fn pull(call: &Call) -> ApiResult {
    let reference: Reference = call.query.text("fromImage").parse().map_err(invalid_reference)?;
    let reference = match call.query.non_empty("tag") {
        // A digest comes in the tag's place.
        Some(tag) if tag.contains(':') => {
            format!("{}@{tag}", reference.name()).parse().map_err(invalid_reference)?
        }
        Some(tag) => reference.with_tag(tag).map_err(|_| ApiError::bad_request("invalid tag format"))?,
        None => reference.with_default_tag(),
    };
    Err(ApiError::new(
        http::StatusCode::NOT_IMPLEMENTED,
        format!(
            "pulling from registries is not supported by this version of Corten: {} is not on this machine; bring it \
             with load or import",
            reference.familiar()
        ),
    ))
}

/// `linux/arm64/v8`.
fn platform(text: &str) -> ApiResult<Platform> {
    text.parse().map_err(|error: oci::platform::PlatformError| ApiError::bad_request(error.to_string()))
}

/// A request's body for code that blocks. Only to be read where blocking is allowed.
pub(super) fn reader(body: Body) -> impl Read + Send + 'static {
    let stream = body.into_data_stream().map_err(std::io::Error::other).boxed();
    SyncIoBridge::new(StreamReader::new(stream))
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Change(_) | ImportError::Name(_) | ImportError::OperatingSystem(_) => {
                Self::bad_request(error.to_string())
            }
            ImportError::Unpack(error) => Self::internal(chain(&error)),
            ImportError::Store(error) => Self::internal(chain(&error)),
        }
    }
}
