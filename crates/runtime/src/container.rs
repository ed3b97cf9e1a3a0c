//! The container's first process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::clone::{Child, CloneArgs, spawn};
use oci::runtime::{Spec, State};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use rustix::thread::ThreadNameSpaceType;

use crate::cgroup::Cgroup;
use crate::channel::{self, Command, Report};
use crate::error::{During, StartError};
use crate::failpoints;
use crate::init::{self, Setup};
use crate::namespaces::{Joins, write_mappings};
use crate::plan::Plan;
use crate::seccomp::Program;
use crate::sources::Sources;

/// Where the root file system comes from.
#[derive(Debug)]
pub enum Rootfs<'a> {
    /// A directory, bind-mounted onto itself in the container's mount namespace.
    Path(&'a Path),
    /// A detached mount (`fsmount`, `open_tree`), moved into the container's mount namespace.
    Detached(BorrowedFd<'a>),
}

/// Standard input, output and error of a process.
#[derive(Debug)]
pub enum Stdio {
    /// These three, in order.
    Fds([OwnedFd; 3]),
    /// A new pseudo-terminal of the container's own devpts; the master comes back in [`Init::console`].
    Terminal,
}

/// What [`create`] needs.
#[derive(Debug)]
pub struct InitRequest<'a> {
    /// The specification. `linux.seccomp` is used only when `seccomp` below is none.
    pub spec: &'a Spec,
    /// Directory that relative paths in the specification start from.
    pub bundle: &'a Path,
    /// The root file system.
    pub rootfs: Rootfs<'a>,
    /// Standard streams.
    pub stdio: Stdio,
    /// Compiled filter, in place of the specification's.
    pub seccomp: Option<&'a Program>,
    /// The container's cgroup: made, limits set. The process is in it before it runs a line of its own.
    pub cgroup: Option<&'a Cgroup>,
}

/// What few callers of [`create_with`] want otherwise.
#[derive(Debug, Default)]
pub struct CreateOptions<'a> {
    /// Run the hooks of the specification, with this state on their standard input (pid and status filled in).
    pub hooks: Option<&'a State>,
    /// A listening `SOCK_SEQPACKET` socket, blocking: whoever connects can start the program by [`start_by`].
    /// [`Init::start`] cannot be used then.
    pub gate: Option<BorrowedFd<'a>>,
    /// Descriptors 3 … 2 + n of the caller stay open in the program.
    pub preserve_fds: u32,
    /// Detached mounts that stand in for the sources of the mounts at these destinations.
    pub given: &'a [(&'a Path, BorrowedFd<'a>)],
    /// Program that becomes the container's first process in place of the specification's, with that one's command
    /// line as its arguments; see [`crate::reaper`].
    pub reaper: Option<BorrowedFd<'a>>,
    /// `chroot` instead of `pivot_root`, where the machine's root is an initramfs.
    pub no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub no_new_keyring: bool,
}

/// A container's first process, set up and waiting for [`Init::start`].
#[derive(Debug)]
pub struct Init {
    /// Host pid.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Master of its terminal, with [`Stdio::Terminal`].
    pub console: Option<OwnedFd>,
    /// What the specification asked for and the machine cannot give, for a log.
    pub warnings: Vec<String>,
    /// The channel to the process, where it waits for start.
    gate: OwnedFd,
}

/// Sets a container up: namespaces, mounts, root, devices, limits; everything up to `execve` of the program.
///
/// The caller becomes the parent of the new process. On an error nothing is left behind. The caller must be
/// single-threaded, see [`linux::clone`].
pub fn create(request: InitRequest<'_>) -> Result<Init, StartError> {
    create_with(request, &CreateOptions::default())
}

/// [`create`], with options.
pub fn create_with(request: InitRequest<'_>, options: &CreateOptions<'_>) -> Result<Init, StartError> {
    let mut plan = Plan::new(request.spec, request.seccomp)?;
    let warnings = std::mem::take(&mut plan.warnings);
    crate::identity::check_labels(plan.process.process)?;
    let namespaces = &plan.namespaces;
    let two_steps = namespaces.need_transient();
    let (ours, theirs) = channel::pair().during(|| "make a socket pair".to_owned())?;
    let setup = Setup {
        plan: &plan,
        sources: Sources::open(&plan, &request, options.given)?,
        joins: Joins::open(namespaces)?,
        stdio: request.stdio,
        gate: options.gate,
        reaper: options.reaper,
        preserve_fds: options.preserve_fds,
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        hooks: options.hooks,
        wait_first: two_steps || namespaces.new.contains(ThreadNameSpaceType::USER),
    };
    let wait_first = setup.wait_first;
    let entrance = Entrance::new(request.cgroup)?;
    // The cgroup namespace's root is the cgroup of the moment, so it is made when the process is in its own.
    let at_clone = namespaces.new - ThreadNameSpaceType::CONTROL_GROUP - ThreadNameSpaceType::TIME;
    let args = CloneArgs { namespaces: at_clone.bits().cast_signed(), ..CloneArgs::default() };
    let here = CloneArgs { cgroup: entrance.directory(), ..CloneArgs::default() };
    let spawned = if two_steps {
        spawn(&here, |_| init::transient(setup, &entrance, theirs.as_fd(), &args))
    } else {
        spawn(&CloneArgs { namespaces: args.namespaces, ..here }, |forked| {
            init::run(setup, Some(&entrance), theirs.as_fd(), &forked)
        })
    };
    let spawned = Unfinished::new(spawned.during(|| "start the container's process".to_owned())?);
    drop(theirs);
    let (child, early) =
        if two_steps { await_sibling(spawned, ours.as_fd())? } else { (spawned, Vec::new()) };
    // Before its first command a process of two steps can only report a failure.
    if let Some(Report::Failed(error)) = early.into_iter().next() {
        return Err(error);
    }
    let step = || "set the container's process up".to_owned();
    failpoints::CREATE_CLONED.check().during(step)?;
    let guide = Guide { plan: &plan, child: &child, channel: ours.as_fd(), hooks: options.hooks };
    let console = guide.see_through(wait_first)?;
    failpoints::CREATE_SET_UP.check().during(step)?;
    let Child { pid, pidfd } = child.finish();
    Ok(Init { pid, pidfd, console, warnings, gate: ours })
}

