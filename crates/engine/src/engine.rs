//! Everything the API can ask for.

use std::sync::Arc;

use api_types::container::{CreateRequest, CreateResponse, Inspect, Summary, UpdateRequest};
use api_types::exec::{ExecCreateRequest, ExecInspect, ExecStartRequest};
use api_types::stats::Stats;
use api_types::system::EventMessage;
use shim::protocol::{Attach, Framing, Request, Target};
use tokio::sync::{mpsc, oneshot};

use crate::attach;
use crate::commit;
use crate::container::{Command, Container};
use crate::copy;
use crate::create;
use crate::detach_keys;
use crate::error::{EngineError, ErrorKind, Result};
use crate::events::{self, Events, event};
use crate::exec;
use crate::export;
use crate::failpoints;
use crate::host::Host;
use crate::inspect;
use crate::layout::Layout;
use crate::lifecycle;
use crate::list;
use crate::logs;
use crate::names;
use crate::params::{
    AttachParams, ClientStream, CommitRequest, CopyOptions, EngineConfig, EventsQuery, ListQuery, LogEntry,
    LogsQuery, PathStat, PruneFilter, RemoveOptions, StatsMode, StreamTicket, WaitCondition,
};
use crate::pipe::ByteStream;
use crate::prune;
use crate::ready::{self, ReadyShims};
use crate::reconcile;
use crate::registry::Registry;
use crate::shared::{Filters, Shared, private_dir};
use crate::state::{State, WaitEnd};
use crate::stats;
use crate::store::Store;
use crate::supervise::container_event;
use crate::top;
use crate::update::Change;

/// A handle of the engine; clones share one engine.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// How many containers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub all: usize,
    /// Running.
    pub running: usize,
    /// Paused.
    pub paused: usize,
    /// Neither.
    pub stopped: usize,
}

impl Engine {
    /// Opens the engine on its directories, and takes over what an earlier one left: running containers go on.
    ///
    /// The caller makes sure that there is one engine per data root.
    pub async fn open(config: EngineConfig) -> Result<Self> {
        let layout = Layout::new(&config.data_root, &config.exec_root, config.cgroup_root.as_deref());
        let shared = tokio::task::spawn_blocking(move || open_stores(config, layout))
            .await
            .map_err(|error| EngineError::system("cannot open the engine", error))??;
        let shared = Arc::new(shared);
        reconcile::reconcile(&shared).await?;
        ready::refill(&shared);
        Ok(Self { shared })
    }

    /// Removes what the engine itself has in the kernel, its cgroups, unless a container still runs in them: then
    /// they stay for the next engine.
    pub async fn close(&self) {
        let Counts { running: 0, paused: 0, .. } = self.counts() else { return };
        let path = self.shared.layout.cgroup_root().to_owned();
        let removed = blocking(move || {
            runtime::cgroup::Cgroup::open(&path)
                .remove()
                .map_err(|error| EngineError::system(format!("cannot remove cgroup {path}"), error))
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "something is left of this engine");
        }
    }

    /// The image store. Its calls block: use `spawn_blocking`.
    pub fn images(&self) -> &images::Images {
        &self.shared.images
    }

    /// What this host can do.
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// How the engine was opened.
    pub fn config(&self) -> &EngineConfig {
        &self.shared.config
    }

