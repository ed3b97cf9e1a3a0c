//! `/containers`, but for its streams.

use api_types::container::{CreateRequest, TopResponse, UpdateRequest, UpdateResponse};
use axum::body::Body;
use engine::params::{ListQuery, RemoveOptions};
use http::StatusCode;
use http_body::Body as _;

use crate::call::{self, Call};
use crate::error::{ApiError, ApiResult};
use crate::json::{self as body_json, requests};
use crate::version::gates;

/// `GET /containers/json`.
pub(crate) async fn list(call: Call) -> ApiResult {
    let limit = call.query.number("limit")?;
    let query = ListQuery {
        all: call.query.flag("all"),
        // Zero and less do not limit.
        limit: limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0),
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    let mut containers = call.app.engine.list(query).await?;
    if !gates::LISTED_ANNOTATIONS.open(call.version) {
        containers.iter_mut().for_each(|container| container.host_config.annotations = None);
    }
    call::json(&containers)
}

/// `POST /containers/create`.
pub(crate) async fn create(call: Call, body: Body) -> ApiResult {
    let request: CreateRequest = body_json::required(&call.headers, body, &requests::CREATE).await?;
    if request == CreateRequest::default() {
        return Err(ApiError::bad_request("config cannot be empty in order to create a container"));
    }
    let (name, platform) = (call.query.non_empty("name"), call.query.non_empty("platform"));
    let mut created = call.app.engine.create(name, platform, request).await?;
    if call.is_command_line() {
        // It would stand on standard error of every `run`; programs get it, and `inspect` shows the mode.
        created.warnings.retain(|warning| warning != engine::LOOPBACK_ONLY);
    }
    call::json_with(StatusCode::CREATED, &created)
}

/// `GET /containers/{name}/json`.
pub(crate) async fn inspect(call: Call) -> ApiResult {
    call::json(&call.app.engine.inspect(call.name(), call.query.flag("size")).await?)
}

/// `POST /containers/{name}/start`.
pub(crate) async fn start(call: Call, body: Body) -> ApiResult {
    // Old clients send `{}` or `null` here; more than that was a host configuration once.
    if body.size_hint().lower() > 7 {
        return Err(ApiError::bad_request(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    if call.query.non_empty("checkpoint").is_some() {
        return Err(ApiError::bad_request("checkpoint is only supported in experimental mode"));
    }
    if call.query.non_empty("checkpoint-dir").is_some() {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "custom checkpointdir is not supported"));
    }
    call.app.engine.start(call.name()).await?;
    call::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/stop`.
pub(crate) async fn stop(call: Call) -> ApiResult {
    let timeout = call.query.number("t")?;
    call.app.engine.stop(call.name(), call.query.non_empty("signal"), timeout).await?;
    call::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/restart`.
pub(crate) async fn restart(call: Call) -> ApiResult {
    let timeout = call.query.number("t")?;
    call.app.engine.restart(call.name(), call.query.non_empty("signal"), timeout).await?;
    call::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/kill`.
pub(crate) async fn kill(call: Call) -> ApiResult {
    call.app.engine.kill(call.name(), call.query.text("signal")).await?;
    call::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/pause`.
pub(crate) async fn pause(call: Call) -> ApiResult {
    call.app.engine.pause(call.name()).await?;
    call::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/unpause`.
pub(crate) async fn unpause(call: Call) -> ApiResult {
    call.app.engine.unpause(call.name()).await?;
    call::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/rename`.
pub(crate) async fn rename(call: Call) -> ApiResult {
    call.app.engine.rename(call.name(), call.query.text("name")).await?;
    call::empty(StatusCode::NO_CONTENT)
}

/// `POST /containers/{name}/update`.
pub(crate) async fn update(call: Call, body: Body) -> ApiResult {
    let request: Option<UpdateRequest> = body_json::optional(&call.headers, body, &requests::UPDATE).await?;
    let mut request = request.unwrap_or_default();
    if !gates::PIDS_UPDATE.open(call.version) {
        request.pids_limit = None;
    }
    let warnings = call.app.engine.update(call.name(), request).await?;
    call::json(&UpdateResponse { warnings: (!warnings.is_empty()).then_some(warnings) })
}

/// `POST /containers/{name}/resize`.
pub(crate) async fn resize(call: Call) -> ApiResult {
    let (height, width) = size(&call)?;
    call.app.engine.resize(call.name(), height, width).await?;
    call::empty(StatusCode::OK)
}

/// `h` and `w` of a resize.
pub(crate) fn size(call: &Call) -> ApiResult<(u16, u16)> {
    let side = |name: &str, what: &str| {
        let text = call.query.text(name);
        let reason = match text.parse::<u32>() {
            // The kernel's winsize has 16 bits a side.
            Ok(value) => return Ok(u16::try_from(value).unwrap_or(u16::MAX)),
            Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => "value out of range",
            Err(_) if text.parse::<i64>().is_ok() => "value out of range",
            Err(_) => "invalid syntax",
        };
        Err(ApiError::bad_request(format!("invalid resize {what} {text:?}: {reason}")))
    };
    Ok((side("h", "height")?, side("w", "width")?))
}

/// `GET /containers/{name}/top`.
pub(crate) async fn top(call: Call) -> ApiResult {
    let arguments = call.query.non_empty("ps_args").unwrap_or("-ef");
    let (titles, processes) = call.app.engine.top(call.name(), arguments).await?;
    call::json(&TopResponse { processes, titles })
}

/// `DELETE /containers/{name}`.
pub(crate) async fn remove(call: Call) -> ApiResult {
    let options = RemoveOptions {
        force: call.query.flag("force"),
        volumes: call.query.flag("v"),
        link: call.query.flag("link"),
    };
    call.app.engine.remove(call.name(), options).await?;
    call::empty(StatusCode::NO_CONTENT)
}
