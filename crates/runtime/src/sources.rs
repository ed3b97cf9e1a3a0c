//! What a container takes from the host, pinned as descriptors before its process exists.
//!
//! Opened in the runtime's own namespaces and with its rights, so that nothing has to be looked up on the host
//! once the container's root is entered.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::mount::{Attributes, clone_tree, set_attributes};
use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use crate::cgroup::Cgroup;
use crate::container::{InitRequest, Rootfs};
use crate::error::{During, StartError};
use crate::mount_options::{MountOptions, Recursion};
use crate::plan::{MountPlan, Plan};

/// Everything pinned for one container.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Detached tree that becomes the root.
    pub root: OwnedFd,
    /// One per mount of the plan.
    pub mounts: Vec<Source>,
    /// The host's default devices, where the container may not make nodes; in the order of
    /// [`crate::devices::DEFAULT`].
    pub devices: Vec<OwnedFd>,
    /// The host's /dev/null, to mask files with.
    pub null: Option<OwnedFd>,
}

/// Where one mount comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made in the container.
    New,
    /// A detached copy of a tree of the host.
    Tree(OwnedFd),
    /// cgroup v1: the container's directory of each hierarchy, and links between hierarchies' names.
    Hierarchies { trees: Vec<(String, OwnedFd)>, links: Vec<(String, String)> },
}

impl Sources {
    pub(crate) fn open(
        plan: &Plan<'_>,
        request: &InitRequest<'_>,
        given: &[(&Path, BorrowedFd<'_>)],
    ) -> Result<Self, StartError> {
        let (bundle, cgroup) = (request.bundle, request.cgroup);
        let root = match &request.rootfs {
            Rootfs::Path(path) => {
                let path = bundle.join(path);
                clone_tree(CWD, &path, true)
                    .during(|| format!("open root file system {:?}", path.display().to_string()))?
            }
            Rootfs::Detached(tree) => {
                tree.try_clone_to_owned().during(|| "take over the root file system".to_owned())?
            }
        };
        let open = |mount: &MountPlan<'_>| match given.iter().find(|(path, _)| *path == mount.destination) {
            Some((_, tree)) => take_over(*tree, mount, plan),
            None => source(mount, bundle, plan, cgroup),
        };
        let mounts = plan.mounts.iter().map(open).collect::<Result<_, _>>()?;
        let masks = plan.linux().is_some_and(|linux| !linux.masked_paths.is_empty());
        let null = if masks { Some(host_device("/dev/null")?) } else { None };
        let devices = if plan.namespaces.has_user_namespace() {
            crate::devices::DEFAULT
                .iter()
                .map(|device| host_device(&format!("/dev/{}", device.name)))
                .collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        Ok(Self { root, mounts, devices, null })
    }

    /// Every descriptor, so that the new process can keep just these.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = vec![self.root.as_fd()];
        fds.extend(self.null.iter().map(AsFd::as_fd));
        fds.extend(self.devices.iter().map(AsFd::as_fd));
        for source in &self.mounts {
            match source {
                Source::New => {}
                Source::Tree(tree) => fds.push(tree.as_fd()),
                Source::Hierarchies { trees, .. } => fds.extend(trees.iter().map(|(_, tree)| tree.as_fd())),
            }
        }
        fds
    }
}

fn host_device(path: &str) -> Result<OwnedFd, StartError> {
    clone_tree(CWD, path, false)
        .during(|| format!("open {path} of the host"))
        .map_err(|error| error.about(path))
}

/// A mount that the caller brings.
fn take_over(tree: BorrowedFd<'_>, mount: &MountPlan<'_>, plan: &Plan<'_>) -> Result<Source, StartError> {
    let take = || {
        let tree = tree.try_clone_to_owned()?;
        prepare(&tree, &mount.options, plan, mount)?;
        Ok(Source::Tree(tree))
    };
    take().map_err(|error: io::Error| {
        let target = mount.destination.display().to_string();
        StartError::new(format!("error mounting what is given for {target:?}"), error)
    })
}

fn source(
    mount: &MountPlan<'_>,
    bundle: &Path,
    plan: &Plan<'_>,
    cgroup: Option<&Cgroup>,
) -> Result<Source, StartError> {
    if mount.options.remount {
        return Ok(Source::New);
    }
    if let (Some(recursion), Some(path)) = (mount.options.bind, mount.source) {
        let path = bundle.join(path);
        let describe = || {
            let (path, target) = (path.display().to_string(), mount.destination.display().to_string());
            format!("error mounting {path:?} to rootfs at {target:?}: bind mount source")
        };
        let tree = clone_tree(CWD, &path, recursion.is_recursive())
            .during(describe)
            .map_err(|error| error.about(path.display().to_string()))?;
        prepare(&tree, &mount.options, plan, mount).during(describe)?;
        return Ok(Source::Tree(tree));
    }
    if mount.is("cgroup") && !crate::cgroup_mount::is_unified() {
        return crate::cgroup_mount::hierarchies(cgroup, &mount.options)
            .during(|| "open the container's cgroups".to_owned());
    }
    Ok(Source::New)
}

/// Gives the copy its attributes while nobody can see it yet.
fn prepare(tree: &OwnedFd, options: &MountOptions, plan: &Plan<'_>, mount: &MountPlan<'_>) -> io::Result<()> {
    if options.id_map.is_some() || !mount.mount.uid_mappings.is_empty() {
        map_ids(tree, options, plan, mount)?;
    }
    apply(tree.as_fd(), options)?;
    // A copy of a shared mount is in the same peer group: without a word it would let mounts through both ways.
    if options.propagation.is_empty() {
        let propagation = MountPropagationFlags::PRIVATE;
        set_attributes(tree, true, &Attributes { propagation, ..Attributes::default() })?;
    }
    Ok(())
}

/// Applies attributes and propagation to a mount that is not new.
///
/// Only what the options turn *on* (and the access time mode) is changed: `rw` or `exec` in a list does not take
/// away what the host's own mount forbids.
pub(crate) fn apply(mount: BorrowedFd<'_>, options: &MountOptions) -> io::Result<()> {
    let access_time = MountAttrFlags::MOUNT_ATTR__ATIME;
    for (recursive, set, clear) in [
        (false, options.set, options.clear & access_time),
        (true, options.set_recursive, options.clear_recursive & access_time),
    ] {
        if !set.is_empty() || !clear.is_empty() {
            set_attributes(mount, recursive, &Attributes { set, clear, ..Attributes::default() })?;
        }
    }
    for (propagation, recursion) in &options.propagation {
        let attributes = Attributes { propagation: *propagation, ..Attributes::default() };
        set_attributes(mount, recursion.is_recursive(), &attributes)?;
    }
    Ok(())
}

fn map_ids(tree: &OwnedFd, options: &MountOptions, plan: &Plan<'_>, mount: &MountPlan<'_>) -> io::Result<()> {
    let (uids, gids) = match plan.linux() {
        Some(linux) if mount.mount.uid_mappings.is_empty() => (&linux.uid_mappings, &linux.gid_mappings),
        _ => (&mount.mount.uid_mappings, &mount.mount.gid_mappings),
    };
    let namespace = linux::namespaces::user_namespace(
        &crate::namespaces::map_lines(uids),
        &crate::namespaces::map_lines(gids),
    )?;
    let attributes = Attributes {
        set: MountAttrFlags::MOUNT_ATTR_IDMAP,
        user_namespace: Some(namespace.as_fd()),
        ..Attributes::default()
    };
    set_attributes(tree, options.id_map == Some(Recursion::Recursive), &attributes)
}
