//! The container's first process, from `clone3` to `execve`.
//!
//! It is a copy of a single-threaded process, so it may allocate and open files; it must not log (the runtime's
//! log is not its own), must not return into the runtime's frames, and reports everything on its channel.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::clone::{CloneArgs, Forked, spawn};
use linux::mount::{Attributes, set_attributes};
use oci::runtime::{Hooks, State};
use rustix::fs::Mode;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, UnmountFlags};
use rustix::process::DumpableBehavior;
use rustix::thread::ThreadNameSpaceType;

use crate::beneath::{self, Make};
use crate::channel::{self, Command, Report};
use crate::container::{Entrance, Stdio};
use crate::devices;
use crate::error::{During, Phase, StartError};
use crate::identity;
use crate::masks;
use crate::mount_options;
use crate::mounts::{self, Root};
use crate::namespaces::{self, Joins};
use crate::plan::Plan;
use crate::sources::Sources;

/// Everything the new process works with; a copy of the runtime's.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub plan: &'a Plan<'a>,
    pub sources: Sources,
    pub joins: Joins,
    pub stdio: Stdio,
    /// Listening socket on which somebody will come to give the start command; the channel itself when none.
    pub gate: Option<BorrowedFd<'a>>,
    /// Program that becomes the first process and runs the specification's as its child.
    pub reaper: Option<BorrowedFd<'a>>,
    /// Descriptors 3 … 2 + n are the program's.
    pub preserve_fds: u32,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// Run the specification's hooks, with this state.
    pub hooks: Option<&'a State>,
    /// Wait for the runtime before anything else.
    pub wait_first: bool,
}

/// The intermediate process of a two-step start: enters what only children can be born into, makes the first
/// process as its own sibling, tells its pid.
pub(crate) fn transient(
    setup: Setup<'_>,
    entrance: &Entrance<'_>,
    channel: BorrowedFd<'_>,
    args: &CloneArgs<'_>,
) -> i32 {
    let prepare = || {
        entrance.enter()?;
        if setup.plan.namespaces.new.contains(ThreadNameSpaceType::TIME) {
            namespaces::unshare_time(setup.plan.linux())?;
        }
        setup.joins.join()
    };
    let made = prepare().and_then(|()| {
        let args = CloneArgs { sibling: true, ..*args };
        spawn(&args, |forked| run(setup, None, channel, &forked))
            .during(|| "start the container's process".to_owned())
    });
    let report = match made {
        Ok(child) => Report::Pid(child.pid),
        Err(error) => Report::Failed(error),
    };
    i32::from(channel::report(channel, &report).is_err())
}

/// The first process. Returns only when it did not become the program, with an exit code for nobody to read.
///
/// `entrance` leads to its cgroup, unless it was born there.
pub(crate) fn run(
    setup: Setup<'_>,
    entrance: Option<&Entrance<'_>>,
    channel: BorrowedFd<'_>,
    forked: &Forked,
) -> i32 {
    let fail = |to: BorrowedFd<'_>, error: StartError| {
        // Without a listener there is nobody left to tell.
        let _ = channel::report(to, &Report::Failed(error.in_phase(Phase::Init)));
        1
    };
    let (gate, first_private, new_keyring) = (setup.gate, 3 + setup.preserve_fds, !setup.no_new_keyring);
    let reaper = setup.reaper;
    let (plan, hooks) = (setup.plan, setup.hooks.zip(setup.plan.spec.hooks.as_ref()));
    let entered = entrance.map_or(Ok(()), Entrance::enter);
    let prepared = entered.and_then(|()| prepare(setup, channel, forked)).and_then(|master| {
        if !plan.namespaces.new.contains(ThreadNameSpaceType::USER) {
            // Late, since a low limit must not get in the way of the setting up; but while the process is root.
            plan.process.limits.iter().try_for_each(|limit| limit.apply(None))?;
        }
        let ready = identity::assume(&plan.process, first_private, new_keyring)?;
        channel::report(channel, &Report::Ready(master)).during(|| "report to the runtime".to_owned())?;
        Ok(ready)
    });
    let (ready, caller) = match prepared.and_then(|ready| Ok((ready, await_caller(gate)?))) {
        Ok(ready) => ready,
        Err(error) => return fail(channel, error),
    };
    let starter = caller.as_ref().map_or(channel, AsFd::as_fd);
    let started = channel::await_command(starter, Command::Start).during(|| "wait for start".to_owned());
    let hooked = started.and_then(|()| match hooks {
        Some((state, hooks)) => {
            crate::hooks::run("startContainer", &hooks.start_container, &as_seen_here(state, "created"))
        }
        None => Ok(()),
    });
    match hooked {
        Ok(()) => fail(starter, ready.run(reaper)),
        Err(error) => fail(starter, error),
    }
}

