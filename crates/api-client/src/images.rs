//! Calls below `/images`.

use api_types::image::{DeleteResponse, HistoryItem, ImageSummary};
use bytes::Bytes;

use crate::error::ClientError;
use crate::query::{Filters, Query, escape_path};
use crate::transport::{BodyStream, Client, Payload, Request, RequestBody};

/// Media type of an archive.
const TAR: &str = "application/x-tar";

/// How to import a file system.
#[derive(Debug, Default)]
pub struct ImportOptions {
    /// `-`: the body; else a URL that the engine reads.
    pub source: String,
    /// Name of the new image.
    pub repository: String,
    /// Tag of the new image.
    pub tag: String,
    /// Comment.
    pub message: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// `os/arch/variant`.
    pub platform: String,
}

fn image(name: &str, rest: &str) -> String {
    format!("/images/{}{rest}", escape_path(name))
}

impl Client {
    /// Lists images.
    pub async fn list_images(&self, all: bool, filters: &Filters) -> Result<Vec<ImageSummary>, ClientError> {
        let query = Query::new().with_flag("all", all).with_filters(filters);
        self.fetch(Request::get("/images/json").query(query)).await
    }

    /// Describes an image; the document as it came. `platform` is JSON or empty.
    pub async fn inspect_image_raw(&self, name: &str, platform: &str) -> Result<Bytes, ClientError> {
        let query = Query::new().with_text("platform", platform);
        self.fetch_bytes(Request::get(image(name, "/json")).query(query)).await
    }

    /// Makes an image of a file system archive; answers a progress stream.
    pub async fn import_image(
        &self,
        options: &ImportOptions,
        body: Option<RequestBody>,
    ) -> Result<BodyStream, ClientError> {
        let mut query = Query::new()
            .with("fromSrc", &options.source)
            .with_text("repo", &options.repository)
            .with_text("tag", &options.tag)
            .with_text("message", &options.message)
            .with_text("platform", &options.platform);
        for change in &options.changes {
            query.push("changes", change);
        }
        let mut request = Request::post("/images/create").query(query);
        if let Some(body) = body {
            request.payload = Payload::Stream { body, content_type: TAR };
        }
        Ok(self.send(request).await?.into_stream())
    }

    /// Fetches an image from a registry; answers a progress stream.
    pub async fn pull_image(
        &self,
        name: &str,
        tag: &str,
        platform: &str,
        auth: &str,
    ) -> Result<BodyStream, ClientError> {
        let query =
            Query::new().with("fromImage", name).with_text("tag", tag).with_text("platform", platform);
        let mut request = Request::post("/images/create").query(query);
        if !auth.is_empty() {
            request.headers.push(("x-registry-auth", auth.to_owned()));
        }
        Ok(self.send(request).await?.into_stream())
    }

    /// Loads images from an archive; answers a progress stream. `platforms` is JSON or empty.
    pub async fn load_images(
        &self,
        quiet: bool,
        platforms: &[String],
        body: RequestBody,
    ) -> Result<BodyStream, ClientError> {
        let mut query = Query::new().with("quiet", if quiet { "1" } else { "0" });
        for platform in platforms {
            query.push("platform", platform);
        }
        let mut request = Request::post("/images/load").query(query);
        request.payload = Payload::Stream { body, content_type: TAR };
        Ok(self.send(request).await?.into_stream())
    }

    /// Writes images into an archive.
    pub async fn save_images(
        &self,
        names: &[String],
        platforms: &[String],
    ) -> Result<BodyStream, ClientError> {
        let mut query = Query::new();
        for name in names {
            query.push("names", name);
        }
        for platform in platforms {
            query.push("platform", platform);
        }
        Ok(self.send(Request::get("/images/get").query(query)).await?.into_stream())
    }

    /// Gives an image one more name.
    pub async fn tag_image(&self, name: &str, repository: &str, tag: &str) -> Result<(), ClientError> {
        let query = Query::new().with("repo", repository).with_text("tag", tag);
        self.run(Request::post(image(name, "/tag")).query(query)).await
    }

    /// Removes a name, and the image with its last one.
    pub async fn remove_image(
        &self,
        name: &str,
        force: bool,
        no_prune: bool,
        platforms: &[String],
    ) -> Result<Vec<DeleteResponse>, ClientError> {
        let mut query = Query::new().with_flag("force", force).with_flag("noprune", no_prune);
        for platform in platforms {
            query.push("platforms", platform);
        }
        self.fetch(Request::delete(image(name, "")).query(query)).await
    }

    /// Lists the steps that made an image. `platform` is JSON or empty.
    pub async fn image_history(&self, name: &str, platform: &str) -> Result<Vec<HistoryItem>, ClientError> {
        let query = Query::new().with_text("platform", platform);
        self.fetch(Request::get(image(name, "/history")).query(query)).await
    }
}
