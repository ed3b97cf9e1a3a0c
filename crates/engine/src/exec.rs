//! Exec: one more process in a running container.
//!
//! An exec is known here from its creation until its container is removed or this engine ends; what is needed to
//! start it after the engine was killed lies beside the shim's socket, on a tmpfs, as long as the container runs.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_types::bytes::Bytes;
use api_types::exec::{ExecCreateRequest, ExecInspect, ExecStartRequest, ProcessConfig};
use oci::runtime::{ConsoleSize, Process};
use serde::{Deserialize, Serialize};
use shim::plan::ExecPlan;
use shim::protocol::{Attach, Framing, ProcessState, Reply, Request, Target};
use tokio::sync::Notify;

use crate::capabilities;
use crate::container::Container;
use crate::detach_keys;
use crate::error::{EngineError, ErrorKind, Result};
use crate::failpoints;
use crate::merge::environment;
use crate::names;
use crate::params::{ClientStream, StreamTicket};
use crate::record::Record;
use crate::shared::Shared;
use crate::shim_client::{START_DEADLINE, ShimError};
use crate::spec;
use crate::state::State;
use crate::supervise::container_event;

/// How long an inspect waits for a start under way.
const SETTLE_DEADLINE: Duration = Duration::from_secs(1);

/// How long a resize waits for the start.
const BEGIN_DEADLINE: Duration = Duration::from_secs(10);

/// One exec.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Exec {
    id: String,
    container: String,
    request: ExecCreateRequest,
    #[serde(default)]
    progress: Progress,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Progress {
    #[default]
    Created,
    Starting,
    Running {
        pid: i32,
    },
    Ended {
        code: i32,
    },
}

/// All execs.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    all: Mutex<HashMap<String, Exec>>,
    /// Somebody's progress has changed.
    changed: Notify,
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Exec>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Result<Exec> {
        self.lock()
            .get(id)
            .cloned()
            .ok_or_else(|| EngineError::not_found(format!("No such exec instance: {id}")))
    }

    fn set(&self, id: &str, progress: Progress) {
        if let Some(exec) = self.lock().get_mut(id) {
            exec.progress = progress;
        }
        self.changed.notify_waiters();
    }

    /// An exec once a start under way has come to something, or after a second as it is then.
    ///
    /// A client hears from the shim that its program could not be started, and asks for the exit code before the engine
    /// has heard the same.
    async fn settled(&self, id: &str) -> Result<Exec> {
        self.once(id, SETTLE_DEADLINE, |progress| progress != Progress::Starting).await
    }

    /// An exec once it is over, or after a second as it is then.
    async fn over(&self, id: &str) -> Result<Exec> {
        self.once(id, SETTLE_DEADLINE, |progress| matches!(progress, Progress::Ended { .. })).await
    }

    /// An exec once its progress is as `wanted`, or after the patience as it is then.
    async fn once(&self, id: &str, patience: Duration, wanted: impl Fn(Progress) -> bool) -> Result<Exec> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                match self.get(id) {
                    Ok(exec) if !wanted(exec.progress) => changed.await,
                    other => return other,
                }
            }
        };
        tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| self.get(id))
    }

    /// It was started. It may have ended already, which the shim has told by then.
    fn set_running(&self, id: &str, pid: i32) {
        let mut execs = self.lock();
        if let Some(exec) = execs.get_mut(id).filter(|exec| exec.progress == Progress::Starting) {
            exec.progress = Progress::Running { pid };
        }
        drop(execs);
        self.changed.notify_waiters();
    }

    /// A shim reports an end.
    pub(crate) fn ended(&self, id: &str, code: i32) {
        self.set(id, Progress::Ended { code });
    }

    /// Forgets one.
    pub(crate) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Everything in a container that has ended is over; what has no code of its own was killed.
    pub(crate) fn container_ended(&self, container: &str) {
        for exec in self.lock().values_mut().filter(|exec| exec.container == container) {
            if matches!(exec.progress, Progress::Running { .. } | Progress::Starting) {
                exec.progress = Progress::Ended { code: 137 };
            }
        }
        self.changed.notify_waiters();
    }

    /// Ids of a container's execs that run.
    pub(crate) fn running(&self, container: &str) -> Option<Vec<String>> {
        let mut ids: Vec<String> = self
            .lock()
            .values()
            .filter(|exec| exec.container == container && matches!(exec.progress, Progress::Running { .. }))
            .map(|exec| exec.id.clone())
            .collect();
        ids.sort();
        (!ids.is_empty()).then_some(ids)
    }

    /// Forgets a removed container's execs.
    pub(crate) fn forget(&self, container: &str) {
        self.lock().retain(|_, exec| exec.container != container);
    }

    /// Takes over what an earlier engine left: what the shim knows, completed from the files.
    pub(crate) fn adopt(
        &self,
        container: &str,
        directory: &std::path::Path,
        known: &[(String, ProcessState)],
    ) {
        let mut execs = self.lock();
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let exec = std::fs::read(entry.path())
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Exec>(&bytes).ok());
            if let Some(exec) = exec.filter(|exec| exec.container == container) {
                execs.insert(exec.id.clone(), exec);
            }
        }
        for (id, state) in known {
            let exec = execs.entry(id.clone()).or_insert_with(|| Exec {
                id: id.clone(),
                container: container.to_owned(),
                request: ExecCreateRequest::default(),
                progress: Progress::Created,
            });
            exec.progress = progress_of(state);
        }
    }
}

