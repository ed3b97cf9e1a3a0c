//! The container itself: its root, its cgroup and its init; how a plan becomes these, and how they go.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ::failpoints::Injected;
use linux::mount::{OverlayOptions, overlay};
use linux::socket::listen_packets;
use oci::runtime::{Capabilities, Process, Resources, Spec};
use runtime::cgroup::Cgroup;
use runtime::seccomp::Program;
use runtime::{CreateOptions, ExecProcess, ExecRequest, Init, InitRequest, StartError, users};
use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};

use super::network::PreparedNetwork;
use super::stdio::{self, Ends};
use crate::failpoints;
use crate::plan::{ExecPlan, Loaded, Plan, Rootfs};
use crate::record::ExitRecord;
use crate::spawn::SOCKET;

/// Where POSIX shared memory lives.
const SHARED_MEMORY: &str = "/dev/shm";

/// Why something did not work, as it goes into `Reply::Error`.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit_code: i32,
    pub(super) message: String,
}

impl Failure {
    /// A failure that `docker run` reports with 125.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { exit_code: 125, message: message.into() }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { exit_code: error.exit_code(), message: error.to_string() }
    }
}

impl From<Injected> for Failure {
    fn from(injected: Injected) -> Self {
        Self::new(injected.to_string())
    }
}

/// Says what was being done when `error` came.
fn doing(what: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::new(format!("{what}: {error}"))
}

/// A container that has been created.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) plan_digest: String,
    pub(super) stdin_once: bool,
    run_dir: OwnedFd,
    root: Option<OwnedFd>,
    cgroup: Option<Cgroup>,
    /// The kernel kills what is left when init ends.
    own_pid_namespace: bool,
    seccomp: Option<Program>,
    user: String,
    groups: Vec<String>,
    spec: Spec,
    init: Init,
}

/// What [`Container::create`] makes beside the container.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) container: Container,
    /// Where daemons connect.
    pub(super) listener: OwnedFd,
    /// Our ends of init's streams, or its terminal.
    pub(super) ends: Ends,
    pub(super) console: Option<OwnedFd>,
    /// A second pidfd of init.
    pub(super) pidfd: OwnedFd,
}

impl Container {
    /// Sets everything up to the user's program. After an error nothing is left of it.
    ///
    /// A `network` made in advance becomes the container's, if that is to have one of its own.
    pub(super) fn create(loaded: Loaded<Plan>, network: Option<PreparedNetwork>) -> Result<Created, Failure> {
        let Loaded { document: mut plan, digest, seccomp } = loaded;
        let network = network.map(|prepared| prepared.give_to(&mut plan.spec)).transpose()?.flatten();
        if let Some(path) = &plan.shim_cgroup {
            Cgroup::open(path).enter_accounts().map_err(doing(&format!("join cgroup {path}")))?;
        }
        let run_dir =
            linux::fs::open_dir(&plan.run_dir).map_err(doing(&format!("open {}", plan.run_dir.display())))?;
        // An earlier run's record must not be taken for this one's.
        ExitRecord::remove_in(run_dir.as_fd()).map_err(doing("remove the last exit record"))?;
        let listener = listen_packets(run_dir.as_fd(), SOCKET)
            .map_err(doing(&format!("listen in {}", plan.run_dir.display())))?;
        failpoints::CREATE_LISTENING.check()?;
        let seccomp = program(seccomp, plan.seccomp_flags);
        let mut cgroup = None;
        let mut made = make(&plan, seccomp.as_ref(), &mut cgroup);
        if let Some(prepared) = network
            && let Err(failure) = prepared.leave()
        {
            made = Err(failure);
        }
        let Made { root, mut init, ends, mut spec } = match made {
            Ok(made) => made,
            Err(failure) => {
                remove(&run_dir, cgroup.as_ref());
                return Err(failure);
            }
        };
        let pidfd = rustix::io::fcntl_dupfd_cloexec(&init.pidfd, 0)
            .map_err(|error| doing("copy the pidfd of init")(error.into()))?;
        let console = init.console.take();
        let own_pid_namespace = has_own_pid_namespace(&spec);
        forget_what_only_create_needs(&mut spec);
        let container = Self {
            plan_digest: digest,
            stdin_once: plan.stdin_once,
            run_dir,
            root: Some(root),
            cgroup,
            own_pid_namespace,
            seccomp,
            user: plan.user,
            groups: plan.groups,
            spec,
            init,
        };
        Ok(Created { container, listener, ends, console, pidfd })
    }

    pub(super) fn pid(&self) -> i32 {
        self.init.pid
    }

