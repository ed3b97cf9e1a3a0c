//! `create`, `run`, `start`.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use oci::runtime::{Spec, State};
use runtime::cgroup::Cgroup;
use runtime::{CreateOptions, Init, InitRequest, Rootfs, Stdio};
use serde_json::value::RawValue;

use super::args::{Args, Option as Opt};
use super::foreground::Foreground;
use super::resctrl::{self, Group};
use super::store::{self, Record};
use super::systemd::{self, Scope, Unit};
use super::{Context, Failure, HELP, Naming, console, delete, time};

const BUNDLE: Opt = Opt::value("--bundle", Some("-b"), "DIR", "Bundle directory (default: the current one)");
const CONSOLE: Opt = Opt::value("--console-socket", None, "PATH", "Unix socket that gets the terminal");
const PID_FILE: Opt = Opt::value("--pid-file", None, "FILE", "Write the process id there");
const NO_PIVOT: Opt = Opt::flag("--no-pivot", None, "Use chroot, where the machine runs from an initramfs");
const NO_KEYRING: Opt = Opt::flag("--no-new-keyring", None, "Stay in the caller's session keyring");
const PRESERVE: Opt =
    Opt::value("--preserve-fds", None, "N", "Keep descriptors 3 to 2+N open in the program");

/// Options of `create`.
pub(crate) const CREATE_OPTIONS: &[Opt] = &[BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE, HELP];

/// Options of `run`.
pub(crate) const RUN_OPTIONS: &[Opt] = &[
    BUNDLE,
    CONSOLE,
    PID_FILE,
    NO_PIVOT,
    NO_KEYRING,
    PRESERVE,
    Opt::flag("--detach", Some("-d"), "Return when the program has started"),
    Opt::flag("--keep", None, "Do not delete the container when it ends"),
    HELP,
];

/// `create`: everything up to the program, which waits for `start`.
pub(crate) fn create(context: &Context, args: Args) -> Result<u8, Failure> {
    let mut bundle = Bundle::open(&args)?;
    let console = bundle.console(&args, true)?;
    let mut new = NewContainer::reserve(context, &args)?;
    let gate = new.listen()?;
    let init = new.set_up(context, &mut bundle, &args, Some(gate))?;
    new.record(&bundle, &init, &args)?;
    hand_over(&init, console.as_ref())?;
    new.keep();
    Ok(0)
}

/// `run`: `create` and `start` in one, and until the end without `--detach`.
pub(crate) fn run(context: &Context, args: Args) -> Result<u8, Failure> {
    let detach = args.has("--detach");
    let mut bundle = Bundle::open(&args)?;
    let console = bundle.console(&args, detach)?;
    let mut new = NewContainer::reserve(context, &args)?;
    let foreground = if detach { None } else { Some(Foreground::new()?) };
    let mut init = new.set_up(context, &mut bundle, &args, None)?;
    new.record(&bundle, &init, &args)?;
    hand_over(&init, console.as_ref())?;
    init.start()?;
    let id = new.keep();
    poststart(context, &id, &bundle.spec)?;
    let Some(foreground) = foreground else { return Ok(0) };
    let master = init.console.take().filter(|_| console.is_none());
    let code = foreground.wait(&init.pidfd, master)?;
    if !args.has("--keep") {
        delete::remove(context, context.store.container(&id)?, Some(&bundle.spec))?;
    }
    Ok(code)
}

/// `start`: the program of a created container.
pub(crate) fn start(context: &Context, args: Args) -> Result<u8, Failure> {
    let id = args.container(0)?;
    let container = context.store.container(&id)?;
    let status = container.status();
    if status != "created" {
        return Err(Failure::new(format_args!(
            "cannot start a container that has {}",
            if status == "running" { "already been started" } else { "stopped" }
        )));
    }
    let directory = linux::fs::open_dir(&container.directory)
        .naming(|| format!("open {}", container.directory.display()))?;
    let socket = linux::socket::connect_packets(directory.as_fd(), "start")
        .naming(|| format!("reach the process of container {id}"))?;
    blocking(&socket)?;
    let started = runtime::start_by(socket.as_fd());
    // After a failure too: the process is gone then.
    fs::remove_file(container.directory.join("start"))
        .naming(|| format!("remove the start socket of container {id}"))?;
    started?;
    poststart(context, &id, &container.spec()?)?;
    Ok(0)
}

