//! Ending containers: kill, stop, restart, remove, wait. None of this needs the shim to answer: signals go to the
//! first process by pidfd, and a shim that is stopped is ended when it is in the way.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use runtime::cgroup::Cgroup;
use rustix::process::{PidfdFlags, Signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::container::{Command, Container, Snapshot};
use crate::error::{EngineError, ErrorKind, Result};
use crate::failpoints;
use crate::params::{RemoveOptions, WaitCondition};
use crate::shared::Shared;
use crate::signals;
use crate::state::{State, WaitEnd};
use crate::supervise::container_event;

/// How long the end of a killed process may take to be reported before the shim is looked at.
const SHIM_GRACE: Duration = Duration::from_millis(700);
/// How long a process that was sent SIGKILL may take to die (uninterruptible I/O).
const KILL_PATIENCE: Duration = Duration::from_secs(10);

fn not_running(container: &Container) -> EngineError {
    EngineError::conflict(format!("container {} is not running", container.id))
}

/// Sends a signal to the container's first process.
fn signal_init(container: &Container, signal: i32) -> Result<()> {
    let run = container.record().state.run().cloned().ok_or_else(|| not_running(container))?;
    let signal = Signal::from_named_raw(signal)
        .ok_or_else(|| EngineError::invalid(format!("signal {signal} cannot be sent from here")))?;
    let failed = |error: rustix::io::Errno| match error {
        rustix::io::Errno::SRCH => not_running(container),
        other => EngineError::system(format!("cannot signal container {}", container.id), other),
    };
    if let Some(init) = container.init() {
        return rustix::process::pidfd_send_signal(init.as_fd(), signal).map_err(failed);
    }
    let pid = rustix::process::Pid::from_raw(run.pid).ok_or_else(|| not_running(container))?;
    let init = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
    rustix::process::pidfd_send_signal(&init, signal).map_err(failed)
}

/// `kill`: sends a signal; with SIGKILL, returns when the container has ended.
pub(crate) async fn kill(shared: &Shared, reference: &str, signal: &str) -> Result<()> {
    let frame = |error: EngineError| error.within(format_args!("cannot kill container: {reference}"));
    let number = if signal.is_empty() { Ok(signals::KILL) } else { signals::parse(signal) }.map_err(frame)?;
    let container = shared.registry.find(reference).map_err(frame)?;
    let record = container.record();
    if record.state.run().is_none() {
        return Err(frame(not_running(&container)));
    }
    shared.events.publish(container_event(&record, "kill", &[("signal", number.to_string())]));
    if number != signals::KILL {
        if is_stop_signal(&record.config.stop_signal, number) {
            container.ask(Command::Stopping).await?;
        }
        send(shared, &container, number).await.map_err(frame)?;
        return Ok(());
    }
    container.ask_or_proceed(Command::Stopping).await;
    destroy(shared, &container).await.map_err(frame)
}

fn is_stop_signal(configured: &str, number: i32) -> bool {
    let stop = if configured.is_empty() { Ok(signals::TERM) } else { signals::parse(configured) };
    stop == Ok(number)
}

/// Sends a signal, also through a pause: a frozen process gets it when it is let go.
async fn send(shared: &Shared, container: &Arc<Container>, signal: i32) -> Result<()> {
    if matches!(signal, 1..=31) {
        signal_init(container, signal)?;
    } else {
        // rustix has no real-time signals; the shim does it.
        let shim = container.shim().ok_or_else(|| not_running(container))?;
        let request = shim::protocol::Request::Signal { target: shim::protocol::Target::Init, signal };
        shim.request(&request, &[]).await.map_err(|error| {
            EngineError::system(format!("cannot signal container {}", container.id), error)
        })?;
    }
    let record = container.record();
    if matches!(record.state, State::Paused(_)) {
        thaw(shared, container).await;
        shared.events.publish(container_event(&record, "unpause", &[]));
    }
    Ok(())
}

async fn thaw(shared: &Shared, container: &Arc<Container>) {
    let record = container.record();
    let path = shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
    let outcome = tokio::task::spawn_blocking(move || Cgroup::open(&path).thaw()).await;
    if let Ok(Err(error)) = outcome {
        tracing::warn!(container = %record.id, %error, "cannot thaw a container that is to end");
    }
}

/// Ends a container for certain: SIGKILL to its first process, then to everything in its cgroup, then to a shim that
/// does not report it.
pub(crate) async fn destroy(shared: &Shared, container: &Arc<Container>) -> Result<()> {
    match signal_init(container, signals::KILL) {
        Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
        _ => {}
    }
    failpoints::STOP_KILLED.pass();
    if matches!(container.record().state, State::Paused(_)) {
        thaw(shared, container).await;
    }
    if ended(container, Some(SHIM_GRACE)).await {
        return Ok(());
    }
    // Something outlives the first process, or the shim does not report.
    let record = container.record();
    let path = shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent);
    let killed = tokio::task::spawn_blocking(move || Cgroup::open(&path).kill()).await;
    if let Ok(Err(error)) = killed {
        tracing::warn!(container = %record.id, %error, "cannot kill a container's cgroup");
    }
    end_stopped_shim(container);
    if ended(container, Some(KILL_PATIENCE)).await {
        return Ok(());
    }
    Err(EngineError::system(
        format!("container {} did not end", container.id),
        "its process was sent SIGKILL and hangs in the kernel, most likely on I/O",
    ))
}