    /// Runs the user's program. After an error init is gone; [`Container::remove`] takes away the rest.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        Ok(self.init.start()?)
    }

    /// The root, mounts of the container included, while it lives.
    pub(super) fn root(&self) -> Option<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd)
    }

    /// Starts one more process. `scope` keeps it and what it starts apart from the others.
    pub(super) fn exec(
        &self,
        loaded: Loaded<ExecPlan>,
        scope: Option<&Cgroup>,
    ) -> Result<(ExecProcess, Ends), Failure> {
        let Loaded { document: plan, seccomp, .. } = loaded;
        let root = self.root().ok_or_else(|| Failure::new("container is not running"))?;
        let user = if plan.user.is_empty() { &self.user } else { &plan.user };
        let mut process = plan.process;
        identify(&mut process, root, user, &self.groups)?;
        let own = program(seccomp, plan.seccomp_flags);
        let mut seccomp = own.as_ref().or(self.seccomp.as_ref());
        if plan.privileged {
            process.capabilities = Some(all_capabilities().map_err(doing("read our capabilities"))?);
            process.apparmor_profile = None;
            seccomp = None;
        }
        let (stdio, ends) =
            stdio::make(&self.spec, &process, plan.open_stdin).map_err(doing("make pipes"))?;
        let request = ExecRequest {
            init: self.init.pidfd.as_fd(),
            init_pid: self.init.pid,
            process: &process,
            stdio,
            seccomp,
            personality: None,
            cgroup: self.cgroup.as_ref(),
            scope,
        };
        Ok((runtime::exec(request)?, ends))
    }

    /// A cgroup for one process and what it starts; none where that cannot be had.
    pub(super) fn scope(&self, number: u32) -> Option<Cgroup> {
        self.cgroup.as_ref()?.scope(&format!("exec-{number}")).ok()
    }

    /// The process of a scope has ended: what it left running goes on as the container's.
    pub(super) fn dissolve(&self, scope: &Cgroup) {
        if let Some(cgroup) = &self.cgroup {
            // One that stays behind goes with the container's cgroup.
            let _ = cgroup.dissolve(scope);
        }
    }

    /// Init has ended: so does everything else of the container.
    pub(super) fn kill_rest(&self) {
        if let Some(cgroup) = self.cgroup.as_ref().filter(|_| !self.own_pid_namespace) {
            let _ = cgroup.kill();
        }
    }

    /// The kernel's OOM killer struck in it.
    pub(super) fn was_oom_killed(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills() > 0)
    }

    /// Keeps what is known of that for those who read the exit record.
    pub(super) fn record_oom(&self) {
        if let Some(cgroup) = &self.cgroup {
            // Without it less is known of the same end.
            let _ = crate::oom::write_in(self.run_dir(), &cgroup.out_of_memory());
        }
    }

    /// Takes away its cgroup, its socket and our hold on its root.
    pub(super) fn remove(&mut self) {
        self.root = None;
        remove(&self.run_dir, self.cgroup.as_ref());
        self.cgroup = None;
    }

    /// Where the exit record goes.
    pub(super) fn run_dir(&self) -> BorrowedFd<'_> {
        self.run_dir.as_fd()
    }
}

struct Made {
    root: OwnedFd,
    init: Init,
    ends: Ends,
    spec: Spec,
}

/// Makes root, cgroup and init. The cgroup goes into `made_cgroup` as soon as it is there, for it has to be removed
/// when something fails after it.
fn make(plan: &Plan, seccomp: Option<&Program>, made_cgroup: &mut Option<Cgroup>) -> Result<Made, Failure> {
    let root = open_root(&plan.rootfs)?;
    failpoints::CREATE_ROOT.check()?;
    let mut spec = plan.spec.clone();
    let mut process = spec.process.take().ok_or_else(|| Failure::new("the plan has no process"))?;
    identify(&mut process, root.as_fd(), &plan.user, &plan.groups)?;
    let (stdio, ends) = stdio::make(&spec, &process, plan.open_stdin).map_err(doing("make pipes"))?;
    spec.process = Some(process);
    let linux = spec.linux.as_ref();
    if let Some(path) = linux.and_then(|linux| linux.cgroups_path.as_deref()) {
        let none = Resources::default();
        let resources = linux.and_then(|linux| linux.resources.as_ref()).unwrap_or(&none);
        let cgroup = Cgroup::create(path, resources).map_err(doing(&format!("create cgroup {path}")))?;
        *made_cgroup = Some(cgroup);
        failpoints::CREATE_CGROUP.check()?;
    }
    let rootfs = match &plan.rootfs {
        Rootfs::Overlay { .. } => runtime::Rootfs::Detached(root.as_fd()),
        Rootfs::Directory(path) => runtime::Rootfs::Path(path),
    };
    let shm = plan.shm_of.map(shared_memory).transpose()?;
    let given: Vec<_> = shm.iter().map(|shm| (Path::new(SHARED_MEMORY), shm.as_fd())).collect();
    let reaper = if plan.reaper { Some(own_program()?) } else { None };
    let request = InitRequest {
        spec: &spec,
        bundle: &plan.run_dir,
        rootfs,
        stdio,
        seccomp,
        cgroup: made_cgroup.as_ref(),
    };
    let options =
        CreateOptions { given: &given, reaper: reaper.as_ref().map(AsFd::as_fd), ..CreateOptions::default() };
    let init = runtime::create_with(request, &options)?;
    failpoints::CREATE_READY.check()?;
    Ok(Made { root, init, ends, spec })
}

