//! Everything the API can ask for.

use std::sync::Arc;

use api_types::container::{Change, CreateRequest, CreateResponse, Inspect, Summary};
use api_types::exec::{ExecCreateRequest, ExecInspect, ExecStartRequest};
use api_types::system::EventMessage;
use tokio::sync::mpsc;

use crate::error::{EngineError, Result};
use crate::params::{
    AttachParams, ClientStream, EngineConfig, EventsQuery, ListQuery, LogEntry, LogsQuery, RemoveOptions,
    StreamTicket, WaitCondition,
};

/// A handle of the engine; clones share one engine.
#[derive(Debug, Clone)]
pub struct Engine {
    #[expect(dead_code, reason = "filled by the next slice")]
    inner: Arc<EngineConfig>,
}

#[expect(clippy::unused_async, missing_docs, reason = "signatures for the API server; bodies follow")]
impl Engine {
    pub async fn open(config: EngineConfig) -> Result<Self> {
        Ok(Self { inner: Arc::new(config) })
    }
    /// The image store (blocking calls: use `spawn_blocking`).
    pub fn images(&self) -> &images::Images {
        unreachable!()
    }
    /// (total, running, paused, stopped)
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        (0, 0, 0, 0)
    }
    pub async fn create(
        &self,
        _name: Option<&str>,
        _platform: Option<&str>,
        _request: CreateRequest,
    ) -> Result<CreateResponse> {
        Err(EngineError::not_found(""))
    }
    pub async fn list(&self, _query: ListQuery) -> Result<Vec<Summary>> {
        Err(EngineError::not_found(""))
    }
    pub async fn inspect(&self, _name: &str, _size: bool) -> Result<Inspect> {
        Err(EngineError::not_found(""))
    }
    /// Already running: `ErrorKind::NotModified`.
    pub async fn start(&self, _name: &str) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    /// Already stopped: `ErrorKind::NotModified`. `timeout` seconds; negative: wait for ever; none: the container's.
    pub async fn stop(&self, _name: &str, _signal: Option<&str>, _timeout: Option<i64>) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    pub async fn restart(&self, _name: &str, _signal: Option<&str>, _timeout: Option<i64>) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    /// `signal` empty: SIGKILL.
    pub async fn kill(&self, _name: &str, _signal: &str) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    pub async fn pause(&self, _name: &str) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    pub async fn unpause(&self, _name: &str) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    pub async fn rename(&self, _name: &str, _new_name: &str) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    pub async fn remove(&self, _name: &str, _options: RemoveOptions) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    /// Registers the wait before it returns (so that headers can be sent); the receiver gives the exit code, or the
    /// text of a failed start, once.
    pub async fn wait(
        &self,
        _name: &str,
        _condition: WaitCondition,
    ) -> Result<tokio::sync::oneshot::Receiver<Result<i32>>> {
        Err(EngineError::not_found(""))
    }
    pub async fn resize(&self, _name: &str, _height: u16, _width: u16) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    /// Checks that an attach is possible and says how output will be framed; no side effect.
    pub async fn prepare_attach(&self, _name: &str, _params: &AttachParams) -> Result<StreamTicket> {
        Err(EngineError::not_found(""))
    }
    /// Hands the client's stream over, after the response's head was written to it.
    pub async fn attach(
        &self,
        _ticket: StreamTicket,
        _params: AttachParams,
        _client: ClientStream,
    ) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    /// (container has a terminal, entries). The stream ends with the log, or with the container when following.
    pub async fn logs(&self, _name: &str, _query: LogsQuery) -> Result<(bool, mpsc::Receiver<LogEntry>)> {
        Err(EngineError::not_found(""))
    }
    pub async fn changes(&self, _name: &str) -> Result<Vec<Change>> {
        Err(EngineError::not_found(""))
    }
    /// The exec's id.
    pub async fn exec_create(&self, _container: &str, _request: ExecCreateRequest) -> Result<String> {
        Err(EngineError::not_found(""))
    }
    /// Checks that the exec may start (exists, container runs); the "has already run" case is reported by `exec_start`.
    pub async fn prepare_exec(&self, _exec: &str, _request: &ExecStartRequest) -> Result<StreamTicket> {
        Err(EngineError::not_found(""))
    }
    /// Starts it; `client` is none when detached. Failures of an attached start are also told to the client's stream.
    pub async fn exec_start(
        &self,
        _exec: &str,
        _request: ExecStartRequest,
        _client: Option<ClientStream>,
    ) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    pub async fn exec_inspect(&self, _exec: &str) -> Result<ExecInspect> {
        Err(EngineError::not_found(""))
    }
    pub async fn exec_resize(&self, _exec: &str, _height: u16, _width: u16) -> Result<()> {
        Err(EngineError::not_found(""))
    }
    /// Past events first when `since` is given, then live ones until `until`.
    pub async fn events(&self, _query: EventsQuery) -> Result<mpsc::Receiver<EventMessage>> {
        Err(EngineError::not_found(""))
    }
    /// Publishes an event of something that is not a container (`image`, `import`/`tag`/…).
    pub fn publish(&self, _event: EventMessage) {}
    pub async fn top(&self, _name: &str, _ps_args: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        Err(EngineError::not_found(""))
    }
    /// Which container uses this image: (short id, running).
    pub fn image_user(&self, _image_id: &str) -> Option<(String, bool)> {
        None
    }
}
