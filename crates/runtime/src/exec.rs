//! One more process in a running container.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use linux::clone::{Child, CloneArgs, Forked, spawn};
use oci::runtime::{Personality, Process};
use rustix::process::DumpableBehavior;
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::cgroup::Cgroup;
use crate::channel::{self, Report};
use crate::container::{Entrance, Stdio, Unfinished, await_sibling, set_oom_score};
use crate::error::{During, Phase, StartError};
use crate::failpoints;
use crate::identity;
use crate::namespaces::become_root;
use crate::plan::ProcessPlan;
use crate::scheduling;
use crate::seccomp::Program;

/// What [`exec`] needs.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// Pidfd of the container's init: its namespaces are joined through it.
    pub init: BorrowedFd<'a>,
    /// Host pid of the container's init.
    pub init_pid: i32,
    /// The process.
    pub process: &'a Process,
    /// Standard streams.
    pub stdio: Stdio,
    /// Compiled filter.
    pub seccomp: Option<&'a Program>,
    /// Execution domain, which is the container's, not the process's.
    pub personality: Option<&'a Personality>,
    /// The container's cgroup, joined before the program runs.
    pub cgroup: Option<&'a Cgroup>,
    /// A cgroup below it, made by [`Cgroup::scope`], that keeps the process and what it starts apart.
    pub scope: Option<&'a Cgroup>,
}

/// A running exec'd process; a child of the caller.
#[derive(Debug)]
pub struct ExecProcess {
    /// Host pid.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Master of its terminal, with [`Stdio::Terminal`].
    pub console: Option<OwnedFd>,
}

/// Starts a process in a container. Returns when `execve` has succeeded or failed. The caller must be
/// single-threaded, see [`linux::clone`].
pub fn exec(request: ExecRequest<'_>) -> Result<ExecProcess, StartError> {
    exec_with(request, 0)
}

/// [`exec`], with descriptors 3 … 2 + `preserve_fds` of the caller open in the program.
pub fn exec_with(request: ExecRequest<'_>, preserve_fds: u32) -> Result<ExecProcess, StartError> {
    let kinds = namespaces_of(request.init_pid)
        .during(|| format!("find the namespaces of process {}", request.init_pid))?;
    let has_user_namespace = kinds.contains(ThreadNameSpaceType::USER);
    // Capabilities that cannot be had are left out, as at the container's start, where it was said.
    let plan = ProcessPlan::new(
        request.process,
        request.seccomp.map(Cow::Borrowed),
        request.personality,
        has_user_namespace,
        &mut Vec::new(),
    )?;
    identity::check_labels(request.process)?;
    let (ours, theirs) = channel::pair().during(|| "make a socket pair".to_owned())?;
    let entrance = Entrance::with_scope(request.cgroup, request.scope)?;
    let joining = Joining {
        plan: &plan,
        init: request.init,
        kinds,
        stdio: request.stdio,
        entrance: &entrance,
        channel: theirs.as_fd(),
        preserve_fds,
    };
    let args = CloneArgs { cgroup: entrance.directory(), ..CloneArgs::default() };
    let transient =
        spawn(&args, |forked| joining.transient(&forked)).during(|| "start a process".to_owned())?;
    drop(theirs);
    let (child, early) = await_sibling(Unfinished::new(transient), ours.as_fd())?;
    failpoints::EXEC_CLONED.check().during(|| "set the process up".to_owned())?;
    let console = until_running(&child, ours.as_fd(), early)?;
    let Child { pid, pidfd } = child.finish();
    Ok(ExecProcess { pid, pidfd, console })
}

fn until_running(
    child: &Unfinished,
    channel: BorrowedFd<'_>,
    early: Vec<Report>,
) -> Result<Option<OwnedFd>, StartError> {
    let step = || "wait for the process".to_owned();
    let mut early = early.into_iter();
    let mut ready = None;
    loop {
        let report = match early.next() {
            Some(report) => report,
            None => channel::next_report(channel).during(step)?,
        };
        match (report, &mut ready) {
            (Report::Ready(console), None) => ready = Some(console),
            (Report::Closed, Some(console)) => return Ok(console.take()),
            (Report::Closed, None) => return Err(StartError::refused(step(), child.end())),
            (Report::Failed(error), _) => return Err(error),
            (Report::Hooks | Report::Pid(_) | Report::Ready(_), _) => {
                return Err(StartError::refused(step(), "it spoke out of turn"));
            }
        }
    }
}

