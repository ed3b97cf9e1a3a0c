//! A container's files.

use api_types::exec::IdResponse;
use api_types::files::{Change, PathStat};

use crate::error::ClientError;
use crate::query::{Query, escape_path};
use crate::transport::{Answer, BodyStream, Client, Payload, Request, RequestBody};

/// Media type of an archive.
const TAR: &str = "application/x-tar";

/// How a container becomes an image.
#[derive(Debug, Default)]
pub struct CommitOptions {
    /// Name of the image.
    pub repository: String,
    /// Tag of the image.
    pub tag: String,
    /// Why.
    pub comment: String,
    /// Who commits.
    pub author: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// Pause the container meanwhile.
    pub pause: bool,
}

fn archive(name: &str) -> String {
    format!("/containers/{}/archive", escape_path(name))
}

fn path_stat(answer: &Answer) -> Result<PathStat, ClientError> {
    let value = answer.response.headers().get(PathStat::HEADER);
    value.and_then(|value| PathStat::from_header(value.to_str().ok()?)).ok_or_else(|| ClientError::Stream {
        message: "the engine did not describe the path".into(),
        code: 0,
    })
}

impl Client {
    /// What is at a path of a container; a link at its end is not followed.
    pub async fn stat_path(&self, name: &str, path: &str) -> Result<PathStat, ClientError> {
        let request = Request::head(archive(name)).query(Query::new().with("path", path));
        path_stat(&self.send(request).await?)
    }

    /// The files at a path as an archive.
    pub async fn read_path(&self, name: &str, path: &str) -> Result<(PathStat, BodyStream), ClientError> {
        let request = Request::get(archive(name)).query(Query::new().with("path", path));
        let answer = self.send(request).await?;
        Ok((path_stat(&answer)?, answer.into_stream()))
    }

    /// Extracts an archive into the directory at a path; neither replaces a directory by a file nor the other way
    /// round. With `copy_owner` files get the container's own user.
    pub async fn write_path(
        &self,
        name: &str,
        path: &str,
        copy_owner: bool,
        body: RequestBody,
    ) -> Result<(), ClientError> {
        let query = Query::new()
            .with("path", path)
            .with("noOverwriteDirNonDir", "true")
            .with_flag("copyUIDGID", copy_owner);
        let mut request = Request::put(archive(name)).query(query);
        request.payload = Payload::Stream { body, content_type: TAR };
        self.run(request).await
    }

    /// A container's root file system as an archive.
    pub async fn export_container(&self, name: &str) -> Result<BodyStream, ClientError> {
        let path = format!("/containers/{}/export", escape_path(name));
        Ok(self.send(Request::get(path)).await?.into_stream())
    }

    /// Makes an image of a container's changes; answers the image's id.
    pub async fn commit_container(&self, name: &str, options: &CommitOptions) -> Result<String, ClientError> {
        let mut query = Query::new()
            .with("container", name)
            .with_text("repo", &options.repository)
            .with_text("tag", &options.tag)
            .with_text("comment", &options.comment)
            .with_text("author", &options.author)
            .with("pause", if options.pause { "1" } else { "0" });
        for change in &options.changes {
            query.push("changes", change);
        }
        let answer: IdResponse = self.fetch(Request::post("/commit").query(query)).await?;
        Ok(answer.id)
    }

    /// What differs between a container and its image.
    pub async fn container_changes(&self, name: &str) -> Result<Vec<Change>, ClientError> {
        let path = format!("/containers/{}/changes", escape_path(name));
        let changes: Option<Vec<Change>> = self.fetch(Request::get(path)).await?;
        Ok(changes.unwrap_or_default())
    }
}
