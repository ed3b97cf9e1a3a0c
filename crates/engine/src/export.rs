//! What a container made of its image: the whole as an archive, and the differences.

use std::os::fd::AsFd;
use std::sync::Arc;

use snapshots::changes::{Change, changes as compare};
use snapshots::pack::{Contents, pack};

use crate::container::Container;
use crate::error::{EngineError, Result};
use crate::pipe::{self, ByteStream};
use crate::roots;
use crate::shared::Shared;
use crate::supervise::container_event;

/// The container's root file system as an archive, without what is mounted in it.
pub(crate) async fn export(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<ByteStream> {
    let record = container.record();
    let root = roots::files_alone(shared, &record).await?;
    let settings = *shared.images.layers().settings();
    let stream = pipe::stream_of(move |out| pack(root.as_fd(), Contents::Tree, &settings, out).map(drop));
    shared.events.publish(container_event(&record, "export", &[]));
    Ok(stream)
}

/// What differs from the image, in the order of paths.
pub(crate) async fn changes(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<Vec<Change>> {
    let record = container.record();
    let upper = shared.layout.container(&record.id).upper();
    let lower = shared.layer_paths(&record)?;
    let settings = *shared.images.layers().settings();
    tokio::task::spawn_blocking(move || compare(&upper, &lower, &settings))
        .await
        .map_err(|error| EngineError::system("cannot compare the container with its image", error))?
        .map_err(|error| {
            EngineError::system(format!("cannot compare container {} with its image", record.id), error)
        })
}
