//! The task of one container: the only one that changes its state.
//!
//! Commands and the shim's events arrive here and are applied one after the other; the row is written, then the
//! snapshot is published, then events go out.

mod checks;
mod launch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use launch::LaunchError;
use runtime::cgroup::Cgroup;
use shim::protocol::{Event as ShimMessage, Exit, Reply, Target};
use shim::record::ExitRecord;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::container::{Command, Container};
use crate::error::{EngineError, ErrorKind, Result};
use crate::events::{event, now};
use crate::failpoints;
use crate::gate;
use crate::health::Health;
use crate::oom::OomKill;
use crate::ready;
use crate::record::Record;
use crate::rest;
use crate::restart::Backoff;
use crate::shared::Shared;
use crate::shim_client::{DEADLINE, ShimClient, ShimError, ShimEvent};
use crate::state::{Denied, Event, Failure, State};
use crate::update::Change;

/// How a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) exit: Exit,
    /// What people should know; empty: nothing.
    pub(crate) error: String,
}

/// The task's own state.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    container: Arc<Container>,
    commands: mpsc::UnboundedReceiver<Command>,
    shim: Option<mpsc::UnboundedReceiver<ShimEvent>>,
    restart_at: Option<Instant>,
    backoff: Backoff,
    /// While it runs, if there is something to be checked.
    checks: Option<checks::Checks>,
}

impl Supervisor {
    /// Starts the task of `container`.
    pub(crate) fn spawn(
        shared: Arc<Shared>,
        container: Arc<Container>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let supervisor = Self {
            shared,
            container,
            commands,
            shim: None,
            restart_at: None,
            backoff: Backoff::default(),
            checks: None,
        };
        tokio::spawn(supervisor.run());
    }

