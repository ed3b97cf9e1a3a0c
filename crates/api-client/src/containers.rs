//! Calls below `/containers`.

use api_types::container::{
    CreateRequest, CreateResponse, Inspect, Summary, TopResponse, UpdateRequest, UpdateResponse, WaitResponse,
};
use bytes::Bytes;

use crate::error::ClientError;
use crate::hijack::Hijacked;
use crate::query::{Filters, Query, escape_path};
use crate::transport::{BodyStream, Client, Request};

/// Which containers to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Stopped ones too.
    pub all: bool,
    /// The last so many, of any state; 0 or less: no limit.
    pub limit: i64,
    /// Count the sizes.
    pub size: bool,
    /// Only these.
    pub filters: Filters,
}

/// What to attach to.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// Send input.
    pub stdin: bool,
    /// Get the output.
    pub stdout: bool,
    /// Get the errors.
    pub stderr: bool,
    /// Detach key sequence; empty: the engine's default.
    pub detach_keys: String,
}

/// Which lines of a log to get, and how.
#[derive(Debug, Clone, Default)]
pub struct LogsOptions {
    /// Wait for more.
    pub follow: bool,
    /// From this time on.
    pub since: String,
    /// Up to this time.
    pub until: String,
    /// Put its time before each line.
    pub timestamps: bool,
    /// The last so many; `all`.
    pub tail: String,
    /// Put the log driver's attributes before each line.
    pub details: bool,
}

/// How to remove a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Its anonymous volumes too.
    pub volumes: bool,
    /// Only the link of that name.
    pub link: bool,
    /// Kill it first if it runs.
    pub force: bool,
}

/// When a wait ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitCondition {
    /// When the container does not run; at once if it does not now.
    NotRunning,
    /// When it stops the next time.
    NextExit,
    /// When it is gone.
    Removed,
}

impl WaitCondition {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not-running",
            Self::NextExit => "next-exit",
            Self::Removed => "removed",
        }
    }
}

/// A wait that the engine has noted.
#[derive(Debug)]
pub struct Wait(BodyStream);

impl Wait {
    /// Waits for the end.
    pub async fn result(self) -> Result<WaitResponse, ClientError> {
        self.0.json().await
    }
}

fn container(name: &str, rest: &str) -> String {
    format!("/containers/{}{rest}", escape_path(name))
}

impl Client {
    /// Creates a container. Empty name and platform mean none.
    pub async fn create_container(
        &self,
        name: &str,
        platform: &str,
        body: &CreateRequest,
    ) -> Result<CreateResponse, ClientError> {
        let query = Query::new().with_text("name", name).with_text("platform", platform);
        self.fetch(Request::post("/containers/create").query(query).json(body)).await
    }

    /// Starts a container.
    pub async fn start_container(&self, name: &str) -> Result<(), ClientError> {
        self.run(Request::post(container(name, "/start"))).await
    }

    /// Stops a container: its stop signal, then SIGKILL. Empty signal and no seconds mean the container's own.
    pub async fn stop_container(
        &self,
        name: &str,
        signal: &str,
        seconds: Option<i64>,
    ) -> Result<(), ClientError> {
        let query = Query::new().with_text("signal", signal).with_number("t", seconds);
        self.run(Request::post(container(name, "/stop")).query(query)).await
    }

    /// Sends a signal; empty: SIGKILL.
    pub async fn kill_container(&self, name: &str, signal: &str) -> Result<(), ClientError> {
        let query = Query::new().with_text("signal", signal);
        self.run(Request::post(container(name, "/kill")).query(query)).await
    }

    /// Stops a container and starts it again. Empty signal and no seconds mean the container's own.
    pub async fn restart_container(
        &self,
        name: &str,
        signal: &str,
        seconds: Option<i64>,
    ) -> Result<(), ClientError> {
        let query = Query::new().with_text("signal", signal).with_number("t", seconds);
        self.run(Request::post(container(name, "/restart")).query(query)).await
    }

    /// Stops the processes of a container where they are.
    pub async fn pause_container(&self, name: &str) -> Result<(), ClientError> {
        self.run(Request::post(container(name, "/pause"))).await
    }

    /// Lets the processes of a paused container go on.
    pub async fn unpause_container(&self, name: &str) -> Result<(), ClientError> {
        self.run(Request::post(container(name, "/unpause"))).await
    }