/// With a gate: waits until somebody connects to it.
fn await_caller(gate: Option<BorrowedFd<'_>>) -> Result<Option<OwnedFd>, StartError> {
    let accept = |gate| {
        rustix::io::retry_on_intr(|| rustix::net::accept_with(gate, rustix::net::SocketFlags::CLOEXEC))
    };
    gate.map(accept).transpose().during(|| "wait for start".to_owned())
}

/// The state for a hook that runs in the container's namespaces: with the pid that is valid there.
fn as_seen_here(state: &State, status: &str) -> State {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    State { pid: Some(pid), status: status.to_owned(), ..state.clone() }
}

/// Everything up to the process's own identity. Returns the master of its terminal.
fn prepare(
    setup: Setup<'_>,
    channel: BorrowedFd<'_>,
    forked: &Forked,
) -> Result<Option<OwnedFd>, StartError> {
    isolate(&setup, channel, forked)?;
    let plan = setup.plan;
    let new = plan.namespaces.new;
    if setup.wait_first {
        channel::await_command(channel, Command::Go).during(|| "wait for the runtime".to_owned())?;
    }
    if new.contains(ThreadNameSpaceType::USER) {
        namespaces::become_root()?;
    }
    if !plan.namespaces.need_transient() {
        setup.joins.join()?;
    }
    if new.contains(ThreadNameSpaceType::NETWORK) {
        linux::namespaces::bring_up_loopback().during(|| "bring up the loopback interface".to_owned())?;
    }
    if new.contains(ThreadNameSpaceType::CONTROL_GROUP) {
        linux::namespaces::unshare(ThreadNameSpaceType::CONTROL_GROUP)
            .during(|| "make a cgroup namespace".to_owned())?;
    }
    set_names(plan)?;
    let streams = match setup.stdio {
        Stdio::Fds(streams) => Some(streams),
        Stdio::Terminal => None,
    };
    let hooks = setup.hooks.zip(plan.spec.hooks.as_ref());
    let fill = Fill { plan, hooks, channel, no_pivot: setup.no_pivot };
    let master = fill.run(setup.sources, streams.is_none())?;
    if let Some(streams) = streams {
        identity::set_streams(streams).during(|| "set up standard streams".to_owned())?;
    }
    Ok(master)
}

/// Leaves behind what was the runtime's: its descriptors, signals, session, and being open to inspection.
fn isolate(setup: &Setup<'_>, channel: BorrowedFd<'_>, forked: &Forked) -> Result<(), StartError> {
    let mut keep = setup.sources.fds();
    keep.extend(setup.joins.fds());
    keep.push(channel);
    keep.extend(setup.gate);
    keep.extend(setup.reaper);
    if let Stdio::Fds(streams) = &setup.stdio {
        keep.extend(streams.iter().map(AsFd::as_fd));
    }
    forked.close_all_except(3 + setup.preserve_fds, &keep).during(|| "close descriptors".to_owned())?;
    forked.reset_signals();
    rustix::process::setsid().during(|| "start a session".to_owned())?;
    // Until execve, processes of a joined pid namespace must not look into this one (CVE-2016-9962).
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during(|| "forbid inspection".to_owned())?;
    rustix::process::umask(Mode::empty());
    Ok(())
}