    async fn run(mut self) {
        while !self.container.watch().borrow().removed {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                event = next(&mut self.shim) => self.hear(event).await,
                event = checks::next(&mut self.checks) => self.on_check(event).await,
                () = at(self.restart_at) => self.restart().await,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        // Whoever asked may have gone; what was done stands.
        match command {
            Command::Start(reply) => {
                self.restart_at = None;
                let _ = reply.send(self.start().await);
            }
            Command::Pause(reply) => {
                let _ = reply.send(self.freeze(true, false).await);
            }
            Command::PauseForCommit(reply) => {
                let _ = reply.send(self.freeze(true, true).await);
            }
            Command::Unpause(reply) => {
                let _ = reply.send(self.freeze(false, false).await);
            }
            Command::Rename(name, reply) => {
                let _ = reply.send(self.rename(name).await);
            }
            Command::Update(change, reply) => {
                let _ = reply.send(self.update(&change).await);
            }
            Command::Stopping(reply) => {
                let _ = reply.send(self.stopping().await);
            }
            Command::Remove(options, reply) => {
                let running = self.container.record().state.run().is_some();
                let outcome = match running {
                    true => Err(self.still_running()),
                    false => self.remove().await,
                };
                tracing::debug!(container = %self.container.id, ?options, "removed");
                let _ = reply.send(outcome);
            }
            Command::Adopted(events) => {
                self.shim = Some(events);
                if let State::Running(run) = &self.container.record().state {
                    self.start_checks(checks::started(run.pid).unwrap_or_else(Instant::now));
                }
            }
        }
    }

    fn still_running(&self) -> EngineError {
        let record = self.container.record();
        let why = if matches!(record.state, State::Paused(_)) {
            "paused and must be unpaused first"
        } else {
            "running: stop the container before removing or force remove"
        };
        EngineError::conflict(format!("cannot remove container \"{}\": container is {why}", record.name))
    }

    /// Writes a changed record, then publishes it.
    async fn save(&self, record: Record, ended: bool) -> Result<()> {
        let record = Arc::new(record);
        self.shared.store.put(Arc::clone(&record)).await?;
        self.publish(record, ended);
        Ok(())
    }

    /// Saves that a run is over. On a full disk that is so all the same: it is published, and should the next engine
    /// not find it in the row, it finds the exit record. Whether it is in the row.
    async fn save_or_publish(&self, record: Record) -> bool {
        let record = Arc::new(record);
        let outcome = self.shared.store.put(Arc::clone(&record)).await;
        if let Err(error) = &outcome {
            tracing::error!(container = %record.id, %error, "cannot save how a container ended");
        }
        self.publish(record, true);
        outcome.is_ok()
    }

    fn publish(&self, record: Arc<Record>, ended: bool) {
        self.container.publish(|snapshot| {
            snapshot.record = record;
            snapshot.exits += u64::from(ended);
        });
    }

    fn tell(&self, action: &str, more: &[(&str, String)]) {
        let record = self.container.record();
        self.shared.events.publish(container_event(&record, action, more));
    }

    async fn start(&mut self) -> Result<()> {
        let record = self.container.record();
        match &record.state {
            State::Running(_) => {
                return Err(EngineError::new(ErrorKind::NotModified, "container already started"));
            }
            State::Paused(_) => {
                return Err(EngineError::conflict("cannot start a paused container, try unpause instead"));
            }
            State::Created { .. } | State::Exited(_) | State::Restarting(_) => {}
        }
        let _closed = self.container.gate().close(gate::PATIENCE).await?;
        let launched = self.launch(&record).await;
        ready::refill(&self.shared);
        match launched {
            Ok(()) => {
                failpoints::START_SAVED.pass();
                self.start_checks(Instant::now());
                self.tell("start", &[]);
                Ok(())
            }
            Err(error) => {
                self.container.disconnect();
                self.container.drop_waiting();
                self.shim = None;
                self.failed_to_start(&record, &error).await;
                Err(error.error)
            }
        }
    }

    async fn failed_to_start(&mut self, record: &Record, error: &LaunchError) {
        let failure = Failure { exit_code: error.exit_code, error: error.error.message().to_owned() };
        let Ok(state) = record.state.next(Event::StartFailed(failure)) else { return };
        self.save_or_publish(Record { state, ..record.clone() }).await;
        self.remove_run_dir().await;
        if record.host_config.auto_remove {
            self.remove_itself().await;
        }
    }

    async fn hear(&mut self, event: ShimEvent) {
        match event {
            ShimEvent::Event(ShimMessage::Exited { target: Target::Init, exit }) => {
                self.ended(Ending { exit, error: String::new() }).await;
            }
            ShimEvent::Event(ShimMessage::Exited { target: Target::Exec(exec_id), exit }) => {
                self.shared.execs.ended(&exec_id, exit.code);
                rest::soon(&self.shared);
                self.check_ended(&exec_id, exit.code);
                let record = self.container.record();
                self.shared.events.publish(container_event(
                    &record,
                    "exec_die",
                    &[("execID", exec_id), ("exitCode", exit.code.to_string())],
                ));
            }
            ShimEvent::Event(ShimMessage::Detached { target }) => {
                let more = match target {
                    Target::Init => Vec::new(),
                    Target::Exec(exec_id) => vec![("execID", exec_id)],
                };
                self.tell(if more.is_empty() { "detach" } else { "exec_detach" }, &more);
            }
            ShimEvent::Gone => {
                self.shim = None;
                if self.container.record().state.run().is_some() {
                    let ending = self.conclude().await;
                    self.ended(ending).await;
                }
            }
        }
    }

    /// The shim is gone and has not said how its container ended: its exit record knows, or it was killed.
    async fn conclude(&self) -> Ending {
        let run_dir = self.shared.layout.run_dir(&self.container.id);
        let record = self.container.record();
        let cgroup = self.shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
        let outcome = tokio::task::spawn_blocking(move || conclude_on_disk(&run_dir, &cgroup)).await;
        outcome.unwrap_or_else(|_| supervisor_killed())
    }

    /// A run is over.
    async fn ended(&mut self, ending: Ending) {
        failpoints::EXIT_HEARD.pass();
        let record = self.container.record();
        self.container.disconnect();
        self.stop_checks();
        self.shared.execs.container_ended(&record.id);
        let restart = self.backoff.decide(&record, &ending.exit);
        let Ending { exit, mut error } = ending;
        let oom = self.oom_kill(&exit).await;
        if let Some(oom) = oom.as_ref().filter(|_| error.is_empty()) {
            error = oom.explanation();
        }
        let told = oom.as_ref().map(OomKill::attributes);
        let event = Event::Exited {
            exit_code: exit.code,
            oom_killed: exit.oom_killed,
            oom,
            error,
            at: exit.at,
            restart: restart.is_some(),
        };
        let state = match record.state.next(event) {
            Ok(state) => state,
            Err(Denied(why)) => {
                tracing::warn!(container = %record.id, why, "an exit was reported twice");
                return;
            }
        };
        let started = record.state.started_at().unwrap_or(exit.at);
        let mut changed = Record { state, ..Record::clone(&record) };
        changed.restart_count += i64::from(restart.is_some());
        changed.health = changed.health.map(Health::stopped);
        let goes = restart.is_none() && record.host_config.auto_remove && !self.container.is_kept();
        let mut saved = true;
        if goes {
            // Its row is about to go: what it said of the end would be read by nobody.
            self.publish(Arc::new(changed), true);
        } else {
            saved = self.save_or_publish(changed).await;
        }
        failpoints::EXIT_SAVED.pass();
        rest::soon(&self.shared);
        if let Some(attributes) = told {
            self.tell("oom", &attributes);
        }
        let duration = (exit.at - started).max(0) / 1_000_000_000;
        self.tell("die", &[("exitCode", exit.code.to_string()), ("execDuration", duration.to_string())]);
        if goes {
            self.remove_itself().await;
            return;
        }
        if saved {
            self.remove_run_dir().await;
        }
        failpoints::EXIT_CLEARED.pass();
        self.restart_at = restart.map(|delay| Instant::now() + delay);
    }

    /// What is known of an OOM kill.
    async fn oom_kill(&self, exit: &Exit) -> Option<OomKill> {
        if !exit.oom_killed {
            return None;
        }
        let (exit, run_dir) = (*exit, self.shared.layout.run_dir(&self.container.id));
        tokio::task::spawn_blocking(move || OomKill::of(&exit, &run_dir)).await.ok().flatten()
    }

    async fn restart(&mut self) {
        self.restart_at = None;
        if let Err(error) = self.start().await {
            tracing::warn!(container = %self.container.id, %error, "cannot restart the container");
        }
    }

    /// The user stops it: no restart, now or at the next start of the engine.
    async fn stopping(&mut self) -> Result<()> {
        self.restart_at = None;
        let record = self.container.record();
        let mut changed = Record::clone(&record);
        changed.stopped_by_user = true;
        let was_restarting = matches!(record.state, State::Restarting(_));
        if let Ok(state) = record.state.next(Event::RestartCancelled) {
            changed.state = state;
        }
        self.save(changed, was_restarting).await
    }

    async fn freeze(&mut self, freeze: bool, for_commit: bool) -> Result<()> {
        let record = self.container.record();
        let event = if freeze { Event::Paused } else { Event::Resumed };
        let state = record.state.next(event).map_err(|denied| denied_error(&record, denied))?;
        if freeze {
            // What is being checked would only be seen not to answer.
            self.stop_checks();
        }
        let cgroup = self.shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
        let path = cgroup.clone();
        let outcome = tokio::task::spawn_blocking(move || set_frozen(&path, freeze))
            .await
            .map_err(std::io::Error::other)
            .and_then(|outcome| outcome)
            .map_err(|error| {
                EngineError::system(
                    format!("cannot {} container {}", if freeze { "pause" } else { "unpause" }, record.id),
                    error,
                )
            });
        let mut changed = Record::clone(&record);
        if outcome.is_ok() {
            changed.state = state;
            changed.paused_for_commit = for_commit;
        }
        if freeze && outcome.is_ok() {
            changed.health = changed.health.map(Health::stopped);
        } else if let Some(run) = record.state.run() {
            self.start_checks(checks::started(run.pid).unwrap_or_else(Instant::now));
        }
        outcome?;
        if let Err(error) = self.save(changed, false).await {
            // The record says the opposite, and so must the kernel.
            let _ = tokio::task::spawn_blocking(move || set_frozen(&cgroup, !freeze)).await;
            return Err(error);
        }
        self.tell(if freeze { "pause" } else { "unpause" }, &[]);
        Ok(())
    }

    async fn rename(&mut self, name: String) -> Result<()> {
        let record = self.container.record();
        let old = format!("/{}", record.name);
        self.save(Record { name, ..Record::clone(&record) }, false).await?;
        failpoints::RENAME_SAVED.pass();
        self.tell("rename", &[("oldName", old)]);
        Ok(())
    }

    /// The cgroup first: what the kernel refuses is not kept.
    async fn update(&mut self, change: &Change) -> Result<()> {
        let record = self.container.record();
        let frame = |error: EngineError| {
            let text = format!("Cannot update container {}: {}", record.id, error.message());
            EngineError::new(error.kind(), text)
        };
        let host_config = change.apply(&record.host_config).map_err(frame)?;
        if record.state.run().is_some() {
            let resources = change.resources(&host_config).map_err(frame)?;
            let cgroup = self.shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
            let apply = move || -> std::io::Result<()> {
                Cgroup::open(&cgroup).update(&resources)?;
                Ok(failpoints::UPDATE_APPLIED.check()?)
            };
            tokio::task::spawn_blocking(apply)
                .await
                .map_err(std::io::Error::other)
                .and_then(|outcome| outcome)
                .map_err(|error| frame(EngineError::new(ErrorKind::System, error.to_string())))?;
        }
        self.save(Record { host_config, ..Record::clone(&record) }, false).await?;
        self.tell("update", &[]);
        Ok(())
    }

    /// Row, then names, then directories: what is left by a crash in between is swept at the next start.
    async fn remove(&mut self) -> Result<()> {
        let record = self.remove_row().await?;
        self.remove_files(&record).await;
        failpoints::REMOVE_FILES.pass();
        self.container.publish(|snapshot| snapshot.removed = true);
        Ok(())
    }

    /// The same when nobody asked for it but `--rm`: who waits for the removal hears of it as soon as the row and the
    /// name are gone, and does not wait for the disk.
    async fn remove_itself(&mut self) {
        match self.remove_row().await {
            Ok(record) => {
                self.container.publish(|snapshot| snapshot.removed = true);
                self.remove_files(&record).await;
            }
            Err(error) => {
                tracing::error!(container = %self.container.id, %error, "cannot remove the container");
            }
        }
    }

    /// From here on the container does not exist.
    async fn remove_row(&self) -> Result<Arc<Record>> {
        let record = self.container.record();
        // A writer that does not leave writes into files that are gone, which harms nobody.
        let _closed = self.container.gate().close(Duration::ZERO).await.ok();
        self.shared.store.delete(&record.id).await?;
        failpoints::REMOVE_ROW.pass();
        self.shared.registry.remove(&record.id, &record.name);
        self.container.drop_waiting();
        self.shared.execs.forget(&record.id);
        self.tell("destroy", &[]);
        Ok(record)
    }

    async fn remove_files(&self, record: &Record) {
        let (shared, id) = (Arc::clone(&self.shared), record.id.clone());
        let removed = tokio::task::spawn_blocking(move || remove_dirs(&shared, &id)).await;
        match removed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(container = %record.id, %error, "files are left over; they go at the next start");
            }
            Err(error) => tracing::warn!(container = %record.id, %error, "files are left over"),
        }
    }

    async fn remove_run_dir(&self) {
        let run_dir = self.shared.layout.run_dir(&self.container.id);
        let outcome = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(run_dir)).await;
        if let Ok(Err(error)) = outcome
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(container = %self.container.id, %error, "cannot remove the runtime directory");
        }
    }
}