/// The way into a cgroup that does not make the kernel stop every `fork` and `exit` of the machine, as moving
/// another process does (measured: 2 to 12 ms of waiting on cgroup v1).
#[derive(Debug)]
pub(crate) struct Entrance<'a> {
    cgroup: Option<&'a Cgroup>,
    /// A part of it, entered after it.
    scope: Option<&'a Cgroup>,
    /// On v2: where the new process is born.
    directory: Option<OwnedFd>,
}

impl<'a> Entrance<'a> {
    pub(crate) fn new(cgroup: Option<&'a Cgroup>) -> Result<Self, StartError> {
        Self::with_scope(cgroup, None)
    }

    /// The way into a part of a cgroup.
    pub(crate) fn with_scope(
        cgroup: Option<&'a Cgroup>,
        scope: Option<&'a Cgroup>,
    ) -> Result<Self, StartError> {
        let directory = match scope.or(cgroup) {
            Some(cgroup) => cgroup.dir_fd().during(|| format!("open cgroup {:?}", cgroup.path()))?,
            None => None,
        };
        Ok(Self { cgroup, scope, directory })
    }

    /// For [`CloneArgs::cgroup`].
    pub(crate) fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.directory.as_ref().map(AsFd::as_fd)
    }

    /// The new process's part: on v1 it walks in itself, while the host's cgroup mounts still have names.
    pub(crate) fn enter(&self) -> Result<(), StartError> {
        if self.directory.is_some() {
            return Ok(());
        }
        [self.cgroup, self.scope].into_iter().flatten().try_for_each(|cgroup| {
            cgroup.enter().during(|| format!("unable to apply cgroup configuration: {:?}", cgroup.path()))
        })
    }
}

/// A process that is killed and reaped unless somebody says that it is finished.
#[derive(Debug)]
pub(crate) struct Unfinished(Option<Child>);

impl Unfinished {
    pub(crate) fn new(child: Child) -> Self {
        Self(Some(child))
    }

    fn child(&self) -> &Child {
        self.0.as_ref().expect("only `finish` takes it, with self")
    }

    pub(crate) fn finish(mut self) -> Child {
        self.0.take().expect("only `finish` takes it, with self")
    }