fn blocking(socket: &OwnedFd) -> Result<(), Failure> {
    let flags = rustix::fs::fcntl_getfl(socket).naming(|| "read socket flags".to_owned())?;
    rustix::fs::fcntl_setfl(socket, flags - rustix::fs::OFlags::NONBLOCK)
        .naming(|| "make a socket blocking".to_owned())
}

/// Runs the hooks that follow the start. One that fails ends the container, which is then removed, as the specification
/// has it since 1.3.0.
fn poststart(context: &Context, id: &str, spec: &Spec) -> Result<(), Failure> {
    let Some(hooks) = spec.hooks.as_ref().filter(|hooks| !hooks.poststart.is_empty()) else { return Ok(()) };
    let container = context.store.container(id)?;
    let Err(error) = runtime::run_hooks("poststart", &hooks.poststart, &container.state()?) else {
        return Ok(());
    };
    if let Err(failure) = delete::destroy(context, container) {
        context.log.warning(&failure.message);
    }
    Err(error.into())
}

fn hand_over(init: &Init, socket: Option<&UnixStream>) -> Result<(), Failure> {
    match (socket, &init.console) {
        (Some(socket), Some(master)) => console::send(socket, master.as_fd()),
        _ => Ok(()),
    }
}

/// A bundle, read.
struct Bundle {
    path: PathBuf,
    rootfs: PathBuf,
    /// config.json as it is written.
    config: Box<RawValue>,
    spec: Spec,
    terminal: bool,
}

impl Bundle {
    fn open(args: &Args) -> Result<Self, Failure> {
        let path = std::path::absolute(args.value("--bundle").map_or(Path::new("."), Path::new))
            .naming(|| "find the bundle".to_owned())?;
        let file = path.join("config.json");
        let text = fs::read_to_string(&file).naming(|| format!("read {}", file.display()))?;
        let spec: Spec = serde_json::from_str(&text).naming(|| format!("read {}", file.display()))?;
        let config = RawValue::from_string(text).naming(|| format!("read {}", file.display()))?;
        let root = spec.root.as_ref().ok_or_else(|| Failure::new("config.json: root is missing"))?;
        let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
        Ok(Self { rootfs: path.join(&root.path), path, config, terminal, spec })
    }

    /// The console socket, which a terminal without anybody at our side needs.
    fn console(&mut self, args: &Args, detached: bool) -> Result<Option<UnixStream>, Failure> {
        match (args.value("--console-socket"), self.terminal, detached) {
            (Some(path), true, true) => console::connect(path).map(Some),
            (Some(_), false, _) => {
                Err(Failure::new("--console-socket is of no use: process.terminal is false in config.json"))
            }
            (Some(_), true, false) => Err(Failure::new("--console-socket is of no use without --detach")),
            (None, true, true) => {
                Err(Failure::new("process.terminal is true in config.json: --console-socket is needed"))
            }
            (None, ..) => Ok(None),
        }
    }
}

/// A container in the making: gone without a trace unless kept.
struct NewContainer {
    id: String,
    directory: PathBuf,
    cgroup: Option<Cgroup>,
    scope: Option<Scope>,
    resctrl: Option<Group>,
    /// The first process, until somebody answers for it.
    pidfd: Option<OwnedFd>,
    kept: bool,
}

impl NewContainer {
    fn reserve(context: &Context, args: &Args) -> Result<Self, Failure> {
        let id = args.container(0)?;
        let directory = context.store.reserve(&id)?;
        Ok(Self { id, directory, cgroup: None, scope: None, resctrl: None, pidfd: None, kept: false })
    }

    fn keep(mut self) -> String {
        self.kept = true;
        std::mem::take(&mut self.id)
    }

    fn listen(&self) -> Result<OwnedFd, Failure> {
        let naming = || "make the start socket".to_owned();
        let directory = linux::fs::open_dir(&self.directory).naming(naming)?;
        let socket = linux::socket::listen_packets(directory.as_fd(), "start").naming(naming)?;
        blocking(&socket)?;
        Ok(socket)
    }