fn remove_dirs(shared: &Shared, id: &str) -> std::io::Result<()> {
    let dir = shared.layout.container(id);
    remove_dir(&shared.layout.run_dir(id))?;
    failpoints::REMOVE_RUN_DIR.check()?;
    remove_dir(dir.root())?;
    let used_by = |image: &images::ImageId| shared.image_user(image);
    shared.images.collect(&used_by).map_err(std::io::Error::other)
}

/// Stops a cgroup's tasks or lets them run. After an error they are as before.
fn set_frozen(cgroup: &str, frozen: bool) -> std::io::Result<()> {
    let cgroup = Cgroup::open(cgroup);
    let set = |frozen| if frozen { cgroup.freeze() } else { cgroup.thaw() };
    let point = if frozen { failpoints::PAUSE_FROZEN } else { failpoints::PAUSE_THAWED };
    set(frozen)?;
    if let Err(injected) = point.check() {
        set(!frozen)?;
        return Err(injected.into());
    }
    Ok(())
}

fn remove_dir(path: &std::path::Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Looks for the exit record; without one the shim was killed, and what it left is cleared away.
pub(crate) fn conclude_on_disk(run_dir: &std::path::Path, cgroup: &str) -> Ending {
    if let Ok(Some(record)) = ExitRecord::read(run_dir) {
        clear_cgroup(cgroup);
        return Ending {
            exit: record.exit,
            error: if record.sure { String::new() } else { SUPERVISOR_KILLED.to_owned() },
        };
    }
    clear_cgroup(cgroup);
    let ending = supervisor_killed();
    // Another engine, after this one's death, must come to the same conclusion.
    if let Err(error) = (ExitRecord { exit: ending.exit, sure: false }).write(run_dir) {
        tracing::debug!(%error, "cannot write an exit record");
    }
    ending
}

const SUPERVISOR_KILLED: &str = "its supervisor was killed, so the engine ended the container";

fn supervisor_killed() -> Ending {
    Ending { exit: Exit { code: 137, oom_killed: false, at: now() }, error: SUPERVISOR_KILLED.to_owned() }
}

/// Kills what is left in a cgroup and removes it.
pub(crate) fn clear_cgroup(path: &str) {
    let cgroup = Cgroup::open(path);
    for outcome in [cgroup.kill(), cgroup.remove()] {
        if let Err(error) = outcome {
            tracing::warn!(cgroup = path, %error, "cannot clear a cgroup");
        }
    }
}

/// An event about a container: its labels, image, name, and `more`.
pub(crate) fn container_event(
    record: &Record,
    action: &str,
    more: &[(&str, String)],
) -> api_types::system::EventMessage {
    let mut attributes: BTreeMap<String, String> = record.config.labels.clone().unwrap_or_default();
    attributes.insert("image".into(), record.image.clone());
    attributes.insert("name".into(), record.name.clone());
    attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    event("container", action, &record.id, attributes)
}

fn denied_error(record: &Record, Denied(why): Denied) -> EngineError {
    match why {
        // Docker's words have a capital here, and its status is that of a failed engine.
        "is not paused" => EngineError::new(ErrorKind::System, format!("Container {} {why}", record.id)),
        "is already paused" => EngineError::conflict(format!("Container {} {why}", record.id)),
        _ => EngineError::conflict(format!("container {} {why}", record.id)),
    }
}

async fn next(events: &mut Option<mpsc::UnboundedReceiver<ShimEvent>>) -> ShimEvent {
    match events {
        Some(events) => match events.recv().await {
            Some(event) => event,
            // The reader says `Gone` when a shim ends. Without that it is this engine which ends: nothing is concluded.
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Asks a shim that was found at start-up how its container stands.
pub(crate) async fn ask_state(client: &ShimClient) -> std::result::Result<Reply, ShimError> {
    tokio::time::timeout(DEADLINE + Duration::from_millis(100), client.hello())
        .await
        .unwrap_or(Err(ShimError::Deadline))
}
