//! `GET /images/get` and `GET /images/{name}/get`.

use axum::body::Body;
use engine::pipe;
use http::StatusCode;
use images::ResolveError;

use super::{announce, blocking, inspect};
use crate::call::{Call, with_type};
use crate::error::{ApiError, ApiResult};

/// The images called `names` as an archive. What cannot be found is refused before it begins.
pub(super) async fn save(call: &Call, names: Vec<String>) -> ApiResult {
    let platforms = call.query.all("platform").map(inspect::platform).collect::<ApiResult<Vec<_>>>()?;
    let selection = blocking(call, move |images, _| images.select(&names).map_err(not_found)).await?;
    for wanted in &platforms {
        // An image here is of one platform.
        if selection.images().any(|image| image.config.platform().normal() != wanted.normal()) {
            return Err(ApiError::internal(format!("no suitable export target found for platform {wanted}")));
        }
    }
    let (app, selected) = (call.app.clone(), call.app.engine.images().clone());
    let stream = pipe::stream_of(move |out| {
        selected.save_selected(&selection, out).map_err(std::io::Error::other)?;
        for image in selection.images() {
            announce(&app, image, "save", &image.id.to_string());
        }
        Ok(())
    });
    Ok(with_type("application/x-tar", Body::from_stream(stream)))
}

/// Docker says only the second half, and of a name without tag only the first.
fn not_found(error: ResolveError) -> ApiError {
    match error {
        ResolveError::NotFound { .. } => {
            ApiError::new(StatusCode::NOT_FOUND, format!("{error}: reference does not exist"))
        }
        error => error.into(),
    }
}
