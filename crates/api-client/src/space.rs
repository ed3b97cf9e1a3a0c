//! What takes space, and pruning.

use api_types::space::{
    BuildCachePruned, ContainersPruned, DiskUsage, ImagesPruned, NetworksPruned, VolumesPruned,
};

use crate::error::ClientError;
use crate::query::{Filters, Query};
use crate::transport::{Client, Request};

impl Client {
    /// What takes space.
    pub async fn disk_usage(&self) -> Result<DiskUsage, ClientError> {
        self.fetch(Request::get("/system/df")).await
    }

    /// Removes containers that do not run.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<ContainersPruned, ClientError> {
        self.fetch(prune("/containers/prune", filters)).await
    }

    /// Removes images that nobody uses; which of them, `dangling` says.
    pub async fn prune_images(&self, filters: &Filters) -> Result<ImagesPruned, ClientError> {
        self.fetch(prune("/images/prune", filters)).await
    }

    /// Removes networks that nobody uses.
    pub async fn prune_networks(&self, filters: &Filters) -> Result<NetworksPruned, ClientError> {
        self.fetch(prune("/networks/prune", filters)).await
    }

    /// Removes anonymous volumes that nobody uses.
    pub async fn prune_volumes(&self, filters: &Filters) -> Result<VolumesPruned, ClientError> {
        self.fetch(prune("/volumes/prune", filters)).await
    }

    /// Removes what builds have cached; all of it, or what no build can use.
    pub async fn prune_build_cache(
        &self,
        all: bool,
        filters: &Filters,
    ) -> Result<BuildCachePruned, ClientError> {
        let query = Query::new().with_flag("all", all).with_filters(filters);
        self.fetch(Request::post("/build/prune").query(query)).await
    }
}

fn prune(path: &'static str, filters: &Filters) -> Request {
    Request::post(path).query(Query::new().with_filters(filters))
}
