//! Kinds of objects that this version does not have: looking one up finds none, as in an engine without any, so that
//! `inspect NAME`, which tries every kind in turn, ends with its own words.

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use http::StatusCode;

/// `GET /networks/{name}`.
pub(crate) async fn network(call: Call) -> ApiResult {
    Err(ApiError::new(StatusCode::NOT_FOUND, format!("network {} not found", call.name())))
}

/// `GET /volumes/{name}`.
pub(crate) async fn volume(call: Call) -> ApiResult {
    Err(ApiError::new(StatusCode::NOT_FOUND, format!("get {}: no such volume", call.name())))
}
