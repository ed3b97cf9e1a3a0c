//! Which containers there are, by id and by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use oci::nearest::{did_you_mean, nearest};

use crate::container::Container;
use crate::error::{EngineError, Result};

#[derive(Debug, Default)]
struct Maps {
    containers: BTreeMap<String, Arc<Container>>,
    /// Name → id; a name is reserved here before its container exists.
    names: HashMap<String, String>,
}

/// All containers.
#[derive(Debug, Default)]
pub(crate) struct Registry(RwLock<Maps>);

impl Registry {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Maps> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Maps> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name for a container that is about to exist.
    pub(crate) fn reserve(&self, name: &str, id: &str) -> Result<()> {
        let mut maps = self.write();
        if let Some(owner) = maps.names.get(name) {
            return Err(EngineError::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that container to be able to reuse that name."
            )));
        }
        maps.names.insert(name.to_owned(), id.to_owned());
        Ok(())
    }

    /// Gives a name back.
    pub(crate) fn release(&self, name: &str) {
        self.write().names.remove(name);
    }

    /// Adds a container whose name is reserved.
    pub(crate) fn insert(&self, container: Arc<Container>) {
        self.write().containers.insert(container.id.clone(), container);
    }

    /// Takes a container and its name out.
    pub(crate) fn remove(&self, id: &str, name: &str) {
        let mut maps = self.write();
        maps.containers.remove(id);
        if maps.names.get(name).is_some_and(|owner| owner == id) {
            maps.names.remove(name);
        }
    }

    /// All containers, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        self.read().containers.values().cloned().collect()
    }

    /// A container by id, name or unique begin of an id, in this order.
    pub(crate) fn find(&self, reference: &str) -> Result<Arc<Container>> {
        let maps = self.read();
        if let Some(container) = maps.containers.get(reference) {
            return Ok(Arc::clone(container));
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(container) = maps.names.get(name).and_then(|id| maps.containers.get(id)) {
            return Ok(Arc::clone(container));
        }
        if reference.is_empty() {
            return Err(EngineError::invalid("prefix can't be empty"));
        }
        let mut matches = maps
            .containers
            .range(reference.to_owned()..)
            .take_while(|(id, _)| id.starts_with(reference))
            .map(|(_, container)| container);
        match (matches.next(), matches.next()) {
            (Some(container), None) => Ok(Arc::clone(container)),
            (Some(_), Some(_)) => {
                Err(EngineError::invalid(format!("multiple IDs found with provided prefix: {reference}")))
            }
            _ => {
                let near = did_you_mean(nearest(name, maps.names.keys().map(String::as_str)));
                Err(EngineError::not_found(format!("No such container: {reference}{near}")))
            }
        }
    }
}