fn progress_of(state: &ProcessState) -> Progress {
    match state {
        ProcessState::Created { pid } | ProcessState::Running { pid } => Progress::Running { pid: *pid },
        ProcessState::Exited(exit) => Progress::Ended { code: exit.code },
    }
}

/// Directory of the execs' files of a container.
pub(crate) fn directory(shared: &Shared, container: &str) -> PathBuf {
    shared.layout.run_dir(container).join("execs")
}

fn running(container: &Container) -> Result<Arc<Record>> {
    let record = container.record();
    match record.state {
        State::Running(_) => Ok(record),
        State::Paused(_) => Err(EngineError::conflict(format!(
            "container {} is paused, unpause the container before exec",
            record.id
        ))),
        State::Restarting(_) => Err(EngineError::conflict(format!(
            "container {} is restarting, wait until the container is running",
            record.id
        ))),
        State::Created { .. } | State::Exited(_) => {
            Err(EngineError::conflict(format!("container {} is not running", record.id)))
        }
    }
}

/// Creates an exec; its id.
pub(crate) async fn create(
    shared: &Arc<Shared>,
    reference: &str,
    request: ExecCreateRequest,
) -> Result<String> {
    if request.cmd.is_empty() || request.cmd[0].is_empty() {
        return Err(EngineError::invalid("No exec command specified"));
    }
    let container = shared.registry.find(reference)?;
    if matches!(container.record().state, State::Paused(_)) {
        return Err(EngineError::conflict(format!(
            "Container {reference} is paused, unpause the container before exec"
        )));
    }
    let record = running(&container)?;
    if !request.detach_keys.is_empty() {
        detach_keys::parse(&request.detach_keys)?;
    }
    let exec =
        Exec { id: names::new_id()?, container: record.id.clone(), request, progress: Progress::Created };
    let (path, id) = (directory(shared, &record.id), exec.id.clone());
    let text =
        serde_json::to_vec(&exec).map_err(|error| EngineError::system("cannot save the exec", error))?;
    let request = exec.request.clone();
    shared.execs.lock().insert(id.clone(), exec);
    let file = id.clone();
    let saved = tokio::task::spawn_blocking(move || -> Result<()> {
        failpoints::EXEC_CREATED.check()?;
        crate::shared::private_dir(&path)?;
        let write = || -> std::io::Result<()> {
            use std::io::Write as _;
            std::fs::File::create(path.join(file))?.write_all(&text)
        };
        write().map_err(|error| EngineError::system("cannot save the exec", error))
    })
    .await
    .map_err(|error| EngineError::system("cannot save the exec", error))
    .and_then(|outcome| outcome);
    if saved.is_err() {
        shared.execs.remove(&id);
    }
    saved?;
    failpoints::EXEC_SAVED.pass();
    tell(shared, &record, "exec_create", &request, &id);
    Ok(id)
}

/// Creates a health check: an exec that no client starts, and that no later engine needs to know.
pub(crate) fn check(shared: &Shared, record: &Record, command: Vec<String>) -> Result<String> {
    let id = names::new_id()?;
    let request = ExecCreateRequest {
        cmd: command,
        attach_stdout: true,
        attach_stderr: true,
        ..ExecCreateRequest::default()
    };
    tell(shared, record, "exec_create", &request, &id);
    let exec = Exec { id: id.clone(), container: record.id.clone(), request, progress: Progress::Created };
    shared.execs.lock().insert(id.clone(), exec);
    Ok(id)
}

