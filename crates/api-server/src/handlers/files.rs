//! A container's files: copied in and out, exported, compared with its image, made an image.

use std::io;

use api_types::exec::IdResponse;
use api_types::files::{self, Change};
use axum::body::Body;
use axum::extract::Request;
use engine::params::{CommitRequest, CopyOptions, PathStat};
use engine::pipe::ByteStream;
use futures_util::{StreamExt, TryStreamExt};
use http::header::HeaderName;
use http::{HeaderValue, Method, Response, StatusCode};

use super::images::repository_and_tag;
use crate::call::{self, Call, with_type};
use crate::error::{ApiError, ApiResult};
use crate::json::{self as body_json, requests};

const TAR: &str = "application/x-tar";

/// `HEAD`, `GET` and `PUT /containers/{name}/archive`.
pub(crate) async fn archive(call: Call, request: Request) -> ApiResult {
    let (name, path) = (call.name(), call.query.text("path"));
    if path.is_empty() {
        // Docker forgot the blank.
        return Err(ApiError::bad_request("bad parameter: pathcannot be empty"));
    }
    match *request.method() {
        Method::HEAD => {
            let stat = call.app.engine.stat_path(name, path).await?;
            with_stat(Response::new(Body::empty()), &stat)
        }
        Method::GET => {
            let (stat, stream) = call.app.engine.read_path(name, path).await?;
            with_stat(with_type(TAR, Body::from_stream(stream)), &stat)
        }
        _ => {
            let options = CopyOptions {
                keep_kinds: call.query.flag("noOverwriteDirNonDir"),
                copy_owner: call.query.flag("copyUIDGID"),
            };
            let stream = stream(request.into_body());
            call.app.engine.write_path(name, path, options, stream).await?;
            call::empty(StatusCode::OK)
        }
    }
}

fn stream(body: Body) -> ByteStream {
    body.into_data_stream().map_err(io::Error::other).boxed()
}

fn with_stat(mut response: Response<Body>, stat: &PathStat) -> ApiResult {
    let document = files::PathStat {
        name: stat.name.clone(),
        size: stat.size,
        mode: stat.mode,
        mtime: jiff::Timestamp::from_nanosecond(stat.modified.into())
            .map_or_else(|_| api_types::NEVER.to_owned(), |time| time.to_string()),
        link_target: stat.link_target.clone(),
    };
    let value = HeaderValue::try_from(document.to_header())
        .map_err(|error| ApiError::internal(format!("cannot describe the path: {error}")))?;
    response.headers_mut().insert(HeaderName::from_static(files::PathStat::HEADER), value);
    Ok(response)
}

/// `GET /containers/{name}/export`.
pub(crate) async fn export(call: Call) -> ApiResult {
    let stream = call.app.engine.export(call.name()).await?;
    Ok(with_type("application/octet-stream", Body::from_stream(stream)))
}

/// `GET /containers/{name}/changes`: `null` when there are none.
pub(crate) async fn changes(call: Call) -> ApiResult {
    let changes = call.app.engine.changes(call.name()).await?;
    let changes: Vec<Change> = changes
        .into_iter()
        .map(|change| Change { path: change.path.display().to_string(), kind: change.kind as u8 })
        .collect();
    call::json(&Some(changes).filter(|changes| !changes.is_empty()))
}

/// `POST /commit`.
pub(crate) async fn commit(call: Call, body: Body) -> ApiResult {
    let request = CommitRequest {
        reference: repository_and_tag(&call)?,
        config: body_json::optional(&call.headers, body, &requests::COMMIT).await?,
        changes: call.query.all("changes").map(str::to_owned).collect(),
        author: call.query.text("author").to_owned(),
        comment: call.query.text("comment").to_owned(),
        // Absent is yes.
        pause: call.query.text("pause").is_empty() || call.query.flag("pause"),
    };
    let container = call.query.text("container");
    if container.is_empty() {
        return Err(ApiError::bad_request("invalid name or ID supplied: \"\""));
    }
    let id = call.app.engine.commit(container, request).await?;
    call::json_with(StatusCode::CREATED, &IdResponse { id })
}