    /// How many containers there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for container in self.shared.registry.all() {
            counts.all += 1;
            match container.record().state {
                State::Running(_) | State::Restarting(_) => counts.running += 1,
                State::Paused(_) => counts.paused += 1,
                State::Created { .. } | State::Exited(_) => counts.stopped += 1,
            }
        }
        counts
    }

    /// Which container uses an image; a running one is preferred. Cheap: callable from within the image store.
    pub fn image_user(&self, id: &images::ImageId) -> Option<images::ImageUser> {
        self.shared.image_user(id)
    }

    /// Creates a container.
    pub async fn create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        request: CreateRequest,
    ) -> Result<CreateResponse> {
        create::create(&self.shared, name, platform, request).await
    }

    /// Lists containers, the newest first.
    pub async fn list(&self, query: ListQuery) -> Result<Vec<Summary>> {
        if query.size {
            let shared = Arc::clone(&self.shared);
            return blocking(move || list::list(&shared, &query)).await;
        }
        list::list(&self.shared, &query)
    }

    /// Everything about one container.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<Inspect> {
        let record = self.find(name)?.record();
        if size {
            let shared = Arc::clone(&self.shared);
            return blocking(move || inspect::inspect(&shared, &record, true)).await;
        }
        inspect::inspect(&self.shared, &record, false)
    }

    /// Starts a container. Already running: [`ErrorKind::NotModified`].
    pub async fn start(&self, name: &str) -> Result<()> {
        self.find(name)?.ask(Command::Start).await
    }

    /// Stops a container. Already stopped: [`ErrorKind::NotModified`]. `timeout` is in seconds; negative: wait for
    /// ever; none: the container's own.
    pub async fn stop(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        lifecycle::stop(&self.shared, &self.find(name)?, name, signal, timeout).await
    }

    /// Stops it if it runs, and starts it.
    pub async fn restart(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let container = self.find(name)?;
        container.keep(true);
        let restarted = async {
            match lifecycle::stop(&self.shared, &container, name, signal, timeout).await {
                Err(error) if error.kind() != ErrorKind::NotModified => return Err(error),
                _ => {}
            }
            failpoints::RESTART_STOPPED.pass();
            container.ask(Command::Start).await
        };
        let restarted = restarted.await;
        container.keep(false);
        restarted?;
        let event = container_event(&container.record(), "restart", &[]);
        self.shared.events.publish(event);
        Ok(())
    }

    /// Sends a signal; empty: SIGKILL.
    pub async fn kill(&self, name: &str, signal: &str) -> Result<()> {
        lifecycle::kill(&self.shared, name, signal).await
    }

    /// Stops its processes by the freezer.
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.find(name)?.ask(Command::Pause).await
    }

    /// Lets them run again.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.find(name)?.ask(Command::Unpause).await
    }

    /// Gives it another name.
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<()> {
        let container = self.find(name)?;
        if new_name.is_empty() {
            return Err(EngineError::invalid("Neither old nor new names may be empty"));
        }
        let frame = |error: EngineError| {
            EngineError::new(error.kind(), format!("Error when allocating new name: {error}"))
        };
        let slashed = format!("/{}", new_name.strip_prefix('/').unwrap_or(new_name));
        let new_name = names::check(&slashed).map_err(frame)?.to_owned();
        let old = container.record().name.clone();
        if old == new_name {
            return Err(EngineError::invalid("Renaming a container with the same name as its current name"));
        }
        self.shared.registry.reserve(&new_name, &container.id).map_err(frame)?;
        let outcome = container.ask(|reply| Command::Rename(new_name.clone(), reply)).await;
        self.shared.registry.release(if outcome.is_ok() { &old } else { &new_name });
        outcome
    }

    /// Changes its limits, at once if it runs, and its restart policy; says what could not be granted.
    pub async fn update(&self, name: &str, request: UpdateRequest) -> Result<Vec<String>> {
        let (change, warnings) = Change::check(request, &self.shared.host)?;
        self.find(name)?.ask(|reply| Command::Update(Box::new(change), reply)).await?;
        Ok(warnings)
    }

    /// Removes it.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        lifecycle::remove(&self.shared, &self.find(name)?, options).await
    }

    /// Removes the containers that do not run and that `filter` lets through; their ids, and the bytes they had.
    pub async fn prune(&self, filter: &PruneFilter) -> Result<(Vec<String>, u64)> {
        prune::containers(&self.shared, filter).await
    }

    /// Registers the wait before it returns, so that headers can be sent; the receiver gives the end once.
    pub async fn wait(
        &self,
        name: &str,
        condition: WaitCondition,
    ) -> Result<oneshot::Receiver<Result<WaitEnd>>> {
        Ok(lifecycle::wait(&*self.find(name)?, condition))
    }

    /// Sets the size of its terminal.
    pub async fn resize(&self, name: &str, height: u16, width: u16) -> Result<()> {
        let container = self.find(name)?;
        let shim = container
            .shim()
            .ok_or_else(|| EngineError::conflict(format!("container {} is not running", container.id)))?;
        // Clients ask without knowing whether there is a terminal; Docker has nothing against it.
        if container.record().config.tty {
            shim.request(&Request::Resize { target: Target::Init, height, width }, &[])
                .await
                .map_err(|error| EngineError::system("cannot resize the terminal", error))?;
        }
        let size = [("height", height.to_string()), ("width", width.to_string())];
        self.shared.events.publish(container_event(&container.record(), "resize", &size));
        Ok(())
    }

    /// Checks that an attach is possible, tells that there is one, and says how output will be framed.
    ///
    /// It is told before the client hears of it, because what the client does next is often the start.
    pub async fn prepare_attach(&self, name: &str, params: &AttachParams) -> Result<StreamTicket> {
        if let Some(keys) = params.detach_keys.as_deref().filter(|keys| !keys.is_empty()) {
            detach_keys::parse(keys)
                .map_err(|_| EngineError::invalid(format!("Invalid detach keys ({keys}) provided")))?;
        }
        let container = self.find(name)?;
        let record = container.record();
        match record.state {
            State::Paused(_) => {
                return Err(EngineError::conflict(format!(
                    "container {name} is paused, unpause the container before attach"
                )));
            }
            State::Restarting(_) => {
                return Err(EngineError::conflict(format!(
                    "container {name} is restarting, wait until the container is running"
                )));
            }
            State::Created { .. } | State::Running(_) | State::Exited(_) => {}
        }
        container.check_shim().await?;
        self.shared.events.publish(container_event(&record, "attach", &[]));
        Ok(StreamTicket { container: record.id.clone(), exec: None, framing: framing(record.config.tty) })
    }

    /// Hands the client's stream over, after the response's head was written to it.
    pub async fn attach(
        &self,
        ticket: StreamTicket,
        params: AttachParams,
        client: ClientStream,
    ) -> Result<()> {
        let container = self.find(&ticket.container)?;
        let record = container.record();
        let client = if params.logs {
            attach::replay(&self.shared, &container, &params, client).await?
        } else {
            client
        };
        if !params.stream {
            return Ok(());
        }
        let wanted = Attach {
            stdin: params.stdin && record.config.open_stdin,
            stdout: params.stdout,
            stderr: params.stderr,
            framing: framing(record.config.tty),
            detach_keys: detach_keys::for_client(params.detach_keys.as_deref(), record.config.tty)?,
            early_input: client.early_input,
        };
        container.attach(wanted, client.socket).await
    }

    /// (the container has a terminal, its entries). The stream ends with the log, or with the container's run when
    /// following.
    pub async fn logs(&self, name: &str, query: LogsQuery) -> Result<(bool, mpsc::Receiver<LogEntry>)> {
        let container = self.find(name)?;
        if !query.stdout && !query.stderr {
            return Err(EngineError::invalid("Bad parameters: you must choose at least one stream"));
        }
        let entries = logs::read(&self.shared, &container, query)?;
        Ok((container.record().config.tty, entries))
    }

    /// Titles and rows of the host's `ps`, for the container's processes.
    pub async fn top(&self, name: &str, arguments: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        let (container, shared, arguments) =
            (self.find(name)?, Arc::clone(&self.shared), arguments.to_owned());
        let record = container.record();
        let table = blocking(move || top::top(&shared, &container, &arguments)).await?;
        self.shared.events.publish(container_event(&record, "top", &[]));
        Ok(table)
    }

    /// What is at a path of a container.
    pub async fn stat_path(&self, name: &str, path: &str) -> Result<PathStat> {
        copy::stat(&self.shared, &self.find(name)?, name, path).await
    }

    /// The files at a path as an archive.
    pub async fn read_path(&self, name: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        copy::read(&self.shared, &self.find(name)?, name, path).await
    }

    /// Extracts an archive into the directory at a path.
    pub async fn write_path(
        &self,
        name: &str,
        path: &str,
        options: CopyOptions,
        archive: ByteStream,
    ) -> Result<()> {
        copy::write(&self.shared, &self.find(name)?, name, path, options, archive).await
    }

    /// The container's root file system as an archive.
    pub async fn export(&self, name: &str) -> Result<ByteStream> {
        export::export(&self.shared, &self.find(name)?).await
    }

    /// Makes an image of its changes; the image's id.
    pub async fn commit(&self, name: &str, request: CommitRequest) -> Result<String> {
        commit::commit(&self.shared, self.find(name)?, request).await
    }

    /// What differs from the container's image, in the order of paths.
    pub async fn changes(&self, name: &str) -> Result<Vec<snapshots::changes::Change>> {
        export::changes(&self.shared, &self.find(name)?).await
    }

    /// What a container uses, until the receiver is dropped or the container is removed.
    pub async fn stats(&self, name: &str, mode: StatsMode) -> Result<mpsc::Receiver<Stats>> {
        Ok(stats::watch(&self.shared, self.find(name)?, mode))
    }

    /// Creates an exec; its id.
    pub async fn exec_create(&self, container: &str, request: ExecCreateRequest) -> Result<String> {
        exec::create(&self.shared, container, request).await
    }

    /// Checks that the exec may start (it exists, its container runs). That it has already run is reported by
    /// [`Self::exec_start`].
    pub async fn prepare_exec(&self, exec: &str, request: &ExecStartRequest) -> Result<StreamTicket> {
        let ticket = exec::prepare(&self.shared, exec, request)?;
        self.find(&ticket.container)?.check_shim().await?;
        Ok(ticket)
    }

    /// Starts it; `client` is none when detached. Failures of an attached start are also told to the client's
    /// stream.
    pub async fn exec_start(
        &self,
        exec: &str,
        request: ExecStartRequest,
        client: Option<ClientStream>,
    ) -> Result<()> {
        exec::start(&self.shared, exec, request, client).await
    }

    /// How an exec stands.
    pub async fn exec_inspect(&self, exec: &str) -> Result<ExecInspect> {
        exec::inspect(&self.shared, exec).await
    }

    /// Sets the size of an exec's terminal.
    pub async fn exec_resize(&self, exec: &str, height: u16, width: u16) -> Result<()> {
        exec::resize(&self.shared, exec, height, width).await
    }

    /// Past events first when `since` is given, then live ones until `until`.
    pub fn events(&self, query: EventsQuery) -> mpsc::Receiver<EventMessage> {
        self.shared.events.subscribe(query)
    }

    /// Number of clients that listen to events.
    pub fn event_listeners(&self) -> usize {
        self.shared.events.listeners()
    }

    /// Publishes an event about an image, `import`, `load`, `tag`, `untag`, `delete`, or about all of them, `prune`.
    pub fn publish_image_event(
        &self,
        action: &str,
        id: &str,
        attributes: std::collections::BTreeMap<String, String>,
    ) {
        self.shared.events.publish(event("image", action, id, attributes));
    }

    /// Publishes that what nobody uses of a kind (`image`, `volume`) has been removed, and how many bytes that gave
    /// back.
    pub fn publish_prune_event(&self, kind: &str, reclaimed: u64) {
        self.shared.events.publish(events::pruned(kind, reclaimed));
    }

    /// Publishes an event about the daemon, `reload`.
    pub fn publish_daemon_event(
        &self,
        action: &str,
        id: &str,
        attributes: std::collections::BTreeMap<String, String>,
    ) {
        self.shared.events.publish(event("daemon", action, id, attributes));
    }

    fn find(&self, reference: &str) -> Result<Arc<Container>> {
        self.shared.registry.find(reference)
    }
}