fn set_names(plan: &Plan<'_>) -> Result<(), StartError> {
    let private = plan.namespaces.is_private(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME);
    let name = |name: &'_ Option<String>| name.clone().filter(|name| !name.is_empty());
    for (what, name, set) in [
        ("hostname", name(&plan.spec.hostname), rustix::system::sethostname as fn(&[u8]) -> _),
        ("domainname", name(&plan.spec.domainname), rustix::system::setdomainname),
    ] {
        let Some(name) = name else { continue };
        let step = || format!("set {what} {name:?}");
        if !private {
            return Err(StartError::refused(step(), "the container shares the host's uts namespace"));
        }
        set(name.as_bytes()).during(step)?;
    }
    Ok(())
}

/// Filling the container's root.
struct Fill<'a> {
    plan: &'a Plan<'a>,
    hooks: Option<(&'a State, &'a Hooks)>,
    channel: BorrowedFd<'a>,
    no_pivot: bool,
}

impl Fill<'_> {
    /// Enters the root and fills it; opens the terminal in between, when one is wanted.
    ///
    /// The root is entered first where that is possible, so that from then on nothing of the host has a name here.
    fn run(&self, sources: Sources, terminal: bool) -> Result<Option<OwnedFd>, StartError> {
        let plan = self.plan;
        attach_root(sources.root.as_fd())?;
        let enter_late = self.enters_late();
        if !enter_late {
            self.enter(sources.root.as_fd())?;
        }
        let label = plan.linux().and_then(|linux| linux.mount_label.as_deref());
        let label = label.filter(|label| !label.is_empty());
        let mut root = Root { fd: sources.root, label, proc: None };
        for (mount, source) in plan.mounts.iter().zip(sources.mounts) {
            root.mount(mount, source)?;
        }
        let host_dev = plan
            .mounts
            .iter()
            .any(|mount| mount.destination == Path::new("/dev") && mount.options.bind.is_some());
        let master = make_dev(plan, &root, &sources.devices, host_dev, terminal)?;
        if self.hooks.is_some() {
            self.run_hooks()?;
        }
        if enter_late {
            self.enter(root.fd.as_fd())?;
        }
        self.restrict(&root, sources.null)?;
        set_labels(plan, &root)?;
        Ok(master)
    }

    /// Hooks want the host's view of the finished root. And in a user namespace the kernel lets a new proc or sysfs
    /// be mounted only while the host's, with nothing mounted over it, is there to be seen.
    fn enters_late(&self) -> bool {
        self.hooks.is_some() || self.plan.namespaces.has_user_namespace()
    }

    fn enter(&self, root: BorrowedFd<'_>) -> Result<(), StartError> {
        rustix::process::fchdir(root).during(|| "enter the root file system".to_owned())?;
        if self.no_pivot {
            return rustix::process::chroot(".").during(|| "chroot to the root file system".to_owned());
        }
        // The old root ends up on top of the new one and comes off again: no directory for it is needed.
        rustix::process::pivot_root(".", ".").during(|| "pivot_root to the root file system".to_owned())?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).during(|| "detach the old root".to_owned())?;
        rustix::process::chdir("/").during(|| "enter the root file system".to_owned())
    }

    fn run_hooks(&self) -> Result<(), StartError> {
        channel::report(self.channel, &Report::Hooks)
            .and_then(|()| channel::await_command(self.channel, Command::Go))
            .during(|| "wait for the runtime's hooks".to_owned())?;
        match self.hooks {
            Some((state, hooks)) => {
                let state = as_seen_here(state, "creating");
                crate::hooks::run("createContainer", &hooks.create_container, &state)
            }
            None => Ok(()),
        }
    }

    fn restrict(&self, root: &Root<'_>, null: Option<OwnedFd>) -> Result<(), StartError> {
        let fd = root.fd.as_fd();
        if let Some(linux) = self.plan.linux() {
            if !linux.sysctl.is_empty() {
                masks::set_sysctls(own_proc(root)?.as_fd(), &linux.sysctl)?;
            }
            if let Some(propagation) = &linux.rootfs_propagation {
                set_propagation(fd, propagation)?;
            }
            masks::make_read_only(fd, &linux.readonly_paths)?;
            masks::mask(fd, &linux.masked_paths, null)?;
        }
        let cwd = &self.plan.process.process.cwd;
        // Entering it later says what is wrong with it, in words people know.
        let _ = beneath::open_or_make(fd, Path::new(cwd), Make::Directory);
        if self.plan.spec.root.as_ref().is_some_and(|root| root.readonly) {
            masks::read_only(fd, false).during(|| "make the root file system read-only".to_owned())?;
        }
        Ok(())
    }
}

