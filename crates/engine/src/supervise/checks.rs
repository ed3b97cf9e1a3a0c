//! Health checks of a running container: when the next one is due, running it, and what follows from it.
//!
//! A check is an exec that is tied to its connection: dropping it, because it took too long, because the container is
//! paused, or because this engine dies, has the shim kill all of it. A container without a check costs nothing here.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Supervisor;
use crate::container::Container;
use crate::events::now;
use crate::exec;
use crate::health::{Check, CheckResult, Health, OUTPUT_LIMIT, exceeded, output};
use crate::lifecycle::init_is_dead;
use crate::record::Record;
use crate::shared::Shared;

/// How long the processes of a check may take to die.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// The checks of a container that runs.
pub(super) struct Checks {
    check: Check,
    /// When the container was started.
    since: Instant,
    next: Next,
}

enum Next {
    /// One is due then.
    Due(Instant),
    /// One runs.
    Running(Running),
}

struct Running {
    exec_id: String,
    began: Instant,
    /// Where the exit code goes, once the shim has told it.
    exit: Option<oneshot::Sender<i32>>,
    task: JoinHandle<CheckResult>,
}

impl Drop for Running {
    /// Its connection goes with it, and then its processes.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a container's task hears of its checks.
pub(super) enum CheckEvent {
    /// The next one is due.
    Due,
    /// One is over; none: it failed in a way that must not be.
    Over(Option<CheckResult>),
}

/// Waits for it; for ever if there are no checks.
pub(super) async fn next(checks: &mut Option<Checks>) -> CheckEvent {
    match checks.as_mut().map(|checks| &mut checks.next) {
        Some(Next::Due(at)) => {
            tokio::time::sleep_until(*at).await;
            CheckEvent::Due
        }
        Some(Next::Running(running)) => CheckEvent::Over((&mut running.task).await.ok()),
        None => std::future::pending().await,
    }
}

/// A container's health when it has just been started.
pub(super) fn at_start(record: &Record) -> Option<Health> {
    Check::of(&record.config).map(|_| Health::started(record.health.clone()))
}

/// When a process was started, by the kernel's account, which no change of the clock touches.
pub(super) fn started(pid: i32) -> Option<Instant> {
    const TICKS: u64 = 100;
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = status.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(19)?.parse().ok()?;
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up = Duration::new(u64::try_from(up.tv_sec).ok()?, u32::try_from(up.tv_nsec).ok()?);
    Instant::now().checked_sub(up.saturating_sub(Duration::from_millis(ticks * 1000 / TICKS)))
}

impl Supervisor {
    /// The container runs, and has since `since`: checks begin.
    pub(super) fn start_checks(&mut self, since: Instant) {
        let record = self.container.record();
        let health = record.health.as_ref();
        self.checks = Check::of(&record.config).zip(health).map(|(check, health)| {
            let at = Instant::now() + check.wait(health.status, since.elapsed());
            Checks { check, since, next: Next::Due(at) }
        });
    }

    /// No more checks: one that runs is killed.
    pub(super) fn stop_checks(&mut self) {
        if let Some(Checks { next: Next::Running(running), .. }) = self.checks.take() {
            self.shared.execs.remove(&running.exec_id);
        }
    }

    /// An exec has ended: it may be the check.
    pub(super) fn check_ended(&mut self, exec_id: &str, code: i32) {
        if let Some(Checks { next: Next::Running(running), .. }) = &mut self.checks
            && running.exec_id == exec_id
            && let Some(exit) = running.exit.take()
        {
            // The one who waits has given up when the time is over.
            let _ = exit.send(code);
        }
    }

    pub(super) async fn on_check(&mut self, event: CheckEvent) {
        match event {
            CheckEvent::Due => self.begin_check(),
            CheckEvent::Over(result) => self.conclude_check(result).await,
        }
    }

