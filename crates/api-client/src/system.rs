//! Calls about the engine itself.

use api_types::system::Version;
use bytes::Bytes;

use crate::error::ClientError;
use crate::transport::{Client, Request};

impl Client {
    /// The engine's version.
    pub async fn engine_version(&self) -> Result<Version, ClientError> {
        self.fetch(Request::get("/version")).await
    }

    /// Describes an object by the path that the API has for it, `/networks/NAME`; the document as it came.
    pub async fn inspect_raw(&self, collection: &str, name: &str, rest: &str) -> Result<Bytes, ClientError> {
        let name = crate::query::escape_path(name);
        self.fetch_bytes(Request::get(format!("/{collection}/{name}{rest}"))).await
    }

    /// What the engine is and has; the document as it came.
    pub async fn info_raw(&self) -> Result<Bytes, ClientError> {
        self.fetch_bytes(Request::get("/info")).await
    }
}