/// A copy of the mount of POSIX shared memory that process `pid` has.
fn shared_memory(pid: i32) -> Result<OwnedFd, Failure> {
    let copy = || -> io::Result<OwnedFd> {
        let process = rustix::process::Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?;
        let pidfd = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())?;
        runtime::shared_mount::copy_tmpfs(pidfd.as_fd(), Path::new(SHARED_MEMORY))
    };
    copy().map_err(doing(&format!("share {SHARED_MEMORY} of process {pid}")))
}

/// This program, for the container's first process to be: the file that we ourselves run from, which nobody can write.
fn own_program() -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/exe", flags, Mode::empty())
        .map_err(|error| doing("open our own program")(error.into()))
}

fn remove(run_dir: &OwnedFd, cgroup: Option<&Cgroup>) {
    let _ = unlinkat(run_dir, SOCKET, AtFlags::empty());
    if let Some(cgroup) = cgroup {
        // The engine sweeps cgroups without a container, so one that stays behind for a moment is not lost.
        let _ = cgroup.remove();
    }
}

fn open_root(rootfs: &Rootfs) -> Result<OwnedFd, Failure> {
    match rootfs {
        Rootfs::Overlay { lower, upper, work, volatile } => {
            let lower: Vec<&Path> = lower.iter().map(AsRef::as_ref).collect();
            if *volatile {
                // The mark of the last such mount, which forbids another: what it warns of does not matter here.
                let _ = std::fs::remove_dir_all(work.join("work/incompat"));
            }
            let extra: &[(&str, &str)] = if *volatile { &[("volatile", "")] } else { &[] };
            overlay(&lower, upper, work, &OverlayOptions { extra, ..OverlayOptions::default() })
                .map_err(doing(&format!("make the overlay at {}", upper.display())))
        }
        Rootfs::Directory(path) => {
            linux::fs::open_dir(path).map_err(doing(&format!("open {}", path.display())))
        }
    }
}

/// Fills in who a process runs as, and its home.
fn identify(
    process: &mut Process,
    root: BorrowedFd<'_>,
    user: &str,
    groups: &[String],
) -> Result<(), Failure> {
    let identity =
        users::resolve(root, user, groups).map_err(|error| match std::error::Error::source(&error) {
            Some(source) => Failure::new(format!("{error}: {source}")),
            None => Failure::new(error.to_string()),
        })?;
    process.user.uid = identity.uid;
    process.user.gid = identity.gid;
    process.user.additional_gids = identity.groups;
    if !process.env.iter().any(|variable| variable.starts_with("HOME=")) {
        process.env.push(format!("HOME={}", identity.home));
    }
    Ok(())
}

fn program(instructions: Vec<u8>, flags: u32) -> Option<Program> {
    (!instructions.is_empty()).then_some(Program { instructions, flags })
}

/// Every capability that we can give away.
fn all_capabilities() -> io::Result<Capabilities> {
    let permitted = linux::caps::permitted()?;
    let names = linux::caps::NAMES.iter().enumerate();
    let all: Vec<String> = names
        .filter(|(number, _)| permitted & (1 << number) != 0)
        .map(|(_, name)| (*name).to_owned())
        .collect();
    Ok(Capabilities {
        bounding: all.clone(),
        effective: all.clone(),
        permitted: all,
        ..Capabilities::default()
    })
}

fn has_own_pid_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.into_iter().any(|namespace| namespace.kind == "pid" && namespace.path.is_none())
}

/// We live as long as the container, which is why we count our kilobytes: of the specification only the id
/// mappings are needed later.
fn forget_what_only_create_needs(spec: &mut Spec) {
    let linux = spec.linux.take().map(|linux| oci::runtime::Linux {
        uid_mappings: linux.uid_mappings,
        gid_mappings: linux.gid_mappings,
        ..oci::runtime::Linux::default()
    });
    *spec = Spec { linux, ..Spec::default() };
}
