//! How a container's root file system is reached.
//!
//! - It runs: through the descriptor that its shim keeps, which shows what the container sees.
//! - It does not: through an overlay mount that is attached nowhere on the host and gone with its descriptor. For
//!   reading it has the upper directory as a lower one, so that nothing it does can disturb a start; for writing it
//!   is the real one, under the container's gate.
//!
//! Binds are attached in a mount namespace that a thread makes for that and leaves again: what stays is a detached copy
//! of the whole tree of mounts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linux::mount::{Attributes, OverlayOptions, clone_tree};
use runtime::beneath::{Make, open_or_make};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags};
use rustix::thread::ThreadNameSpaceType;
use shim::protocol::Request;

use crate::container::Container;
use crate::error::{EngineError, Result};
use crate::gate::Writer;
use crate::mounts::MountSource;
use crate::record::Record;
use crate::shared::Shared;
use crate::shim_client::{DEADLINE, ShimError};
use crate::tree::Tree;

/// A container's files, and the right to write them while this lives.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) tree: Tree,
    pub(crate) writer: Writer,
}

/// The container's files as it sees them, file systems of the kernel left out.
pub(crate) async fn for_reading(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<Tree> {
    if let Some(root) = live_root(container).await? {
        return running_tree(root);
    }
    let record = container.record();
    let look = || read_only(shared, &record, binds(shared, &record));
    let root = match look().await? {
        Made::Root(root) => root,
        Made::TargetMissing => {
            // Its first start would make the places that its binds are mounted on.
            drop(for_writing(shared, container).await?);
            look().await?.root(&record)?
        }
    };
    Ok(Tree::plain(Arc::new(root)))
}

/// The image and the container's own changes, without anything mounted; also of a container that runs.
pub(crate) async fn files_alone(shared: &Arc<Shared>, record: &Record) -> Result<OwnedFd> {
    read_only(shared, record, Vec::new()).await?.root(record)
}

/// The container's files for writing; no start comes in between while the result lives.
pub(crate) async fn for_writing(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<Writing> {
    let mut writer = container.gate().enter().await?;
    if container.record().state.run().is_some() {
        // Whoever waits for its end must know of this writer before the mount is in its hands.
        writer.goes_live();
        match live(container).await {
            Ok(root) => return Ok(Writing { tree: running_tree(root)?, writer }),
            Err(ShimError::Gone) => {
                drop(writer);
                ended(container).await?;
                writer = container.gate().enter().await?;
            }
            Err(error) => return Err(silent(container, &error)),
        }
    }
    container.gate().no_live_writers().await?;
    let record = container.record();
    let root = container.gate().shared_root(|| writable(shared, &record)).await?;
    Ok(Writing { tree: Tree::plain(root), writer })
}

/// Waits until the engine has concluded that the run is over; its shim has gone already.
async fn ended(container: &Container) -> Result<()> {
    let mut watch = container.watch();
    let over = watch.wait_for(|now| now.removed || now.record.state.run().is_none());
    match tokio::time::timeout(DEADLINE, over).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(silent(container, &ShimError::Gone)),
    }
}

async fn writable(shared: &Arc<Shared>, record: &Record) -> Result<OwnedFd> {
    let (lower, dir) = (shared.layer_paths(record)?, shared.layout.container(&record.id));
    let mount_point = dir.work();
    let made = assemble(record, mount_point, binds(shared, record), Missing::Make, move || {
        let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
        linux::mount::overlay(&lower, &dir.upper(), &dir.work(), &OverlayOptions::default())
    });
    made.await?.root(record)
}

fn running_tree(root: OwnedFd) -> Result<Tree> {
    Tree::of_running(root).map_err(|error| EngineError::system("cannot look into the container", error))
}

fn silent(container: &Container, error: &ShimError) -> EngineError {
    EngineError::system(format!("cannot reach the files of container {}", container.id), error)
}

/// The root that the shim keeps.
async fn live(container: &Container) -> std::result::Result<OwnedFd, ShimError> {
    let shim = container.shim().ok_or(ShimError::Gone)?;
    let (_, mut fds) = shim.request(&Request::Root, &[]).await?;
    fds.pop().ok_or(ShimError::Socket("it sent no descriptor".into()))
}

/// For reading: a shim that is silent is no reason to fail, since the files are on disk.
async fn live_root(container: &Container) -> Result<Option<OwnedFd>> {
    if container.record().state.run().is_none() {
        return Ok(None);
    }
    match live(container).await {
        Ok(root) => Ok(Some(root)),
        Err(ShimError::Gone | ShimError::Deadline | ShimError::Socket(_)) => Ok(None),
        Err(error @ ShimError::Refused { .. }) => Err(silent(container, &error)),
    }
}

/// A tree of the host to attach in a view.
#[derive(Debug)]
struct Attach {
    source: PathBuf,
    destination: PathBuf,
    read_only: bool,
    recursive: bool,
}

/// What is mounted from the host's files: the user's binds, and the network files if there are any yet.
fn binds(shared: &Shared, record: &Record) -> Vec<Attach> {
    let dir = shared.layout.container(&record.id);
    let own = [
        (dir.hosts(), "/etc/hosts"),
        (dir.hostname(), "/etc/hostname"),
        (dir.resolv_conf(), "/etc/resolv.conf"),
    ];
    let taken = |destination: &str| record.mounts.iter().any(|mount| mount.destination == destination);
    let own = own.into_iter().filter(|(source, destination)| source.exists() && !taken(destination));
    let own = own.map(|(source, destination)| Attach {
        source,
        destination: destination.into(),
        read_only: false,
        recursive: false,
    });
    let users = record.mounts.iter().filter_map(|mount| match &mount.what {
        MountSource::Bind { source, non_recursive, .. } => Some(Attach {
            source: source.clone(),
            destination: mount.destination.clone().into(),
            read_only: mount.read_only,
            recursive: !non_recursive,
        }),
        MountSource::Tmpfs { .. } => None,
    });
    users.chain(own).collect()
}

async fn read_only(shared: &Arc<Shared>, record: &Record, attach: Vec<Attach>) -> Result<Made> {
    let dir = shared.layout.container(&record.id);
    let mut lower = vec![dir.upper()];
    lower.extend(shared.layer_paths(record)?);
    assemble(record, dir.work(), attach, Missing::Tell, move || {
        let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
        linux::mount::overlay_read_only(&lower, &OverlayOptions::default())
    })
    .await
}

/// What to do about a place to mount on that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Tell,
}