    fn set_up(
        &mut self,
        context: &Context,
        bundle: &mut Bundle,
        args: &Args,
        gate: Option<OwnedFd>,
    ) -> Result<Init, Failure> {
        self.make_cgroup(context, &bundle.spec)?;
        if let Some(wanted) = bundle.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref()) {
            self.resctrl = Some(Group::prepare(Path::new(resctrl::MOUNT), &self.id, wanted)?);
        }
        let state = State {
            oci_version: oci::runtime::OCI_VERSION.to_owned(),
            id: self.id.clone(),
            status: "creating".to_owned(),
            pid: None,
            bundle: bundle.path.clone(),
            annotations: bundle.spec.annotations.clone(),
        };
        let stdio = if bundle.terminal { Stdio::Terminal } else { own_streams()? };
        let request = InitRequest {
            spec: &bundle.spec,
            bundle: &bundle.path,
            rootfs: Rootfs::Path(&bundle.rootfs),
            stdio,
            seccomp: None,
            cgroup: self.cgroup.as_ref(),
        };
        let options = CreateOptions {
            hooks: bundle.spec.hooks.as_ref().map(|_| &state),
            gate: gate.as_ref().map(AsFd::as_fd),
            preserve_fds: args.number("--preserve-fds")?.unwrap_or(0),
            no_pivot: args.has("--no-pivot"),
            no_new_keyring: args.has("--no-new-keyring"),
            ..CreateOptions::default()
        };
        let init = runtime::create_with(request, &options)?;
        self.pidfd = init.pidfd.try_clone().ok();
        if let Some(group) = &self.resctrl {
            group.add(init.pid)?;
        }
        for warning in &init.warnings {
            context.log.warning(warning);
        }
        Ok(init)
    }

    fn make_cgroup(&mut self, context: &Context, spec: &Spec) -> Result<(), Failure> {
        let linux = spec.linux.clone().unwrap_or_default();
        let resources = linux.resources.unwrap_or_default();
        if context.systemd {
            systemd::check()?;
            let unit = Unit::parse(linux.cgroups_path.as_deref(), &self.id)?;
            let scope = Scope::create(unit, &self.id, &resources)?;
            self.cgroup = Some(scope.cgroup.clone());
            self.scope = Some(scope);
            return Ok(());
        }
        let path = cgroup_path(linux.cgroups_path.as_deref(), &self.id);
        self.cgroup = Some(Cgroup::create(&path, &resources).naming(|| format!("create cgroup {path}"))?);
        Ok(())
    }

    fn record(&self, bundle: &Bundle, init: &Init, args: &Args) -> Result<(), Failure> {
        let record = Record {
            version: 1,
            pid: init.pid,
            start_time: store::start_time(init.pid).naming(|| "look at the new process".to_owned())?,
            bundle: bundle.path.clone(),
            rootfs: bundle.rootfs.clone(),
            created: time::now(),
            cgroup: self.cgroup.as_ref().map(|cgroup| cgroup.path().to_owned()),
            unit: self.scope.as_ref().map(|scope| scope.unit.name.clone()),
            resctrl: self.resctrl.as_ref().and_then(Group::own_directory).map(Path::to_owned),
            config: bundle.config.clone(),
        };
        let record = serde_json::to_vec(&record).naming(|| "write state.json".to_owned())?;
        store::write(&self.directory, "state.json", &record)?;
        write_pid_file(args, init.pid)
    }
}

impl Drop for NewContainer {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // What is left here was never anybody's; each step goes on whatever the one before answered.
        if let Some(pidfd) = &self.pidfd {
            let _ = linux::event::send_signal(pidfd.as_fd(), libc::SIGKILL);
            let id = rustix::process::WaitId::PidFd(pidfd.as_fd());
            let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
        }
        if let Some(scope) = self.scope.take() {
            let _ = systemd::stop(&scope.unit.name);
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.remove();
        }
        if let Some(directory) = self.resctrl.as_ref().and_then(Group::own_directory) {
            let _ = fs::remove_dir(directory);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Path of the cgroup below the hierarchies' mount points.
fn cgroup_path(path: Option<&str>, id: &str) -> String {
    match path.filter(|path| !path.is_empty()) {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
        None => format!("/corten-runtime-{id}"),
    }
}

/// Our own standard streams, for the program.
pub(crate) fn own_streams() -> Result<Stdio, Failure> {
    let clone = |fd: std::os::fd::BorrowedFd<'_>| {
        fd.try_clone_to_owned().naming(|| "copy standard streams".to_owned())
    };
    Ok(Stdio::Fds([
        clone(rustix::stdio::stdin())?,
        clone(rustix::stdio::stdout())?,
        clone(rustix::stdio::stderr())?,
    ]))
}

/// `--pid-file`: complete as soon as it is there.
pub(crate) fn write_pid_file(args: &Args, pid: i32) -> Result<(), Failure> {
    let Some(path) = args.value("--pid-file") else { return Ok(()) };
    let path = std::path::absolute(path).naming(|| "find the pid file".to_owned())?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Err(Failure::new(format_args!("--pid-file: {} is not a file name", path.display())));
    };
    store::write(directory, name, pid.to_string().as_bytes())
}
