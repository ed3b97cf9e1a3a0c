//! Answers that last: logs, events, waits. Each ends as soon as its client leaves.

use api_types::container::{WaitError, WaitResponse};
use axum::body::Body;
use bytes::Bytes;
use engine::params::{EventsQuery, LogEntry, LogStream, LogsQuery, StatsMode, WaitCondition};
use futures_util::{FutureExt, stream};
use serde::Serialize;
use tokio::sync::mpsc;

use super::attach::{MULTIPLEXED_STREAM, RAW_STREAM};
use crate::call::{Call, Chunk, with_type};
use crate::error::{ApiError, ApiResult};
use crate::http::hijack::HeadWithBody;
use crate::version::gates;

/// `GET /containers/{name}/logs`.
pub(crate) async fn logs(call: Call) -> ApiResult {
    let query = &call.query;
    let wanted = LogsQuery {
        follow: query.flag("follow"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        since: query.timestamp("since")?,
        until: query.timestamp("until")?.filter(|until| *until > 0),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        // What is not a number is `all`.
        tail: query.text("tail").parse().ok(),
    };
    if !wanted.stdout && !wanted.stderr {
        return Err(ApiError::bad_request("Bad parameters: you must choose at least one stream"));
    }
    let (terminal, entries) = call.app.engine.logs(call.name(), wanted).await?;
    let framed = !terminal && gates::MULTIPLEXED_TYPE.open(call.version);
    let content_type = if framed { MULTIPLEXED_STREAM } else { RAW_STREAM };
    let frames = each(entries, move |entry| log_frame(entry, terminal));
    Ok(with_type(content_type, frames))
}

/// One log line as the client gets it: raw from a terminal, else behind Docker's header.
fn log_frame(entry: LogEntry, terminal: bool) -> Bytes {
    if terminal {
        return entry.line.into();
    }
    let number = match entry.stream {
        LogStream::Stdout => 1,
        LogStream::Stderr => 2,
    };
    // A line is at most 16 KiB and its attributes.
    let length = u32::try_from(entry.line.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(8 + entry.line.len());
    frame.extend([number, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend(entry.line);
    frame.into()
}

/// `GET /events`.
pub(crate) async fn events(call: Call) -> ApiResult {
    let (since, until) = (call.query.timestamp("since")?, call.query.timestamp("until")?);
    let filters = call.query.filters()?;
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        let (since, until) = (call.query.text("since"), call.query.text("until"));
        return Err(ApiError::bad_request(format!(
            "`since` time ({since}) cannot be after `until` time ({until})"
        )));
    }
    let events = call.app.engine.events(EventsQuery { since, until, filters });
    Ok(with_type("application/json", each(events, |event| line(&event))))
}

/// `GET /containers/{name}/stats`.
pub(crate) async fn stats(call: Call) -> ApiResult {
    let stream = call.query.get("stream").is_none() || call.query.flag("stream");
    let one_shot = gates::ONE_SHOT_STATS.open(call.version) && call.query.flag("one-shot");
    let mode = match (stream, one_shot) {
        (true, true) => return Err(ApiError::bad_request("cannot have stream=true and one-shot=true")),
        (true, false) => StatsMode::Stream,
        (false, true) => StatsMode::Once,
        (false, false) => StatsMode::Pair,
    };
    let messages = call.app.engine.stats(call.name(), mode).await?;
    Ok(with_type("application/json", each(messages, |message| line(&message))))
}

/// `POST /containers/{name}/wait`.
pub(crate) async fn wait(call: Call) -> ApiResult {
    let silent = gates::SILENT_WAIT.open(call.version);
    let condition = match call.query.text("condition") {
        _ if silent => WaitCondition::NotRunning,
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(ApiError::bad_request(format!("invalid condition: {other:?}"))),
    };
    let ended = call.app.engine.wait(call.name(), condition).await?;
    let answer = ended.map(|ended| {
        let response = match ended {
            Ok(Ok(end)) => {
                WaitResponse { status_code: end.exit_code.into(), error: None, explanation: end.explanation }
            }
            Ok(Err(error)) => failed_wait(error.message()),
            // The engine is being shut down.
            Err(_) => failed_wait("the engine stopped"),
        };
        Chunk::Ok(line(&response))
    });
    let mut response = with_type("application/json", Body::from_stream(stream::once(answer)));
    if silent {
        response.extensions_mut().insert(HeadWithBody);
    }
    Ok(response)
}

fn failed_wait(message: &str) -> WaitResponse {
    let error = Some(WaitError { message: message.to_owned() });
    WaitResponse { status_code: 125, error, explanation: String::new() }
}

/// A body with one part for each message.
fn each<T: Send + 'static>(messages: mpsc::Receiver<T>, part: impl Fn(T) -> Bytes + Send + 'static) -> Body {
    Body::from_stream(stream::unfold((messages, part), |(mut messages, part)| async move {
        let message = messages.recv().await?;
        let bytes = part(message);
        Some((Chunk::Ok(bytes), (messages, part)))
    }))
}

/// A document on a line of its own.
fn line(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