/// Starts a health check, tied to `socket`, which gets its output as it is.
pub(crate) async fn start_check(
    shared: &Shared,
    container: &Container,
    record: &Record,
    id: &str,
    socket: std::os::fd::OwnedFd,
) -> Result<()> {
    let exec = shared.execs.get(id)?;
    if exec.request.cmd.is_empty() {
        return Err(EngineError::invalid("no exec command specified"));
    }
    shared.execs.set(id, Progress::Starting);
    tell(shared, record, "exec_start", &exec.request, id);
    let plan = ExecPlan { tied: true, ..plan(shared, record, &exec.request, &ExecStartRequest::default())? };
    let attach = Attach {
        stdin: false,
        stdout: true,
        stderr: true,
        framing: Framing::Raw,
        detach_keys: Vec::new(),
        early_input: Vec::new(),
    };
    let outcome = launch_plan(container, id, &plan, Some((attach, socket.as_fd()))).await;
    match outcome {
        Ok(pid) => shared.execs.set_running(id, pid),
        Err(Failed { code, error, .. }) => {
            shared.execs.set(id, Progress::Ended { code });
            return Err(error);
        }
    }
    Ok(())
}

/// `exec_create: sh -c …`, `exec_start: sh -c …`. The program's name has a blank after it also when there are no
/// arguments.
fn tell(shared: &Shared, record: &Record, action: &str, request: &ExecCreateRequest, id: &str) {
    let (program, arguments) =
        request.cmd.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let action = format!("{action}: {program} {}", arguments.join(" "));
    shared.events.publish(container_event(record, &action, &[("execID", id.to_owned())]));
}

/// Checks that it may start, and says how its output is framed.
pub(crate) fn prepare(shared: &Shared, id: &str, request: &ExecStartRequest) -> Result<StreamTicket> {
    let exec = shared.execs.get(id)?;
    let container = shared.registry.find(&exec.container)?;
    running(&container)?;
    Ok(StreamTicket { container: exec.container, exec: Some(id.to_owned()), framing: framing(request) })
}

/// Starts it.
pub(crate) async fn start(
    shared: &Arc<Shared>,
    id: &str,
    request: ExecStartRequest,
    client: Option<ClientStream>,
) -> Result<()> {
    let exec = shared.execs.get(id)?;
    let container = shared.registry.find(&exec.container)?;
    let record = running(&container)?;
    let already = match exec.progress {
        Progress::Created => None,
        Progress::Starting | Progress::Running { .. } => Some("is already running"),
        Progress::Ended { .. } => Some("has already run"),
    };
    if let Some(already) = already {
        let error = EngineError::conflict(format!("exec command {id} {already}"));
        if let Some(client) = client {
            tell_client(client, request.tty, error.message()).await;
        }
        return Err(error);
    }
    shared.execs.set(id, Progress::Starting);
    // Before it runs: a short program's end is told as soon as the shim has seen it.
    tell(shared, &record, "exec_start", &exec.request, id);
    let outcome = launch(shared, &container, &record, &exec, &request, client.as_ref()).await;
    match outcome {
        Ok(pid) => {
            shared.execs.set_running(id, pid);
            Ok(())
        }
        Err(Failed { code, error, told }) => {
            shared.execs.set(id, Progress::Ended { code });
            if let Some(client) = client.filter(|_| !told) {
                tell_client(client, request.tty, error.message()).await;
            }
            Err(error)
        }
    }
}

async fn launch(
    shared: &Shared,
    container: &Container,
    record: &Record,
    exec: &Exec,
    request: &ExecStartRequest,
    client: Option<&ClientStream>,
) -> std::result::Result<i32, Failed> {
    let plan = plan(shared, record, &exec.request, request)?;
    let attach = match client {
        Some(client) => Some((attach_of(&exec.request, request, client)?, client.socket.as_fd())),
        None => None,
    };
    launch_plan(container, &exec.id, &plan, attach).await
}

