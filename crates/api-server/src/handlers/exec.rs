//! `/exec`: more processes in a running container.

use api_types::exec::{ExecCreateRequest, ExecStartRequest, IdResponse};
use axum::body::Body;
use http::StatusCode;

use super::attach::hijack;
use super::containers;
use crate::call::{self, Call};
use crate::error::ApiResult;
use crate::json::{self as body_json, requests};

/// `POST /containers/{name}/exec`.
pub(crate) async fn create(call: Call, body: Body) -> ApiResult {
    let request: Option<ExecCreateRequest> =
        body_json::optional(&call.headers, body, &requests::EXEC_CREATE).await?;
    let id = call.app.engine.exec_create(call.name(), request.unwrap_or_default()).await?;
    call::json_with(StatusCode::CREATED, &IdResponse { id })
}

/// `POST /exec/{name}/start`.
pub(crate) async fn start(call: Call, body: Body) -> ApiResult {
    let request: Option<ExecStartRequest> =
        body_json::optional(&call.headers, body, &requests::EXEC_START).await?;
    let request = request.unwrap_or_default();
    let engine = call.app.engine.clone();
    let exec = call.name().to_owned();
    let ticket = engine.prepare_exec(&exec, &request).await?;
    if request.detach {
        engine.exec_start(&exec, request, None).await?;
        return call::empty(StatusCode::OK);
    }
    Ok(hijack(&call, ticket.framing, move |client| async move {
        // The client has been told on its stream.
        if let Err(error) = engine.exec_start(&exec, request, Some(client)).await {
            tracing::debug!(exec, %error, "exec not started");
        }
    }))
}

/// `GET /exec/{name}/json`.
pub(crate) async fn inspect(call: Call) -> ApiResult {
    call::json(&call.app.engine.exec_inspect(call.name()).await?)
}

/// `POST /exec/{name}/resize`.
pub(crate) async fn resize(call: Call) -> ApiResult {
    let (height, width) = containers::size(&call)?;
    call.app.engine.exec_resize(call.name(), height, width).await?;
    call::empty(StatusCode::OK)
}
