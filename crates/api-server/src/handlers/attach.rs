//! `POST /containers/{name}/attach`: the client's socket goes to the container.

use axum::body::Body;
use engine::params::{AttachParams, ClientStream};
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use shim::protocol::Framing;

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::http::hijack::{Hijack, RawStream};
use crate::routes::{NoCommonHeaders, bare_text};
use crate::version::gates;

/// Content type of a terminal's bytes, and of every stream before API 1.42.
pub(crate) const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Content type of framed output.
pub(crate) const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

/// `POST /containers/{name}/attach`. Failures are text: Docker has given up on HTTP by then.
pub(crate) async fn attach(call: Call, body: Body) -> Response<Body> {
    match prepare(call, body).await {
        Ok(response) => response,
        Err(error) => bare_text(error.status(), RAW_STREAM, format!("{}\r\n", error.message())),
    }
}

async fn prepare(call: Call, body: Body) -> ApiResult {
    let query = &call.query;
    let params = AttachParams {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        detach_keys: query.non_empty("detachKeys").map(str::to_owned),
    };
    let engine = call.app.engine.clone();
    let ticket = engine.prepare_attach(call.name(), &params).await?;
    discard(body).await?;
    let framing = ticket.framing;
    let mut response = hijack(&call, framing, move |client| async move {
        let container = ticket.container.clone();
        if let Err(error) = engine.attach(ticket, params, client).await {
            tracing::warn!(container, %error, "attached client lost");
        }
    });
    response.extensions_mut().insert(NoCommonHeaders);
    Ok(response)
}

/// Reads a request's body to its end, so that what follows is the stream.
pub(crate) async fn discard(body: Body) -> ApiResult<()> {
    use http_body_util::BodyExt;
    let mut body = body;
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| ApiError::bad_request(format!("error reading request body: {error}")))?;
    }
    Ok(())
}

/// The response that hands the client's stream to `taker`.
pub(crate) fn hijack<F: Future<Output = ()> + Send + 'static>(
    call: &Call,
    framing: Framing,
    taker: impl FnOnce(ClientStream) -> F + Send + 'static,
) -> Response<Body> {
    let upgrade = call.headers.contains_key(UPGRADE);
    let framed = upgrade && framing == Framing::Multiplexed && gates::MULTIPLEXED_TYPE.open(call.version);
    let mut response = Response::new(Body::empty());
    let mut headers = HeaderMap::new();
    let content_type = if framed { MULTIPLEXED_STREAM } else { RAW_STREAM };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if upgrade {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    }
    *response.headers_mut() = headers;
    let hijack = Hijack::new(!call.is_from_our_client(), |stream: RawStream| {
        taker(ClientStream { socket: stream.socket, early_input: stream.early_input })
    });
    response.extensions_mut().insert(hijack);
    response
}