/// An exec that could not be started.
struct Failed {
    /// What it counts as having exited with.
    code: i32,
    error: EngineError,
    /// The shim has told the client.
    told: bool,
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        Self { code: 126, error, told: false }
    }
}

/// Has the shim start it: its pid.
async fn launch_plan(
    container: &Container,
    id: &str,
    plan: &ExecPlan,
    client: Option<(Attach, BorrowedFd<'_>)>,
) -> std::result::Result<i32, Failed> {
    let system = |error: &dyn std::fmt::Display| {
        EngineError::system(format!("cannot start the exec in container {}", container.id), error)
    };
    let shim = container
        .shim()
        .ok_or_else(|| EngineError::conflict(format!("container {} is not running", container.id)))?;
    let memfd = plan.to_memfd(&[]).map_err(|error| system(&error))?;
    let mut fds = vec![memfd.as_fd()];
    let (attach, socket) = client.unzip();
    fds.extend(socket);
    failpoints::EXEC_PREPARED.check().map_err(EngineError::from)?;
    let message = Request::Exec { exec_id: id.to_owned(), attach };
    let answer = match shim.send(&message, &fds).await {
        Ok(pending) => pending.answer(START_DEADLINE.min(Duration::from_secs(30))).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok((Reply::Started { pid }, _)) => {
            failpoints::EXEC_STARTED.pass();
            Ok(pid)
        }
        Ok(_) => Err(system(&"the shim answered nonsense").into()),
        Err(ShimError::Refused { exit_code, message }) => {
            let kind =
                if matches!(exit_code, 126 | 127) { ErrorKind::InvalidParameter } else { ErrorKind::System };
            Err(Failed { code: exit_code, error: EngineError::new(kind, message), told: true })
        }
        Err(error) => Err(system(&error).into()),
    }
}

/// Framed as the start asks for, whatever the exec has: clients read what they asked for last.
fn framing(start: &ExecStartRequest) -> Framing {
    if start.tty { Framing::Raw } else { Framing::Multiplexed }
}

fn attach_of(request: &ExecCreateRequest, start: &ExecStartRequest, client: &ClientStream) -> Result<Attach> {
    Ok(Attach {
        stdin: request.attach_stdin,
        stdout: request.attach_stdout,
        // Without frames there is no way to tell the two apart.
        stderr: request.attach_stderr && !start.tty,
        framing: framing(start),
        detach_keys: detach_keys::for_client(Some(&request.detach_keys), request.tty)?,
        early_input: client.early_input.clone(),
    })
}

/// The process: the container's environment and directory, and what the request says.
fn plan(
    shared: &Shared,
    record: &Record,
    request: &ExecCreateRequest,
    start: &ExecStartRequest,
) -> Result<ExecPlan> {
    let config = &record.config;
    let hostname = shared.host_name();
    let mut base = spec::process_env(config, spec::hostname(record, &hostname));
    if request.tty && !base.iter().any(|entry| entry.starts_with("TERM=")) {
        base.push("TERM=xterm".into());
    }
    let cwd = [&request.working_dir, &config.working_dir].into_iter().find(|path| !path.is_empty());
    let size = start.console_size.or(request.console_size);
    let cells = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    let host = &record.host_config;
    let capabilities = capabilities::resolve(
        capabilities::Request {
            add: host.cap_add.as_deref().unwrap_or_default(),
            drop: host.cap_drop.as_deref().unwrap_or_default(),
            privileged: host.privileged || request.privileged,
        },
        shared.host.capabilities,
    )
    .map_err(|error| EngineError::invalid(error.to_string()))?;
    let options = crate::security::parse(host.security_opt.as_deref().unwrap_or_default())?;
    Ok(ExecPlan {
        version: 1,
        process: Process {
            terminal: request.tty,
            console_size: size
                .filter(|[height, width]| request.tty && *height > 0 && *width > 0)
                .map(|[height, width]| ConsoleSize { height: cells(height), width: cells(width) }),
            args: request.cmd.clone(),
            env: environment(base, request.env.as_deref().unwrap_or_default()),
            cwd: cwd.map_or_else(|| "/".to_owned(), String::clone),
            capabilities: Some(capabilities),
            no_new_privileges: options.no_new_privileges.unwrap_or(shared.config.defaults.no_new_privileges),
            oom_score_adj: Some(host.oom_score_adj),
            rlimits: spec::rlimits(host, &shared.config.default_ulimits, shared.host.max_files)?,
            ..Process::default()
        },
        user: if request.user.is_empty() { config.user.clone() } else { request.user.clone() },
        open_stdin: request.attach_stdin,
        privileged: request.privileged,
        // No program of its own: the shim keeps the container's.
        seccomp_flags: 0,
        tied: false,
    })
}

/// Writes an error to a client whose stream was taken over already, as Docker does.
async fn tell_client(client: ClientStream, raw: bool, message: &str) {
    let text = format!("{message}\r\n").into_bytes();
    let mut bytes = Vec::with_capacity(text.len() + 8);
    if !raw {
        bytes.extend([1, 0, 0, 0]);
        bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    bytes.extend(text);
    // A few bytes into an empty socket: this does not block, and a client that has left needs no text.
    let _ = tokio::task::spawn_blocking(move || {
        let _ = rustix::io::write(&client.socket, &bytes);
    })
    .await;
}

/// How it stands; a running one is asked of the shim, so that an end is never reported late.
pub(crate) async fn inspect(shared: &Shared, id: &str) -> Result<ExecInspect> {
    let mut exec = shared.execs.settled(id).await?;
    if matches!(exec.progress, Progress::Running { .. } | Progress::Starting) {
        match ask_shim(shared, &exec).await {
            Some(progress) => {
                exec.progress = progress;
                shared.execs.set(id, progress);
            }
            // It is on its way out with its container, whose end is about to be heard of.
            None => exec = shared.execs.over(id).await?,
        }
    }
    let (is_running, pid, exit_code) = match exec.progress {
        Progress::Created | Progress::Starting => (false, 0, None),
        Progress::Running { pid } => (true, pid, None),
        Progress::Ended { code } => (false, 0, Some(code)),
    };
    let request = exec.request;
    let keys =
        if request.detach_keys.is_empty() { Vec::new() } else { detach_keys::parse(&request.detach_keys)? };
    Ok(ExecInspect {
        id: exec.id,
        running: is_running,
        exit_code,
        process_config: ProcessConfig {
            tty: request.tty,
            entrypoint: request.cmd.first().cloned().unwrap_or_default(),
            arguments: request.cmd.iter().skip(1).cloned().collect(),
            privileged: Some(request.privileged),
            user: request.user,
        },
        open_stdin: request.attach_stdin,
        open_stderr: request.attach_stderr,
        open_stdout: request.attach_stdout,
        can_remove: false,
        container_id: exec.container,
        detach_keys: Bytes(keys),
        pid,
    })
}

/// What the shim says of an exec; nothing when it does not answer or does not know it.
async fn ask_shim(shared: &Shared, exec: &Exec) -> Option<Progress> {
    let shim = shared.registry.find(&exec.container).ok()?.shim()?;
    let Ok((Reply::Hello { execs, .. }, _)) = shim.request(&Request::State, &[]).await else { return None };
    execs.iter().find(|(known, _)| *known == exec.id).map(|(_, state)| progress_of(state))
}

/// Sets the size of its terminal. A client does so as soon as it has asked for the start, so that is waited for.
pub(crate) async fn resize(shared: &Shared, id: &str, height: u16, width: u16) -> Result<()> {
    let exec = shared.execs.get(id)?;
    let container = shared.registry.find(&exec.container)?;
    running(&container)?;
    let begun = |progress| !matches!(progress, Progress::Created | Progress::Starting);
    let exec = shared.execs.once(id, BEGIN_DEADLINE, begun).await?;
    match exec.progress {
        Progress::Created | Progress::Starting => {
            return Err(EngineError::new(ErrorKind::System, "timeout waiting for exec session ready"));
        }
        Progress::Ended { .. } => {
            return Err(EngineError::not_found(format!("NotFound: process does not exist {id}: not found")));
        }
        // There is no terminal whose size could matter.
        Progress::Running { .. } if !exec.request.tty => return Ok(()),
        Progress::Running { .. } => {}
    }
    let shim = container
        .shim()
        .ok_or_else(|| EngineError::conflict(format!("container {} is not running", exec.container)))?;
    shim.request(&Request::Resize { target: Target::Exec(id.to_owned()), height, width }, &[])
        .await
        .map(|_| ())
        .map_err(|error| EngineError::system(format!("cannot resize the terminal of exec {id}"), error))
}