/// Kinds of namespaces to join of process `pid`. Joining one's own again does no harm, except that the kernel
/// refuses it for a user namespace, and for one of time where it does not have them.
fn namespaces_of(pid: i32) -> io::Result<ThreadNameSpaceType> {
    let mut kinds = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::CONTROL_GROUP;
    for (kind, name) in [(ThreadNameSpaceType::USER, "user"), (ThreadNameSpaceType::TIME, "time")] {
        let inode = |process: &str| match std::fs::metadata(format!("/proc/{process}/ns/{name}")) {
            Ok(namespace) => Ok(Some(namespace.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        if inode(&pid.to_string())? != inode("self")? {
            kinds |= kind;
        }
    }
    Ok(kinds)
}

/// A process on its way into a container.
struct Joining<'a> {
    plan: &'a ProcessPlan<'a>,
    init: BorrowedFd<'a>,
    kinds: ThreadNameSpaceType,
    stdio: Stdio,
    entrance: &'a Entrance<'a>,
    channel: BorrowedFd<'a>,
    preserve_fds: u32,
}

impl Joining<'_> {
    /// The transient process: joins everything, then makes the real one as its sibling, for a pid namespace is
    /// entered only by children. What it sets for itself, that one inherits.
    fn transient(self, forked: &Forked) -> i32 {
        let channel = self.channel;
        let made = self.join(forked).and_then(|()| {
            let args = CloneArgs { sibling: true, ..CloneArgs::default() };
            spawn(&args, |_| self.run()).during(|| "start the process".to_owned())
        });
        let report = match made {
            Ok(child) => Report::Pid(child.pid),
            Err(error) => Report::Failed(error.in_phase(Phase::Exec)),
        };
        i32::from(channel::report(channel, &report).is_err())
    }

    fn join(&self, forked: &Forked) -> Result<(), StartError> {
        let mut keep = vec![self.channel, self.init];
        if let Stdio::Fds(streams) = &self.stdio {
            keep.extend(streams.iter().map(AsFd::as_fd));
        }
        forked.close_all_except(3 + self.preserve_fds, &keep).during(|| "close descriptors".to_owned())?;
        forked.reset_signals();
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let affinity = self.plan.process.exec_cpu_affinity.as_ref();
        if let Some(list) = affinity.and_then(|affinity| affinity.initial.as_deref()) {
            scheduling::set_affinity(list)?;
        }
        self.entrance.enter()?;
        if let Some(value) = self.plan.process.oom_score_adj {
            set_oom_score(pid, value)?;
        }
        if self.kinds.contains(ThreadNameSpaceType::USER) {
            // Inside the user namespace the right to raise a limit is gone.
            self.set_limits()?;
        }
        if identity::has_labels(self.plan.process) {
            let proc = linux::fs::open_dir(Path::new("/proc")).during(|| "open /proc".to_owned())?;
            identity::set_labels(self.plan.process, proc.as_fd())?;
        }
        // Before there is anybody in the container who could look into this process (CVE-2016-9962).
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .during(|| "forbid inspection".to_owned())?;
        move_into_thread_name_spaces(self.init, self.kinds)
            .during(|| "join the container's namespaces".to_owned())?;
        if self.kinds.contains(ThreadNameSpaceType::USER) {
            become_root()?;
        }
        Ok(())
    }

    fn run(self) -> i32 {
        let channel = self.channel;
        let first_private = 3 + self.preserve_fds;
        let plan = self.plan;
        let prepared = self.prepare().and_then(|master| {
            let ready = identity::assume(plan, first_private, true)?;
            channel::report(channel, &Report::Ready(master)).during(|| "report to the runtime".to_owned())?;
            Ok(ready)
        });
        let error = match prepared {
            Ok(ready) => ready.run(None),
            Err(error) => error,
        };
        // Without a listener there is nobody left to tell.
        let _ = channel::report(channel, &Report::Failed(error.in_phase(Phase::Exec)));
        1
    }

    fn prepare(self) -> Result<Option<OwnedFd>, StartError> {
        let affinity = self.plan.process.exec_cpu_affinity.as_ref();
        if let Some(list) = affinity.and_then(|affinity| affinity.last.as_deref()) {
            scheduling::set_affinity(list)?;
        }
        rustix::process::setsid().during(|| "start a session".to_owned())?;
        if !self.kinds.contains(ThreadNameSpaceType::USER) {
            self.set_limits()?;
        }
        match self.stdio {
            Stdio::Fds(streams) => {
                identity::set_streams(streams).during(|| "set up standard streams".to_owned())?;
                Ok(None)
            }
            Stdio::Terminal => {
                let root = identity::own_root().during(|| "open the container's root".to_owned())?;
                let (master, pty) = identity::open_terminal(root.as_fd(), self.plan.process)?;
                identity::set_terminal(pty.as_fd()).during(|| "set up the terminal".to_owned())?;
                Ok(Some(master))
            }
        }
    }

    fn set_limits(&self) -> Result<(), StartError> {
        self.plan.limits.iter().try_for_each(|limit| limit.apply(None))
    }
}
