//! What an engine does first: makes the records, the shims and what lies on disk agree.
//!
//! A row says that a container ran. Then its shim knows how it stands; or has ended and left an exit record; or was
//! killed, and what it left is cleared away. What has no row is swept: directories, cgroups, shims.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use runtime::cgroup::Cgroup;
use shim::protocol::{Exit, ProcessState, Reply};
use tokio::sync::mpsc;

use crate::container::{Command, Container};
use crate::error::{EngineError, Result};
use crate::events::now;
use crate::exec;
use crate::failpoints;
use crate::health::Health;
use crate::oom::OomKill;
use crate::record::Record;
use crate::restart;
use crate::shared::Shared;
use crate::shim_client::{ShimClient, ShimError, ShimEvent};
use crate::state::{Event, Run, State};
use crate::supervise::{Supervisor, ask_state, clear_cgroup, conclude_on_disk};

/// What was found out about a container that the record says ran.
enum Finding {
    /// Its shim answers, or is there at least; and the init's pid, when known.
    Alive {
        client: Arc<ShimClient>,
        events: mpsc::UnboundedReceiver<ShimEvent>,
        shim_pid: i32,
        pid: Option<i32>,
    },
    /// It is over.
    Over { exit: Exit, error: String },
    /// It never started.
    NeverStarted,
}

/// Brings everything into agreement and starts the containers' tasks.
pub(crate) async fn reconcile(shared: &Arc<Shared>) -> Result<()> {
    let loaded = shared.store.load()?;
    for row in &loaded.unreadable {
        tracing::error!(
            container = row.key,
            reason = row.reason,
            "a container's record is damaged; it is set aside"
        );
    }
    for (id, name) in &loaded.damaged_names {
        // Two damaged ones of one name are as good as one.
        let _ = shared.registry.reserve(name, id);
    }
    let mut known: HashSet<String> = loaded.unreadable.into_iter().map(|row| row.key).collect();
    let mut tasks = Vec::new();
    for record in loaded.records {
        known.insert(record.id.clone());
        if let Err(error) = shared.registry.reserve(&record.name, &record.id) {
            tracing::error!(container = %record.id, %error, "two containers have one name; one is set aside");
            continue;
        }
        tasks.push(tokio::spawn(adopt(Arc::clone(shared), record)));
    }
    for task in tasks {
        // A failed task has logged why; its container is out of the way, the others are not.
        let _ = task.await;
    }
    failpoints::RECONCILE_ADOPTED.pass();
    let sweeper = Arc::clone(shared);
    tokio::task::spawn_blocking(move || sweep(&sweeper, &known))
        .await
        .map_err(|error| EngineError::system("cannot sweep", error))?;
    failpoints::RECONCILE_SWEPT.pass();
    start_by_policy(shared);
    Ok(())
}

/// Finds out how one container stands, corrects its record, and starts its task.
async fn adopt(shared: Arc<Shared>, record: Record) {
    let same_boot = record.boot_id == shared.host.boot_id;
    let run_dir = shared.layout.run_dir(&record.id);
    let was_running = record.state.run().is_some();
    let finding = match (was_running, same_boot) {
        (true, false) => Some(Finding::Over {
            exit: Exit { code: 255, oom_killed: false, at: now() },
            error: "the host was restarted".into(),
        }),
        (true, true) => Some(look(&shared, &record, &run_dir).await),
        (false, _) if run_dir.exists() => Some(look(&shared, &record, &run_dir).await),
        (false, _) => None,
    };
    failpoints::RECONCILE_LOOKED.pass();
    let before = record;
    let mut record = before.clone();
    let mut alive = None;
    match finding {
        None => {}
        Some(Finding::Alive { client, events, shim_pid, pid }) => {
            if !was_running && let Some(pid) = pid {
                // Started, but the engine died before it could say so.
                record.state =
                    State::Running(Run { pid, started_at: now(), finished_at: record.state.finished_at() });
            }
            record.state = as_frozen(&shared, &record);
            alive = Some((client, events, shim_pid));
        }
        Some(Finding::Over { exit, error }) => {
            if was_running {
                let oom = OomKill::of(&exit, &run_dir);
                let explained = oom.as_ref().filter(|_| error.is_empty()).map(OomKill::explanation);
                let event = Event::Exited {
                    exit_code: exit.code,
                    oom_killed: exit.oom_killed,
                    oom,
                    error: explained.unwrap_or(error),
                    at: exit.at,
                    restart: false,
                };
                if let Ok(state) = record.state.next(event) {
                    record.state = state;
                }
            }
            remove_dir(&run_dir);
        }
        Some(Finding::NeverStarted) => remove_dir(&run_dir),
    }
    if record.state.run().is_none() {
        record.health = record.health.map(Health::stopped);
    }
    record.boot_id.clone_from(&shared.host.boot_id);
    if let State::Restarting(ended) = &record.state {
        record.state = State::Exited(ended.clone());
    }
    let gone = was_running && alive.is_none() && record.host_config.auto_remove;
    // With a thousand that stand as they stood, the writes would be most of a start.
    if record != before
        && let Err(error) = shared.store.put(Arc::new(record.clone())).await
    {
        tracing::error!(container = %record.id, %error, "cannot save what was found out at start");
    }
    failpoints::RECONCILE_SAVED.pass();
    let init_pid = record.state.run().map(|run| run.pid);
    let id = record.id.clone();
    let (container, commands) = Container::new(record);
    shared.registry.insert(Arc::clone(&container));
    if let Some((client, events, shim_pid)) = alive {
        container.connect(client, shim_pid);
        if let Some(pid) = init_pid.and_then(rustix::process::Pid::from_raw)
            && let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        {
            container.set_init(pidfd);
        }
        container.adopt(events);
    }
    Supervisor::spawn(Arc::clone(&shared), Arc::clone(&container), commands);
    if matches!(container.record().state, State::Paused(_))
        && container.record().paused_for_commit
        && let Err(error) = container.ask(Command::Unpause).await
    {
        tracing::warn!(container = %id, %error, "cannot unpause a container that was being committed");
    }
    if gone {
        let removed =
            container.ask(|reply| Command::Remove(crate::params::RemoveOptions::default(), reply)).await;
        if let Err(error) = removed {
            tracing::warn!(container = %id, %error, "cannot remove a container that ended");
        }
    }
}