    fn begin_check(&mut self) {
        let record = self.container.record();
        let Some(checks) = &mut self.checks else { return };
        let exec = exec::check(&self.shared, &record, checks.check.command.clone());
        let exec = match exec {
            Ok(exec) => exec,
            Err(error) => {
                tracing::error!(container = %record.id, %error, "cannot make a health check");
                checks.next = Next::Due(Instant::now() + checks.check.interval);
                return;
            }
        };
        let (sender, exit) = oneshot::channel();
        let run = Run {
            shared: Arc::clone(&self.shared),
            container: Arc::clone(&self.container),
            record,
            exec_id: exec.clone(),
            timeout: checks.check.timeout,
        };
        checks.next = Next::Running(Running {
            exec_id: exec,
            began: Instant::now(),
            exit: Some(sender),
            task: tokio::spawn(run.result(exit)),
        });
    }

    async fn conclude_check(&mut self, result: Option<CheckResult>) {
        let result = result.unwrap_or_else(|| CheckResult {
            start: now(),
            end: now(),
            exit_code: -1,
            output: "the health check failed within the engine".to_owned(),
        });
        let Some(checks) = &mut self.checks else { return };
        let Next::Running(running) = &checks.next else { return };
        if result.exit_code != 0 && init_is_dead(&self.container) {
            // It was killed with everything else of the container, of which we are about to hear.
            self.stop_checks();
            return;
        }
        self.shared.execs.remove(&running.exec_id);
        let age = running.began.saturating_duration_since(checks.since);
        let record = self.container.record();
        let before = record.health.clone().unwrap_or_else(|| Health::started(None));
        let status = before.status;
        let health = before.after(&checks.check, age, result);
        let now_is = health.status;
        checks.next = Next::Due(Instant::now() + checks.check.wait(now_is, checks.since.elapsed()));
        let changed = Record { health: Some(health), ..Record::clone(&record) };
        if let Err(error) = self.save(changed, false).await {
            tracing::error!(container = %record.id, %error, "cannot save the result of a health check");
        }
        if now_is != status {
            self.tell(&format!("health_status: {}", now_is.word()), &[]);
        }
    }
}

/// One check on its way.
struct Run {
    shared: Arc<Shared>,
    container: Arc<Container>,
    record: Arc<Record>,
    exec_id: String,
    timeout: Duration,
}

impl Run {
    async fn result(self, mut exit: oneshot::Receiver<i32>) -> CheckResult {
        let start = now();
        let mut written = Vec::new();
        let outcome = tokio::time::timeout(self.timeout, self.run(&mut written, &mut exit)).await;
        let (exit_code, output) = match outcome {
            Ok(Ok(code)) => (code, output(&written)),
            Ok(Err(why)) => (-1, why),
            // Its connection is closed by now, so it is being killed.
            Err(_) => {
                // One that hangs in the kernel is not waited for.
                let _ = tokio::time::timeout(KILL_PATIENCE, exit).await;
                (-1, exceeded(self.timeout, &output(&written)))
            }
        };
        CheckResult { start, end: now(), exit_code, output }
    }

    /// Runs it to its end: its exit code.
    async fn run(&self, written: &mut Vec<u8>, exit: &mut oneshot::Receiver<i32>) -> Result<i32, String> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| format!("make a socket pair: {error}"))?;
        let theirs =
            theirs.into_std().map(OwnedFd::from).map_err(|error| format!("hand a socket over: {error}"))?;
        exec::start_check(&self.shared, &self.container, &self.record, &self.exec_id, theirs)
            .await
            .map_err(|error| error.message().to_owned())?;
        read(ours, written).await;
        exit.await.map_err(|_| "the container has ended".to_owned())
    }
}

/// Reads to the end, and keeps as much as shows that there was too much.
async fn read(mut stream: UnixStream, written: &mut Vec<u8>) {
    let mut buffer = [0; 1024];
    // A broken connection is an end too.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = (OUTPUT_LIMIT + 1).saturating_sub(written.len());
        written.extend_from_slice(&buffer[..count.min(room)]);
    }
}