/// Attaches the new root over the present one, in a mount namespace that no longer tells the host anything.
fn attach_root(root: BorrowedFd<'_>) -> Result<(), StartError> {
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).during(|| "separate mounts from the host's".to_owned())?;
    let propagation = MountPropagationFlags::PRIVATE;
    set_attributes(root, true, &Attributes { propagation, ..Attributes::default() })
        .during(|| "make the root file system private".to_owned())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(root, "", rustix::fs::CWD, "/", flags)
        .during(|| "attach the root file system".to_owned())
}

/// A proc file system whose files nothing can be mounted over: a fresh one, or, where a user namespace may not have
/// another, the container's own by its root (writers do not cross mounts).
fn own_proc(root: &Root<'_>) -> Result<OwnedFd, StartError> {
    match (mounts::detached_proc(), &root.proc) {
        (Err(error), Some(proc)) if error.errno() == libc::EPERM => {
            proc.try_clone().during(|| "use the container's proc file system".to_owned())
        }
        (fresh, _) => fresh,
    }
}

/// Security labels for the program; after the hooks that run here, which would get them too.
fn set_labels(plan: &Plan<'_>, root: &Root<'_>) -> Result<(), StartError> {
    let process = plan.process.process;
    if identity::has_labels(process) {
        identity::set_labels(process, own_proc(root)?.as_fd())
    } else {
        Ok(())
    }
}

fn set_propagation(root: BorrowedFd<'_>, value: &str) -> Result<(), StartError> {
    if value.is_empty() {
        return Ok(());
    }
    let step = || format!("set rootfsPropagation {value:?}");
    let (propagation, recursion) = mount_options::root_propagation(value)
        .ok_or_else(|| StartError::refused(step(), "it is no propagation type"))?;
    set_attributes(root, recursion.is_recursive(), &Attributes { propagation, ..Attributes::default() })
        .during(step)
}

/// /dev, and the terminal when one is wanted.
fn make_dev(
    plan: &Plan<'_>,
    root: &Root<'_>,
    host_devices: &[OwnedFd],
    host_dev: bool,
    terminal: bool,
) -> Result<Option<OwnedFd>, StartError> {
    let fd = root.fd.as_fd();
    let dev = devices::open_dev(fd)?;
    if !host_dev {
        devices::make_default(dev.as_fd(), host_devices)?;
        if let Some(linux) = plan.linux() {
            devices::make_listed(fd, &linux.devices, plan.namespaces.has_user_namespace())?;
        }
    }
    if !terminal {
        return Ok(None);
    }
    let (master, pty) = identity::open_terminal(fd, plan.process.process)?;
    if !host_dev {
        devices::bind_console(dev.as_fd(), pty.as_fd())
            .during(|| "bind the terminal to /dev/console".to_owned())?;
    }
    identity::set_terminal(pty.as_fd()).during(|| "set up the terminal".to_owned())?;
    Ok(Some(master))
}
