//! One start of a container: the shim, the program in it, and what undoes both when something goes wrong.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use shim::protocol::{Reply, Request, Target};

use super::{Supervisor, checks, clear_cgroup, denied_error};
use crate::error::{EngineError, ErrorKind, Result};
use crate::events::now;
use crate::failpoints;
use crate::modes::{self, Mode, NetworkMode};
use crate::ready::{self, Shim};
use crate::record::Record;
use crate::shim_client::{DEADLINE, START_DEADLINE, ShimClient, ShimError};
use crate::start::{self, Joins};
use crate::state::Event;

/// How long a shim may take to leave by itself after a start that failed.
const FAREWELL: Duration = Duration::from_millis(100);

/// A failed launch, and what `docker run` exits with.
pub(super) struct LaunchError {
    pub(super) exit_code: i32,
    pub(super) error: EngineError,
}

impl LaunchError {
    /// What the shim said, in Docker's frame: clients tell exit codes from the phrases inside.
    fn shim(error: ShimError) -> Self {
        match error {
            ShimError::Refused { exit_code, message } => {
                let kind = match exit_code {
                    126 | 127 => ErrorKind::InvalidParameter,
                    _ => ErrorKind::System,
                };
                let hint = if message.ends_with("not a directory") {
                    ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"
                } else {
                    ""
                };
                let message = format!("failed to create task for container: {message}{hint}");
                Self { exit_code, error: EngineError::new(kind, message) }
            }
            other => EngineError::system("failed to create task for container", other).into(),
        }
    }
}

impl From<EngineError> for LaunchError {
    fn from(error: EngineError) -> Self {
        Self { exit_code: 128, error }
    }
}

impl Supervisor {
    /// Runs the shim and the program, and saves that it runs. After an error nothing of it is left.
    pub(super) async fn launch(&mut self, record: &Arc<Record>) -> std::result::Result<(), LaunchError> {
        let joins = self.joins(record)?;
        let (shared, owned) = (Arc::clone(&self.shared), Arc::clone(record));
        let prepared = tokio::task::spawn_blocking(move || start::prepare(&shared, &owned, joins))
            .await
            .map_err(|error| EngineError::system("cannot prepare the start", error))??;
        failpoints::START_PREPARED.check().map_err(EngineError::from)?;
        let shim = ready::shim_for(&self.shared, &record.id).await?;
        let Shim { client, events, pid: shim_pid } = shim;
        self.shim = Some(events);
        let outcome = match self.drive(&client, shim_pid, &prepared).await {
            Ok(pid) => self.save_started(record, pid, prepared).await.map_err(LaunchError::from),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            self.undo(record, &client, shim_pid).await;
        }
        outcome
    }

    async fn save_started(&self, record: &Record, pid: i32, prepared: start::Prepared) -> Result<()> {
        failpoints::START_RUNNING.check()?;
        let mut changed = Record::clone(record);
        changed.state = record
            .state
            .next(Event::Started { pid, at: now() })
            .map_err(|denied| denied_error(record, denied))?;
        changed.stopped_by_user = false;
        changed.written_files = prepared.written_files;
        changed.boot_id.clone_from(&self.shared.host.boot_id);
        changed.health = checks::at_start(record);
        self.save(changed, false).await
    }

    /// A start went wrong half-way. A shim that refused has cleared up and leaves; one that has died, does not answer,
    /// or has started what must not run, has not.
    async fn undo(&self, record: &Record, shim: &ShimClient, shim_pid: i32) {
        if tokio::time::timeout(FAREWELL, shim.gone()).await.is_err()
            && let Some(pid) = rustix::process::Pid::from_raw(shim_pid)
        {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = tokio::time::timeout(DEADLINE, shim.gone()).await;
        }
        let cgroup = self.shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
        // It warns of what it cannot clear.
        let _ = tokio::task::spawn_blocking(move || clear_cgroup(&cgroup)).await;
    }

    /// Has a shim start the program: the pid of that.
    async fn drive(
        &self,
        client: &Arc<ShimClient>,
        shim_pid: i32,
        prepared: &start::Prepared,
    ) -> std::result::Result<i32, LaunchError> {
        failpoints::START_SHIM.check().map_err(EngineError::from)?;
        // All at once: the shim answers in order, and nothing has to be done between the steps.
        let hello = client
            .send(&Request::Hello { major: shim::protocol::MAJOR, minor: shim::protocol::MINOR }, &[])
            .await
            .map_err(LaunchError::shim)?;
        let created =
            client.send(&Request::Create, &[prepared.plan.as_fd()]).await.map_err(LaunchError::shim)?;
        for waiting in self.container.connect(Arc::clone(client), shim_pid) {
            let request = Request::Attach { target: Target::Init, attach: waiting.attach };
            // One client's trouble is not the container's.
            let _ = client.send(&request, &[waiting.socket.as_fd()]).await;
        }
        // A shim that could not create has ended by now: its answer to that says why, not this.
        let started = client.send(&Request::Start, &[]).await;
        failpoints::START_ASKED.check().map_err(EngineError::from)?;
        hello.answer(START_DEADLINE).await.map_err(LaunchError::shim)?;
        let (reply, _) = created.answer(START_DEADLINE).await.map_err(LaunchError::shim)?;
        let Reply::Created { pid } = reply else {
            return Err(
                EngineError::system("cannot start the container", "the shim answered nonsense").into()
            );
        };
        if let Some(pid) = rustix::process::Pid::from_raw(pid)
            && let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        {
            self.container.set_init(pidfd);
        }
        started.map_err(LaunchError::shim)?.answer(START_DEADLINE).await.map_err(LaunchError::shim)?;
        Ok(pid)
    }

    /// Host pids of the containers whose namespaces this one joins.
    fn joins(&self, record: &Record) -> Result<Joins> {
        let pid_of = |reference: &str, what: &str| -> Result<Option<i32>> {
            let container = self.shared.registry.find(reference)?;
            let run = container.record().state.run().map(|run| run.pid);
            run.map(Some).ok_or_else(|| {
                EngineError::conflict(format!(
                    "cannot join {what} of a non running container: {}",
                    container.id
                ))
            })
        };
        let host = &record.host_config;
        Ok(Joins {
            pid: match modes::pid(&host.pid_mode)? {
                Mode::Container(name) => pid_of(name, "PID")?,
                Mode::Private | Mode::Host => None,
            },
            ipc: match modes::ipc(&host.ipc_mode)? {
                Mode::Container(name) => {
                    self.check_shareable(name)?;
                    pid_of(name, "IPC")?
                }
                Mode::Private | Mode::Host => None,
            },
            network: match modes::network(&host.network_mode)? {
                NetworkMode::Container(name) => pid_of(name, "network namespace")?,
                NetworkMode::None | NetworkMode::Default | NetworkMode::Host => None,
            },
        })
    }

    /// A container gives its IPC namespace away only when it says so.
    fn check_shareable(&self, reference: &str) -> Result<()> {
        let donor = self.shared.registry.find(reference)?;
        if modes::is_shareable(&donor.record().host_config.ipc_mode) {
            return Ok(());
        }
        Err(EngineError::invalid(format!(
            "failed to join IPC namespace: container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
            donor.id
        )))
    }
}