    /// Gives a container another name.
    pub async fn rename_container(&self, name: &str, new: &str) -> Result<(), ClientError> {
        let query = Query::new().with("name", new);
        self.run(Request::post(container(name, "/rename")).query(query)).await
    }

    /// The processes of a container; `arguments` are those of `ps`, empty: the engine's default.
    pub async fn top_container(&self, name: &str, arguments: &str) -> Result<TopResponse, ClientError> {
        let query = Query::new().with_text("ps_args", arguments);
        self.fetch(Request::get(container(name, "/top")).query(query)).await
    }

    /// Changes limits or the restart policy; what the engine has to say about it.
    pub async fn update_container(
        &self,
        name: &str,
        body: &UpdateRequest,
    ) -> Result<Vec<String>, ClientError> {
        let answer: UpdateResponse = self.fetch(Request::post(container(name, "/update")).json(body)).await?;
        Ok(answer.warnings.unwrap_or_default())
    }

    /// Removes a container.
    pub async fn remove_container(&self, name: &str, options: RemoveOptions) -> Result<(), ClientError> {
        let query = Query::new().with_flag("v", options.volumes).with_flag("link", options.link);
        self.run(Request::delete(container(name, "")).query(query.with_flag("force", options.force))).await
    }

    /// Asks to be told when the condition holds; returns as soon as the engine has noted it.
    pub async fn wait_container(&self, name: &str, condition: WaitCondition) -> Result<Wait, ClientError> {
        let query = Query::new().with("condition", condition.as_str());
        let answer = self.send(Request::post(container(name, "/wait")).query(query)).await?;
        Ok(Wait(answer.into_stream()))
    }

    /// Lists containers.
    pub async fn list_containers(&self, options: &ListOptions) -> Result<Vec<Summary>, ClientError> {
        let query = Query::new()
            .with_flag("all", options.all)
            .with_number("limit", (options.limit > 0).then_some(options.limit))
            .with_flag("size", options.size)
            .with_filters(&options.filters);
        self.fetch(Request::get("/containers/json").query(query)).await
    }

    /// Describes a container.
    pub async fn inspect_container(&self, name: &str) -> Result<Inspect, ClientError> {
        self.fetch(Request::get(container(name, "/json"))).await
    }

    /// Describes a container; the document as it came.
    pub async fn inspect_container_raw(&self, name: &str, size: bool) -> Result<Bytes, ClientError> {
        let query = Query::new().with_flag("size", size);
        self.fetch_bytes(Request::get(container(name, "/json")).query(query)).await
    }

    /// Attaches to a container's streams.
    pub async fn attach_container(
        &self,
        name: &str,
        options: &AttachOptions,
    ) -> Result<Hijacked, ClientError> {
        let query = Query::new()
            .with_text("detachKeys", &options.detach_keys)
            .with_flag("stream", true)
            .with_flag("stdin", options.stdin)
            .with_flag("stdout", options.stdout)
            .with_flag("stderr", options.stderr);
        self.hijack(Request::post(container(name, "/attach")).query(query)).await
    }

    /// Reads a container's log.
    pub async fn container_logs(&self, name: &str, options: &LogsOptions) -> Result<BodyStream, ClientError> {
        let query = Query::new()
            .with_flag("stdout", true)
            .with_flag("stderr", true)
            .with_text("since", &options.since)
            .with_text("until", &options.until)
            .with_flag("timestamps", options.timestamps)
            .with_flag("details", options.details)
            .with_flag("follow", options.follow)
            .with_text("tail", &options.tail);
        let answer = self.send(Request::get(container(name, "/logs")).query(query)).await?;
        Ok(answer.into_stream())
    }

    /// What a container uses: a message every second, or one.
    pub async fn container_stats(&self, name: &str, stream: bool) -> Result<BodyStream, ClientError> {
        let query = Query::new().with("stream", if stream { "1" } else { "0" });
        let answer = self.send(Request::get(container(name, "/stats")).query(query)).await?;
        Ok(answer.into_stream())
    }

    /// Tells a container's terminal its size.
    pub async fn resize_container(&self, name: &str, rows: u16, columns: u16) -> Result<(), ClientError> {
        self.run(Request::post(container(name, "/resize")).query(size_query(rows, columns))).await
    }
}

pub(crate) fn size_query(rows: u16, columns: u16) -> Query {
    Query::new().with("h", &rows.to_string()).with("w", &columns.to_string())
}
