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

    /// What the engine is and has; the document as it came.
    pub async fn info_raw(&self) -> Result<Bytes, ClientError> {
        self.fetch_bytes(Request::get("/info")).await
    }
}
