//! What all parts of an engine share.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use runtime::seccomp::Program;
use shim::spawn::ShimExecutable;

use crate::error::{EngineError, Result};
use crate::events::Events;
use crate::exec::Execs;
use crate::host::Host;
use crate::layout::Layout;
use crate::params::EngineConfig;
use crate::ready::ReadyShims;
use crate::record::Record;
use crate::registry::Registry;
use crate::rest::Rest;
use crate::store::Store;

/// What all parts of an engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) layout: Layout,
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) images: images::Images,
    pub(crate) events: Events,
    pub(crate) registry: Registry,
    pub(crate) execs: Execs,
    pub(crate) shim: ShimExecutable,
    pub(crate) filters: Filters,
    pub(crate) ready: ReadyShims,
    pub(crate) rest: Rest,
}

impl Shared {
    /// The host's own name.
    pub(crate) fn host_name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// An image by name or id, for a platform if one is asked for.
    pub(crate) fn image(&self, name: &str, platform: Option<&str>) -> Result<Arc<images::Image>> {
        let image = self.images.resolve(name).map_err(|error| match error {
            images::ResolveError::NotFound { .. } => EngineError::not_found(error.to_string()),
            other => EngineError::invalid(other.to_string()),
        })?;
        check_platform(&image, name, platform)?;
        Ok(image)
    }

    /// A container's image, whether or not it still has a name.
    pub(crate) fn image_of(&self, record: &Record) -> Result<Arc<images::Image>> {
        let id =
            record.image_id.parse().map_err(|error| EngineError::system("image of the container", error))?;
        self.images
            .get(&id)
            .ok_or_else(|| EngineError::not_found(format!("No such image: {}", record.image_id)))
    }

    /// Directories of a container's layers, the uppermost first.
    pub(crate) fn layer_paths(&self, record: &Record) -> Result<Vec<PathBuf>> {
        Ok(self.image_of(record)?.lower_dirs.clone())
    }

    /// A container that uses an image; a running one is preferred.
    pub(crate) fn image_user(&self, id: &images::ImageId) -> Option<images::ImageUser> {
        let id = id.to_string();
        let mut found = None;
        for container in self.registry.all() {
            let record = container.record();
            if record.image_id == id {
                let running = record.state.run().is_some();
                found = Some(images::ImageUser { container: record.id.clone(), running });
                if running {
                    break;
                }
            }
        }
        found
    }
}

/// Refuses an image of another platform than the one asked for, or than this host's.
fn check_platform(image: &images::Image, name: &str, platform: Option<&str>) -> Result<()> {
    let Some(wanted) = platform.filter(|platform| !platform.is_empty()) else { return Ok(()) };
    let wanted: oci::platform::Platform = wanted
        .parse()
        .map_err(|error: oci::platform::PlatformError| EngineError::invalid(error.to_string()))?;
    let present = image.config.platform();
    if wanted.os == present.os && wanted.architecture == present.architecture {
        Ok(())
    } else {
        Err(EngineError::not_found(format!(
            "image with reference {name} was found but its platform ({present}) does not match the specified platform ({wanted})"
        )))
    }
}

/// Makes a directory for root alone, with its parents.
pub(crate) fn private_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| EngineError::system(format!("cannot make {}", path.display()), error))
}

/// What a filter was compiled from: the choice, and the bounding set.
type FilterKey = (String, Vec<String>);

/// Compiled filters; there are as many as there are different sets of options in use.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<HashMap<FilterKey, Option<Arc<Program>>>>);

impl Filters {
    /// Bounds the memory that users' own profiles can take.
    const MAX: usize = 64;

    pub(crate) fn get(&self, key: &FilterKey) -> Option<Option<Arc<Program>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn put(&self, key: FilterKey, program: Option<Arc<Program>>) {
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if filters.len() >= Self::MAX {
            filters.clear();
        }
        filters.insert(key, program);
    }
}