    /// How it ended, for an error text. Waits for that, so it must be about to end.
    pub(crate) fn end(&self) -> String {
        let status =
            waitid(WaitId::PidFd(self.child().pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        match status.ok().flatten() {
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (_, Some(signal)) => format!("it was ended by signal {signal} before it ran the program"),
                (code, None) => {
                    format!("it exited with {} before it ran the program", code.unwrap_or_default())
                }
            },
            None => "it is gone".to_owned(),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(child) = &self.0 {
            // It may have ended by itself; then there is only the reaping to do.
            let _ = pidfd_send_signal(&child.pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }
}

/// Waits until a transient process has made the real one, and reaps it. With the process come the reports that it
/// sent before its maker told of it.
pub(crate) fn await_sibling(
    transient: Unfinished,
    channel: BorrowedFd<'_>,
) -> Result<(Unfinished, Vec<Report>), StartError> {
    let step = || "wait for the process to be made".to_owned();
    let mut early = Vec::new();
    loop {
        match channel::next_report(channel).during(step)? {
            Report::Pid(pid) => {
                let pid = Pid::from_raw(pid)
                    .ok_or_else(|| StartError::refused(step(), "its number makes no sense"))?;
                // A child of ours that nobody but us reaps: the number cannot have passed to another process.
                let pidfd = pidfd_open(pid, PidfdFlags::empty()).during(step)?;
                return Ok((Unfinished::new(Child { pid: pid.as_raw_nonzero().get(), pidfd }), early));
            }
            Report::Closed => {
                let failed = early.into_iter().find_map(|report| match report {
                    Report::Failed(error) => Some(error),
                    _ => None,
                });
                return Err(failed.unwrap_or_else(|| StartError::refused(step(), transient.end())));
            }
            report => early.push(report),
        }
    }
}

/// The runtime's side of a start.
struct Guide<'a> {
    plan: &'a Plan<'a>,
    child: &'a Unfinished,
    channel: BorrowedFd<'a>,
    hooks: Option<&'a State>,
}

impl Guide<'_> {
    fn see_through(&self, wait_first: bool) -> Result<Option<OwnedFd>, StartError> {
        let pid = self.child.child().pid;
        if wait_first {
            if let Some(linux) = self.plan.linux()
                && self.plan.namespaces.new.contains(ThreadNameSpaceType::USER)
            {
                write_mappings(pid, linux)?;
            }
            self.go();
        }
        if let Some(value) = self.plan.process.process.oom_score_adj {
            set_oom_score(pid, value).map_err(|error| self.cause(error))?;
        }
        let console = self.until_ready()?;
        if self.plan.namespaces.new.contains(ThreadNameSpaceType::USER) {
            // In its user namespace the process has no right to raise a limit. Otherwise it sets them itself, while it
            // is root: from here that would need CAP_SYS_RESOURCE once it has become another user.
            for limit in &self.plan.process.limits {
                limit.apply(Pid::from_raw(pid))?;
            }
        }
        Ok(console)
    }

    fn until_ready(&self) -> Result<Option<OwnedFd>, StartError> {
        let step = || "wait for the container's process".to_owned();
        loop {
            match channel::next_report(self.channel).during(step)? {
                Report::Ready(console) => return Ok(console),
                Report::Hooks => {
                    self.run_hooks()?;
                    self.go();
                }
                Report::Failed(error) => return Err(error),
                Report::Closed => return Err(StartError::refused(step(), self.child.end())),
                Report::Pid(_) => return Err(StartError::refused(step(), "it spoke out of turn")),
            }
        }
    }

    fn run_hooks(&self) -> Result<(), StartError> {
        let (Some(state), Some(hooks)) = (self.hooks, &self.plan.spec.hooks) else { return Ok(()) };
        let pid = Some(self.child.child().pid);
        let state = State { pid, ..state.clone() };
        crate::hooks::run("prestart", &hooks.prestart, &state)?;
        crate::hooks::run("createRuntime", &hooks.create_runtime, &state)
    }

    /// A process that has failed meanwhile does not hear it; its report is read next.
    fn go(&self) {
        let _ = channel::command(self.channel, Command::Go);
    }

    /// The process's own report when it is gone already, which explains `error` better than `ESRCH` does.
    fn cause(&self, error: StartError) -> StartError {
        if ![libc::ESRCH, libc::ENOENT].contains(&error.errno()) {
            return error;
        }
        match channel::next_report(self.channel) {
            Ok(Report::Failed(reported)) => reported,
            _ => error,
        }
    }
}

/// Sets the OOM score. One below what the kernel lets a process go back to needs CAP_SYS_RESOURCE. Only 0, which
/// engines write where nobody asked for anything, may then stay the inherited one: that makes the container a likelier
/// victim than others, never a less likely one.
pub(crate) fn set_oom_score(pid: i32, value: i32) -> Result<(), StartError> {
    let step = || format!("set oom_score_adj {value}");
    let path = format!("/proc/{pid}/oom_score_adj");
    let file = std::fs::OpenOptions::new().write(true).open(path).during(step)?;
    match rustix::io::write(&file, value.to_string().as_bytes()) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::ACCESS) if value == 0 => Ok(()),
        Err(error @ rustix::io::Errno::ACCESS) => {
            let reason = "operation not permitted: a value below the runtime's own needs CAP_SYS_RESOURCE, which the \
                          runtime does not have on this machine; ask for a higher value, or give it the capability";
            // EPERM: EACCES would speak of the program, which is not at fault.
            Err(StartError::new(step(), error.into()).because(libc::EPERM, reason))
        }
        Err(error) => Err(StartError::new(step(), error.into())),
    }
}

impl Init {
    /// Runs the user's program. Returns when `execve` has succeeded or failed; after a failure the process is
    /// gone and reaped.
    pub fn start(&mut self) -> Result<(), StartError> {
        start_on(self.gate.as_fd()).inspect_err(|_| {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        })
    }
}

/// Starts the program of a process that was created with [`CreateOptions::gate`], over a connection to that socket.
pub fn start_by(connection: BorrowedFd<'_>) -> Result<(), StartError> {
    start_on(connection)
}

fn start_on(channel: BorrowedFd<'_>) -> Result<(), StartError> {
    let step = || "start the container's program".to_owned();
    channel::command(channel, Command::Start).during(step)?;
    match channel::next_report(channel).during(step)? {
        Report::Closed => Ok(()),
        Report::Failed(error) => Err(error),
        Report::Hooks | Report::Pid(_) | Report::Ready(_) => {
            Err(StartError::refused(step(), "it spoke out of turn"))
        }
    }
}
