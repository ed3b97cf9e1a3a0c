//! A container as the rest of the engine sees it: its latest snapshot, its command queue, its link to the shim.
//!
//! The snapshot is published by the container's own task (see `supervise`) after the row is on disk; reading it takes
//! no lock that anyone holds for long, so `ps` and `inspect` work whatever else is going on.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shim::protocol::{Attach, Request, Target};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{EngineError, Result};
use crate::gate::Gate;
use crate::params::RemoveOptions;
use crate::record::Record;
use crate::shim_client::{ShimClient, ShimError};
use crate::update::Change;

/// What is known of a container at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The record, as on disk.
    pub(crate) record: Arc<Record>,
    /// How often it has ended, or could not be started, since this engine was opened.
    pub(crate) exits: u64,
    /// It is gone.
    pub(crate) removed: bool,
}

/// What a container's task is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start it.
    Start(oneshot::Sender<Result<()>>),
    /// Stop its processes by the freezer.
    Pause(oneshot::Sender<Result<()>>),
    /// The same, until a commit has read its files: an engine that starts lets it go.
    PauseForCommit(oneshot::Sender<Result<()>>),
    /// Let them run again.
    Unpause(oneshot::Sender<Result<()>>),
    /// Give it another name, which is reserved already.
    Rename(String, oneshot::Sender<Result<()>>),
    /// Change limits or the restart policy.
    Update(Box<Change>, oneshot::Sender<Result<()>>),
    /// Remember that the user stopped it, and give a pending restart up.
    Stopping(oneshot::Sender<Result<()>>),
    /// Remove it; it must not run.
    Remove(RemoveOptions, oneshot::Sender<Result<()>>),
    /// Listen to the shim that an earlier engine started.
    Adopted(mpsc::UnboundedReceiver<crate::shim_client::ShimEvent>),
}

/// A client that attached before the start.
#[derive(Debug)]
pub(crate) struct WaitingClient {
    /// What it wants.
    pub(crate) attach: Attach,
    /// Its stream.
    pub(crate) socket: OwnedFd,
}

/// The way to a running container.
#[derive(Debug, Default)]
struct Link {
    shim: Option<Arc<ShimClient>>,
    shim_pid: Option<i32>,
    init: Option<Arc<OwnedFd>>,
    waiting: Vec<WaitingClient>,
}

/// One container.
#[derive(Debug)]
pub(crate) struct Container {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    snapshot: watch::Sender<Snapshot>,
    commands: mpsc::UnboundedSender<Command>,
    link: Mutex<Link>,
    kept: AtomicBool,
    gate: Arc<Gate>,
    committing: tokio::sync::Mutex<()>,
}

impl Container {
    /// A container, and the receiving end of its queue for its task.
    pub(crate) fn new(record: Record) -> (Arc<Self>, mpsc::UnboundedReceiver<Command>) {
        let (commands, queue) = mpsc::unbounded_channel();
        let id = record.id.clone();
        let snapshot = watch::Sender::new(Snapshot { record: Arc::new(record), exits: 0, removed: false });
        let kept = AtomicBool::new(false);
        let gate = Arc::default();
        let (link, committing) = (Mutex::default(), tokio::sync::Mutex::default());
        (Arc::new(Self { id, snapshot, commands, link, kept, gate, committing }), queue)
    }

    /// Held during a commit: the first of two to end would let the container go under the other.
    pub(crate) fn committing(&self) -> &tokio::sync::Mutex<()> {
        &self.committing
    }

    /// Who may write into its files.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// The record.
    pub(crate) fn record(&self) -> Arc<Record> {
        Arc::clone(&self.snapshot.borrow().record)
    }

    /// The snapshot, and every later one.
    pub(crate) fn watch(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.subscribe()
    }

    /// Publishes; only the container's own task may.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_modify(change);
    }

    /// While kept, its end does not remove it: `restart` is between stop and start.
    pub(crate) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Relaxed);
    }

    /// Whether its end leaves it.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Has the container's task do something, and waits for it.
    pub(crate) async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command,
    ) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        let gone = || EngineError::not_found(format!("No such container: {}", self.id));
        self.commands.send(command(sender)).map_err(|_| gone())?;
        receiver.await.map_err(|_| gone())?
    }

    /// Like [`Self::ask`], for those who go on whatever the answer is; waits at most half a second, for the task may be
    /// busy with a start that hangs.
    pub(crate) async fn ask_or_proceed(&self, command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), self.ask(command)).await;
    }

    /// Hands the task a connection to a shim that an earlier engine started.
    pub(crate) fn adopt(&self, events: mpsc::UnboundedReceiver<crate::shim_client::ShimEvent>) {
        // The task ends only with the container.
        let _ = self.commands.send(Command::Adopted(events));
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on clients attach through `shim`; those that waited are handed back.
    pub(crate) fn connect(&self, shim: Arc<ShimClient>, shim_pid: i32) -> Vec<WaitingClient> {
        let mut link = self.link();
        link.shim = Some(shim);
        link.shim_pid = Some(shim_pid);
        std::mem::take(&mut link.waiting)
    }

    /// The first process, by pidfd.
    pub(crate) fn set_init(&self, init: OwnedFd) {
        self.link().init = Some(Arc::new(init));
    }

    /// The run is over.
    pub(crate) fn disconnect(&self) {
        let mut link = self.link();
        link.shim = None;
        link.shim_pid = None;
        link.init = None;
    }

    /// Lets the clients go that wait for a start which will not come.
    pub(crate) fn drop_waiting(&self) {
        self.link().waiting.clear();
    }

    /// The shim, while there is one.
    pub(crate) fn shim(&self) -> Option<Arc<ShimClient>> {
        self.link().shim.clone()
    }

    /// Pid of the shim, while there is one.
    pub(crate) fn shim_pid(&self) -> Option<i32> {
        self.link().shim_pid
    }

    /// Refuses to go on when the shim of a running container does not answer. Asked before a client's stream is taken
    /// over: one that was handed to a stopped shim would hang as long as that is stopped.
    pub(crate) async fn check_shim(&self) -> Result<()> {
        let Some(shim) = self.shim() else { return Ok(()) };
        match shim.request(&Request::State, &[]).await {
            // One that has ended is reported as that in a moment.
            Ok(_) | Err(ShimError::Gone) => Ok(()),
            Err(error) => Err(EngineError::system(format!("container {}", self.id), error)),
        }
    }

    /// The first process, while there is one.
    pub(crate) fn init(&self) -> Option<Arc<OwnedFd>> {
        self.link().init.clone()
    }

    /// Attaches a client: at once to a running container, at its start to another.
    pub(crate) async fn attach(&self, attach: Attach, socket: OwnedFd) -> Result<()> {
        let shim = {
            let mut link = self.link();
            match &link.shim {
                Some(shim) => Arc::clone(shim),
                None => {
                    link.waiting.retain(|client| !has_left(&client.socket));
                    link.waiting.push(WaitingClient { attach, socket });
                    return Ok(());
                }
            }
        };
        let request = Request::Attach { target: Target::Init, attach };
        shim.request(&request, &[socket.as_fd()])
            .await
            .map(|_| ())
            .map_err(|error| EngineError::system(format!("cannot attach to container {}", self.id), error))
    }
}

/// The peer has closed both directions. One that has only finished sending is still there to read.
fn has_left(socket: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&now)), Ok(1..))
        && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