enum Made {
    Root(OwnedFd),
    TargetMissing,
}

impl Made {
    fn root(self, record: &Record) -> Result<OwnedFd> {
        match self {
            Self::Root(root) => Ok(root),
            Self::TargetMissing => Err(EngineError::system(
                format!("cannot look into container {}", record.id),
                "a place that something is mounted on cannot be reached",
            )),
        }
    }
}

/// Mounts the overlay, and in a namespace of its own what is to be attached in it.
async fn assemble(
    record: &Record,
    mount_point: PathBuf,
    attach: Vec<Attach>,
    missing: Missing,
    overlay: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
) -> Result<Made> {
    let (sender, made) = tokio::sync::oneshot::channel();
    // A thread of the pool would carry the namespace to its next task.
    let thread = std::thread::Builder::new().name("view".into()).spawn(move || {
        let outcome = overlay().and_then(|root| match attach.is_empty() {
            true => Ok(Made::Root(root)),
            false => in_own_namespace(root, &mount_point, &attach, missing),
        });
        // Whoever asked may have left.
        let _ = sender.send(outcome);
    });
    let fail =
        |error: io::Error| EngineError::system(format!("cannot look into container {}", record.id), error);
    thread.map_err(fail)?;
    made.await.map_err(|_| fail(io::Error::other("the mounting thread failed")))?.map_err(fail)
}

fn in_own_namespace(
    root: OwnedFd,
    mount_point: &Path,
    attach: &[Attach],
    missing: Missing,
) -> io::Result<Made> {
    linux::namespaces::unshare(ThreadNameSpaceType::MOUNT)?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // Sources first: the view may hide them.
    let trees = attach.iter().map(source_tree).collect::<io::Result<Vec<_>>>()?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&root, "", CWD, mount_point, flags)?;
    for (attach, tree) in attach.iter().zip(trees) {
        let target = match find_target(&root, attach, &tree, missing) {
            Err(error) if missing == Missing::Tell && is_missing(&error) => return Ok(Made::TargetMissing),
            target => target?,
        };
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&tree, "", &target, "", flags)?;
    }
    // The copy keeps what is mounted in it when the namespace ends with this thread.
    Ok(Made::Root(clone_tree(&root, "", true)?))
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// A detached copy of what is mounted.
fn source_tree(attach: &Attach) -> io::Result<OwnedFd> {
    let explain = |error: io::Error| {
        let text = crate::error::plain(&error);
        io::Error::other(format!("mount source {}: {text}", attach.source.display()))
    };
    let tree = clone_tree(CWD, &attach.source, attach.recursive).map_err(explain)?;
    if attach.read_only {
        let read_only = Attributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        linux::mount::set_attributes(&tree, attach.recursive, &read_only).map_err(explain)?;
    }
    Ok(tree)
}

fn find_target(root: &OwnedFd, attach: &Attach, tree: &OwnedFd, missing: Missing) -> io::Result<OwnedFd> {
    if missing == Missing::Tell {
        return linux::fs::open_in_root(root.as_fd(), &attach.destination, OFlags::PATH, Mode::empty());
    }
    let is_dir = FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode) == FileType::Directory;
    open_or_make(root.as_fd(), &attach.destination, if is_dir { Make::Directory } else { Make::File })
}
