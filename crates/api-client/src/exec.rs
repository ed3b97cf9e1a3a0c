//! Calls below `/exec`.

use api_types::exec::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdResponse};

use crate::containers::size_query;
use crate::error::ClientError;
use crate::hijack::Hijacked;
use crate::query::escape_path;
use crate::transport::{Client, Request};

impl Client {
    /// Prepares one more process in a container; answers its id.
    pub async fn create_exec(
        &self,
        container: &str,
        body: &ExecCreateRequest,
    ) -> Result<String, ClientError> {
        let path = format!("/containers/{}/exec", escape_path(container));
        let answer: IdResponse = self.fetch(Request::post(path).json(body)).await?;
        Ok(answer.id)
    }

    /// Starts a prepared process and attaches to it.
    pub async fn start_exec(&self, id: &str, body: &ExecStartRequest) -> Result<Hijacked, ClientError> {
        self.hijack(Request::post(format!("/exec/{id}/start")).json(body)).await
    }

    /// Starts a prepared process and leaves it.
    pub async fn start_exec_detached(&self, id: &str, body: &ExecStartRequest) -> Result<(), ClientError> {
        self.run(Request::post(format!("/exec/{id}/start")).json(body)).await
    }

    /// Describes an exec.
    pub async fn inspect_exec(&self, id: &str) -> Result<ExecInspect, ClientError> {
        self.fetch(Request::get(format!("/exec/{id}/json"))).await
    }

    /// Tells an exec's terminal its size.
    pub async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> Result<(), ClientError> {
        self.run(Request::post(format!("/exec/{id}/resize")).query(size_query(rows, columns))).await
    }
}