fn framing(tty: bool) -> Framing {
    if tty { Framing::Raw } else { Framing::Multiplexed }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::system("the operation failed", error))
        .and_then(|outcome| outcome)
}

fn open_stores(config: EngineConfig, layout: Layout) -> Result<Shared> {
    for dir in [layout.data_root(), layout.exec_root()] {
        private_dir(dir)?;
    }
    private_dir(&layout.containers())?;
    private_dir(&layout.run_dirs())?;
    let host = Host::probe()?;
    let database = db::Database::open(&layout.database())
        .map_err(|error| EngineError::system("cannot open the database", error))?;
    let settings = snapshots::settings::Settings {
        max_unpacked: config.max_layer_size,
        ..snapshots::settings::Settings::default()
    };
    let images = images::Images::open_with(layout.data_root(), database.clone(), settings)
        .map_err(|error| EngineError::system("cannot open the image store", error))?;
    let shim = shim::spawn::ShimExecutable::open(&config.shim).map_err(|error| {
        EngineError::system(format!("cannot open the shim {}", config.shim.display()), error)
    })?;
    make_shim_cgroup(&layout);
    Ok(Shared {
        store: Store::open(database)?,
        images,
        host,
        layout,
        events: Events::default(),
        registry: Registry::default(),
        execs: exec::Execs::default(),
        shim,
        filters: Filters::default(),
        ready: ReadyShims::default(),
        rest: crate::rest::Rest::default(),
        config,
    })
}

/// Shims live apart from containers and from the daemon. Without the cgroup they stay where the daemon is.
fn make_shim_cgroup(layout: &Layout) {
    // Shims of an earlier daemon are still in it.
    if runtime::cgroup::Cgroup::open(&layout.shim_cgroup()).exists() {
        return;
    }
    let made = runtime::cgroup::Cgroup::create(&layout.shim_cgroup(), &oci::runtime::Resources::default());
    if let Err(error) = made {
        tracing::warn!(%error, "cannot make the shims' cgroup");
    }
}
