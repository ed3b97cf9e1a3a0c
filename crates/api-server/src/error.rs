//! What a failed request answers.

use axum::body::Body;
use axum::response::IntoResponse;
use engine::{EngineError, ErrorKind};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

/// Result of a handler.
pub(crate) type ApiResult<T = Response<Body>> = Result<T, ApiError>;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// The request cannot be right.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// Something Docker answers with 500, whoever's fault it is.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    /// Any other.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// The only place that knows which kind of failure has which status.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::InvalidParameter => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::System | ErrorKind::Unclassified => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        Self { status: status(error.kind()), message: error.message().to_owned() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        if self.status.is_server_error() {
            tracing::error!(error = %self.message, "request failed");
        }
        let mut response = if self.status == StatusCode::NOT_MODIFIED {
            return_empty()
        } else {
            let mut text = serde_json::json!({ "message": self.message }).to_string();
            text.push('\n');
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        *response.status_mut() = self.status;
        response
    }
}

fn return_empty() -> Response<Body> {
    Response::new(Body::empty())
}
