//! Calls about the engine itself.

use api_types::system::{EventMessage, Version};
use bytes::Bytes;

use crate::documents::Documents;
use crate::error::ClientError;
use crate::query::{Filters, Query};
use crate::transport::{Client, Request};

/// Which events to get.
#[derive(Debug, Clone, Default)]
pub struct EventsOptions {
    /// From this time on, past ones included; empty: from now on.
    pub since: String,
    /// Up to this time; empty: for ever.
    pub until: String,
    /// Only these.
    pub filters: Filters,
}

impl Client {
    /// Events, as they come.
    pub async fn events(&self, options: &EventsOptions) -> Result<Documents<serde_json::Value>, ClientError> {
        self.documents(options).await
    }

    /// Events as typed messages.
    pub async fn watch_events(
        &self,
        options: &EventsOptions,
    ) -> Result<Documents<EventMessage>, ClientError> {
        self.documents(options).await
    }

    async fn documents<T: serde::de::DeserializeOwned>(
        &self,
        options: &EventsOptions,
    ) -> Result<Documents<T>, ClientError> {
        let query = Query::new()
            .with_text("since", &options.since)
            .with_text("until", &options.until)
            .with_filters(&options.filters);
        Ok(Documents::new(self.send(Request::get("/events").query(query)).await?.into_stream()))
    }

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
