//! `POST /images/load`.

use axum::body::Body;
use bytes::Bytes;
use engine::error::chain;
use futures_util::stream;
use images::{LoadError, LoadOptions, LoadProgress};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::create::reader;
use super::{announce, inspect};
use crate::call::{Call, Chunk, with_type};
use crate::error::ApiResult;

/// Progress lines that may wait for a slow client.
const BACKLOG: usize = 64;

/// `POST /images/load`. What goes wrong is told in the stream, whose status is out by then.
pub(crate) async fn load(call: Call, body: Body) -> ApiResult {
    let quiet = call.query.flag("quiet");
    let platform = call.query.non_empty("platform").map(inspect::platform).transpose()?;
    let archive = reader(body);
    let (lines, receiver) = mpsc::channel::<Value>(BACKLOG);
    let app = call.app.clone();
    tokio::task::spawn_blocking(move || {
        let images = app.engine.images();
        // A client that left hears nothing; what it sent in full is loaded all the same.
        let tell = |line: Value| drop(lines.blocking_send(line));
        let mut progress = |progress: LoadProgress| match progress {
            LoadProgress::Layer { .. } if quiet => {}
            LoadProgress::Layer { name, archive_size } => tell(layer_line(&name, archive_size)),
            LoadProgress::Message(text) => tell(json!({ "stream": format!("{text}\n") })),
        };
        match images.load(archive, &LoadOptions { platform }, &mut progress) {
            Ok(loaded) => {
                for known in loaded.iter().filter_map(|image| images.get(&image.id)) {
                    announce(&app, &known, "load", &known.id.to_string());
                }
            }
            Err(error) => tell(error_line(&error)),
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Chunk::Ok(Bytes::from(format!("{line}\r\n"))), receiver))
    });
    Ok(with_type("application/json", Body::from_stream(body)))
}

/// Docker's line about a layer: twelve digits and how far it is.
fn layer_line(name: &str, size: u64) -> Value {
    let id = name.trim_start_matches("blobs/sha256/").get(..12).unwrap_or(name);
    json!({ "status": "Loading layer", "progressDetail": { "current": size, "total": size }, "id": id })
}

fn error_line(error: &LoadError) -> Value {
    let text = chain(error);
    json!({ "errorDetail": { "message": text }, "error": text })
}
