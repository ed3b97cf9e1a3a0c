//! `container prune`: removes the containers that do not run.

use std::sync::Arc;

use crate::container::{Command, Container};
use crate::error::{ErrorKind, Result};
use crate::events;
use crate::inspect;
use crate::params::{PruneFilter, RemoveOptions};
use crate::record::Record;
use crate::shared::Shared;
use crate::state::State;

/// Removes the containers that do not run and that `filter` lets through; their ids, and the bytes of their own files.
pub(crate) async fn containers(shared: &Arc<Shared>, filter: &PruneFilter) -> Result<(Vec<String>, u64)> {
    let (mut removed, mut reclaimed) = (Vec::new(), 0);
    for container in shared.registry.all() {
        if !goes(&container.record(), filter) {
            continue;
        }
        let bytes = own_size(shared, &container).await;
        match container.ask(|reply| Command::Remove(RemoveOptions::default(), reply)).await {
            Ok(()) => {
                reclaimed += bytes;
                removed.push(container.id.clone());
            }
            // Started, or removed by another, since it was looked at.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    shared.events.publish(events::pruned("container", reclaimed));
    Ok((removed, reclaimed))
}

fn goes(record: &Record, filter: &PruneFilter) -> bool {
    matches!(record.state, State::Created { .. } | State::Exited(_))
        && filter.matches(record.config.labels.as_ref(), record.created / 1_000_000_000)
}

async fn own_size(shared: &Arc<Shared>, container: &Container) -> u64 {
    let (shared, record) = (Arc::clone(shared), container.record());
    let size = tokio::task::spawn_blocking(move || inspect::sizes(&shared, &record).0).await;
    // What cannot be counted is removed all the same.
    size.ok().flatten().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}