/// A shim that somebody has stopped will never report: it is ended, and the engine concludes.
fn end_stopped_shim(container: &Container) {
    let Some(pid) = container.shim_pid() else { return };
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    if matches!(state, Some('T' | 't'))
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
    {
        tracing::warn!(container = %container.id, "the shim is stopped; ending it");
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Waits until the current run is over. False when the time is up first.
async fn ended(container: &Container, patience: Option<Duration>) -> bool {
    let mut watch = container.watch();
    let over = watch.wait_for(|now| now.removed || now.record.state.run().is_none());
    match patience {
        Some(patience) => tokio::time::timeout(patience, over).await.is_ok(),
        None => over.await.is_ok(),
    }
}

/// `stop`: the stop signal, patience, SIGKILL. `timeout` in seconds; negative: for ever.
pub(crate) async fn stop(
    shared: &Shared,
    container: &Arc<Container>,
    reference: &str,
    signal: Option<&str>,
    timeout: Option<i64>,
) -> Result<()> {
    let record = container.record();
    let named = signal.filter(|signal| !signal.is_empty()).unwrap_or(&record.config.stop_signal);
    let signal = if named.is_empty() { Ok(signals::TERM) } else { signals::parse(named) };
    let signal = match signal {
        Ok(signal) => signal,
        // What has stopped is not sent anything.
        Err(_) if record.state.run().is_none() => signals::TERM,
        Err(error) => {
            let error = error.within(format_args!("cannot stop container: {reference}"));
            return Err(error.of_kind(ErrorKind::Unclassified));
        }
    };
    container.ask(Command::Stopping).await?;
    failpoints::STOP_MARKED.check()?;
    if container.record().state.run().is_none() {
        let kind =
            if matches!(record.state, State::Restarting(_)) { None } else { Some(ErrorKind::NotModified) };
        return match kind {
            None => Ok(()),
            Some(kind) => Err(EngineError::new(kind, "container already stopped")),
        };
    }
    let fallback = i64::try_from(shared.config.stop_timeout).unwrap_or(i64::MAX);
    let seconds = timeout.or(record.config.stop_timeout).unwrap_or(fallback);
    shared.events.publish(container_event(&record, "kill", &[("signal", signal.to_string())]));
    // A process that ended in this moment is what was wanted.
    let _ = send(shared, container, signal).await;
    failpoints::STOP_SIGNALLED.pass();
    let patience = u64::try_from(seconds).ok().map(Duration::from_secs);
    if !stopped_in(container, patience).await {
        shared.events.publish(container_event(&record, "kill", &[("signal", signals::KILL.to_string())]));
        destroy(shared, container).await?;
    }
    shared.events.publish(container_event(&record, "stop", &[]));
    failpoints::STOP_ENDED.pass();
    Ok(())
}

/// Waits for the end, looking once a second whether the process has ended behind a stopped shim's back.
async fn stopped_in(container: &Container, patience: Option<Duration>) -> bool {
    let end = patience.map(|patience| Instant::now() + patience);
    loop {
        let left = end.map_or(Duration::from_secs(1), |end| end.saturating_duration_since(Instant::now()));
        if ended(container, Some(left.min(Duration::from_secs(1)))).await {
            return true;
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return false;
        }
        if init_is_dead(container) {
            end_stopped_shim(container);
        }
    }
}

/// The first process has ended, whether or not it was reaped.
pub(crate) fn init_is_dead(container: &Container) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let Some(init) = container.init() else { return false };
    let mut fds = [PollFd::new(&*init, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}

/// `rm`.
pub(crate) async fn remove(
    shared: &Shared,
    container: &Arc<Container>,
    options: RemoveOptions,
) -> Result<()> {
    if options.link {
        return Err(EngineError::not_found("this version has no links"));
    }
    if options.force {
        container.ask_or_proceed(Command::Stopping).await;
        let record = container.record();
        if record.state.run().is_some() {
            shared.events.publish(container_event(&record, "kill", &[("signal", signals::KILL.to_string())]));
            destroy(shared, container).await?;
        }
    }
    failpoints::REMOVE_STOPPED.check()?;
    let outcome = container.ask(|reply| Command::Remove(options, reply)).await;
    match outcome {
        // `--rm` was faster.
        Err(error) if error.kind() == ErrorKind::NotFound && options.force => Ok(()),
        outcome => outcome,
    }
}

/// Waits as `condition` says; the receiver gives the end once.
pub(crate) fn wait(container: &Container, condition: WaitCondition) -> oneshot::Receiver<Result<WaitEnd>> {
    let (mut sender, receiver) = oneshot::channel();
    let mut watch = container.watch();
    let exits = watch.borrow().exits;
    tokio::spawn(async move {
        let over = watch.wait_for(|now| is_over(now, condition, exits));
        let code = tokio::select! {
            over = over => match over {
                Ok(now) => Ok(WaitEnd {
                    exit_code: now.record.state.exit_code(),
                    explanation: now.record.state.error().to_owned(),
                }),
                Err(_) => Err(EngineError::system("cannot wait", "the engine is shutting down")),
            },
            () = sender.closed() => return,
        };
        // The client may have gone in this moment.
        let _ = sender.send(code);
    });
    receiver
}

fn is_over(now: &Snapshot, condition: WaitCondition, exits: u64) -> bool {
    match condition {
        WaitCondition::Removed => now.removed,
        WaitCondition::NextExit => now.removed || now.exits != exits,
        WaitCondition::NotRunning => {
            now.removed
                || !matches!(now.record.state, State::Running(_) | State::Paused(_) | State::Restarting(_))
        }
    }
}