/// A pause, or its end, is in the kernel before it is in the record: the kernel is right.
fn as_frozen(shared: &Shared, record: &Record) -> State {
    let cgroup = shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
    let event = match Cgroup::open(&cgroup).is_frozen() {
        Ok(true) => Event::Paused,
        Ok(false) => Event::Resumed,
        Err(error) => {
            tracing::debug!(container = %record.id, %error, "cannot find out whether it is paused");
            return record.state.clone();
        }
    };
    // One that is so already does not become so.
    record.state.next(event).unwrap_or_else(|_| record.state.clone())
}

/// Asks the shim, then the disk.
async fn look(shared: &Shared, record: &Record, run_dir: &Path) -> Finding {
    let cgroup = shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
    let conclude = || {
        let ending = conclude_on_disk(run_dir, &cgroup);
        Finding::Over { exit: ending.exit, error: ending.error }
    };
    let Ok(socket) = shim::spawn::connect(run_dir) else {
        return if record.state.run().is_some() {
            conclude()
        } else {
            clear_cgroup(&cgroup);
            Finding::NeverStarted
        };
    };
    let (sender, events) = mpsc::unbounded_channel();
    let Ok(client) = ShimClient::new(socket, None, sender) else { return conclude() };
    match ask_state(&client).await {
        Ok(Reply::Hello { shim_pid, init, execs, .. }) => {
            shared.execs.adopt(&record.id, &exec::directory(shared, &record.id), &execs);
            match init {
                Some(ProcessState::Running { pid }) => {
                    Finding::Alive { client, events, shim_pid, pid: Some(pid) }
                }
                Some(ProcessState::Exited(exit)) => Finding::Over { exit, error: String::new() },
                // Nobody was told that it started, and nobody will start it.
                Some(ProcessState::Created { .. }) | None => {
                    end(shim_pid);
                    clear_cgroup(&cgroup);
                    Finding::NeverStarted
                }
            }
        }
        // It is there and silent: stopped, most likely. The container runs on all the same.
        Err(ShimError::Deadline) if record.state.run().is_some() => {
            let shim_pid = parent_of(record.state.run().map_or(0, |run| run.pid));
            tracing::warn!(container = %record.id, "the shim does not answer");
            Finding::Alive { client, events, shim_pid, pid: None }
        }
        _ => conclude(),
    }
}

fn parent_of(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = status.rsplit_once(") ").map_or("", |(_, rest)| rest);
    fields.split(' ').nth(1).and_then(|parent| parent.parse().ok()).unwrap_or(0)
}

fn end(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn remove_dir(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a directory that is left over");
        }
        _ => {}
    }
}

/// Removes what belongs to no row.
fn sweep(shared: &Shared, known: &HashSet<String>) {
    for root in [shared.layout.run_dirs(), shared.layout.containers()] {
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if known.contains(&name) {
                continue;
            }
            tracing::info!(path = %entry.path().display(), "sweeping what belongs to no container");
            clear_cgroup(&shared.layout.cgroup(&name, ""));
            remove_dir(&entry.path());
        }
    }
    let used_by = |id: &images::ImageId| shared.image_user(id);
    if let Err(error) = shared.images.collect(&used_by) {
        tracing::warn!(%error, "cannot collect images that nobody uses");
    }
}

/// Starts what its restart policy says should run.
fn start_by_policy(shared: &Arc<Shared>) {
    for container in shared.registry.all() {
        let record = container.record();
        let ran_before = !matches!(record.state, State::Created { .. });
        if record.state.run().is_none() && ran_before && restart::at_engine_start(&record) {
            // In the background: the engine answers meanwhile.
            tokio::spawn(async move {
                if let Err(error) = container.ask(Command::Start).await {
                    tracing::warn!(container = %container.id, %error, "cannot start by restart policy");
                }
            });
        }
    }
}
