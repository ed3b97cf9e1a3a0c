//! `commit`: an image of a container's changes.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use images::{CommitError, CommitOptions, Image};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::container::{Command, Container};
use crate::error::{EngineError, ErrorKind, Result, chain};
use crate::events::event;
use crate::merge;
use crate::params::CommitRequest;
use crate::record::Record;
use crate::shared::Shared;
use crate::state::State;
use crate::supervise::container_event;

/// Makes the image; its id.
pub(crate) async fn commit(
    shared: &Arc<Shared>,
    container: Arc<Container>,
    request: CommitRequest,
) -> Result<String> {
    let options = plan(shared, &container.record(), &request)?;
    let shared = Arc::clone(shared);
    // A client that leaves must not leave a paused container behind.
    let task = tokio::spawn(async move {
        let _one_at_a_time = container.committing().lock().await;
        let paused = request.pause && pause(&container).await?;
        let outcome = make(&shared, &container, options).await;
        if let Ok(image) = &outcome {
            announce(&shared, &container.record(), image, &request);
        }
        if paused {
            unpause(&container).await;
        }
        outcome.map(|image| image.id.to_string())
    });
    task.await.map_err(|error| EngineError::system("the commit failed", error))?
}

/// Every refusal, before anything is stopped or read.
fn plan(shared: &Shared, record: &Record, request: &CommitRequest) -> Result<CommitOptions> {
    let reference = request.reference.as_ref();
    let name = reference.map(|name| shared.images.check_name(name)).transpose()?;
    let base = request.config.as_ref().unwrap_or(&record.config);
    let changed = images::changes::apply(convert(base)?, &request.changes)
        .map_err(|error| EngineError::invalid(error.to_string()))?;
    let config = merge::complete(convert(&changed)?, &record.config);
    Ok(CommitOptions {
        parent: shared.image_of(record)?.id.clone(),
        container: record.id.clone(),
        container_config: convert(&record.config)?,
        config: convert(&config)?,
        author: request.author.clone(),
        comment: request.comment.clone(),
        reference: name,
    })
}

/// A container's configuration as an image's, and back: the same members in two forms.
fn convert<F: Serialize, T: DeserializeOwned>(config: &F) -> Result<T> {
    serde_json::to_value(config)
        .and_then(serde_json::from_value)
        .map_err(|error| EngineError::system("cannot read the container's configuration", error))
}

/// Whether it was paused here: not when it was already, or does not run.
async fn pause(container: &Container) -> Result<bool> {
    if !matches!(container.record().state, State::Running(_)) {
        return Ok(false);
    }
    match container.ask(Command::PauseForCommit).await {
        Ok(()) => Ok(true),
        // It ended, or somebody else paused it, in this moment.
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}

async fn unpause(container: &Container) {
    if let Err(error) = container.ask(Command::Unpause).await {
        // Most likely it was unpaused or ended meanwhile.
        tracing::debug!(container = %container.id, %error, "not unpaused after a commit");
    }
}

async fn make(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    options: CommitOptions,
) -> Result<Arc<Image>> {
    let (shared, container) = (Arc::clone(shared), Arc::clone(container));
    let work = move || {
        let upper = linux::fs::open_dir(&shared.layout.container(&container.id).upper())
            .map_err(|error| EngineError::system("cannot read the container's files", error))?;
        shared.images.commit(upper.as_fd(), options, || match container.watch().borrow().removed {
            // Files go after this can be seen, so not all of them may have been read.
            true => Err(EngineError::conflict(format!(
                "You cannot commit container {} which is being removed",
                container.id
            ))),
            false => Ok(()),
        })
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::system("the commit failed", error))?
}

fn announce(shared: &Shared, record: &Record, image: &Image, request: &CommitRequest) {
    let id = image.id.to_string();
    let publish = |action: &str, name: &str| {
        let mut attributes: BTreeMap<_, _> = image.config.config.labels.clone().unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        shared.events.publish(event("image", action, &id, attributes));
    };
    publish("create", &id);
    let name = request.reference.clone().map(|name| name.with_default_tag().familiar());
    if let Some(name) = &name {
        publish("tag", name);
    }
    let more = [
        ("comment", request.comment.clone()),
        ("imageID", id.clone()),
        ("imageRef", name.unwrap_or_default()),
    ];
    shared.events.publish(container_event(record, "commit", &more));
}

impl From<CommitError> for EngineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Name(_) => Self::invalid(error.to_string()),
            CommitError::ParentGone(_) => Self::not_found(error.to_string()),
            CommitError::Read(_) | CommitError::Unpack(_) | CommitError::Store(_) => {
                Self::new(ErrorKind::System, chain(&error))
            }
        }
    }
}
