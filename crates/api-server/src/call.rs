//! What every handler is given, and what most of them answer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::query::Params;
use crate::version::ApiVersion;

/// How the User-Agent of our own command line begins.
const OUR_CLIENT: &[u8] = b"Corten-Client/";

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) version: ApiVersion,
    pub(crate) query: Params,
    pub(crate) headers: HeaderMap,
    path: Vec<(String, String)>,
}

impl Call {
    /// The path's parameter `name`, decoded.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The object that the path names.
    pub(crate) fn name(&self) -> &str {
        self.path("name")
    }

    /// The client is ours, which reads heads and streams with care.
    pub(crate) fn is_from_our_client(&self) -> bool {
        self.headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(OUR_CLIENT))
    }

    /// The client is a command line for people, ours or Docker's.
    pub(crate) fn is_command_line(&self) -> bool {
        let agent = self.headers.get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        agent.starts_with(OUR_CLIENT) || agent.starts_with(b"Docker-Client/")
    }
}

impl FromRequestParts<Arc<App>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = RawPathParams::from_request_parts(parts, app).await;
        let path = path.map_err(|error| ApiError::bad_request(error.to_string()))?;
        Ok(Self {
            app: Arc::clone(app),
            version: parts.extensions.get().copied().unwrap_or(ApiVersion::MAX),
            query: Params::parse(parts.uri.query().unwrap_or_default())?,
            headers: std::mem::take(&mut parts.headers),
            path: path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }
}

/// `200` and a document.
pub(crate) fn json(value: &impl Serialize) -> ApiResult {
    json_with(StatusCode::OK, value)
}

/// Any status and a document.
pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> ApiResult {
    let mut text = serde_json::to_vec(value)
        .map_err(|error| ApiError::internal(format!("cannot write the answer as JSON: {error}")))?;
    text.push(b'\n');
    let mut response = with_type("application/json", Body::from(text));
    *response.status_mut() = status;
    Ok(response)
}

/// `200` and a body of a type.
pub(crate) fn with_type(content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A status alone.
pub(crate) fn empty(status: StatusCode) -> ApiResult {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    Ok(response)
}

/// Bytes of a stream that cannot fail half-way.
pub(crate) type Chunk = Result<bytes::Bytes, Infallible>;
