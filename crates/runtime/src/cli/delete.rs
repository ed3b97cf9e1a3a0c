//! `delete`.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::args::{Args, Option as Opt};
use super::store::Container;
use super::{Context, Failure, HELP, Naming};

/// Options of `delete`.
pub(crate) const OPTIONS: &[Opt] = &[
    Opt::flag("--force", Some("-f"), "Kill it first when it runs; one that does not exist is no error"),
    HELP,
];

/// `delete`: what is left of a container.
pub(crate) fn delete(context: &Context, args: Args) -> Result<u8, Failure> {
    let id = args.container(0)?;
    let force = args.has("--force");
    let container = match context.store.container(&id) {
        Ok(container) => container,
        Err(failure) if force => {
            // A directory without a readable state is what an interrupted create leaves behind.
            return match fs::remove_dir_all(context.store.directory(&id)?) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
                Err(error) => Err(Failure::new(format_args!("{}; remove it: {error}", failure.message))),
                Ok(()) => Ok(0),
            };
        }
        Err(failure) => return Err(failure),
    };
    if let Some(process) = container.process() {
        let created = container.status() == "created";
        if !force && !created {
            return Err(Failure::new(format_args!(
                "cannot delete container {id} that is not stopped: it is running; kill it, or use --force"
            )));
        }
        end(&process, &id)?;
    }
    remove(context, container, None)?;
    Ok(0)
}

/// Ends a container that must not go on, and removes it.
pub(crate) fn destroy(context: &Context, container: Container) -> Result<(), Failure> {
    if let Some(process) = container.process() {
        end(&process, &container.id)?;
    }
    remove(context, container, None)
}

/// Kills a container's first process and waits for its end.
fn end(process: &OwnedFd, id: &str) -> Result<(), Failure> {
    // ESRCH: it has ended meanwhile.
    let _ = linux::event::send_signal(process.as_fd(), libc::SIGKILL);
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let ended = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))
        .naming(|| format!("wait for container {id}"))?;
    if ended == 0 {
        return Err(Failure::new(format_args!("container {id} does not end: its process is still there")));
    }
    Ok(())
}

/// Removes what is left of a container whose first process has ended.
pub(crate) fn remove(context: &Context, container: Container, spec: Option<&Spec>) -> Result<(), Failure> {
    let read;
    let spec = match spec {
        Some(spec) => Some(spec),
        None => {
            read = container.spec().ok();
            read.as_ref()
        }
    };
    if let Some(cgroup) = container.cgroup() {
        // With a pid namespace of its own everybody died with the first process.
        let private_pids = spec.is_some_and(|spec| {
            spec.linux
                .iter()
                .flat_map(|linux| &linux.namespaces)
                .any(|one| one.kind == "pid" && one.path.is_none())
        });
        if !private_pids {
            cgroup.kill().naming(|| format!("kill the processes of container {}", container.id))?;
        }
        if let Some(unit) = &container.record.unit {
            super::systemd::stop(unit)?;
        }
        cgroup.remove().naming(|| format!("remove cgroup {}", cgroup.path()))?;
    }
    if let Some(directory) = &container.record.resctrl {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).naming(|| format!("remove resctrl group {}", directory.display()));
            }
            _ => {}
        }
    }
    let poststop = spec.and_then(|spec| spec.hooks.as_ref()).filter(|hooks| !hooks.poststop.is_empty());
    let state = poststop.map(|_| container.state()).transpose()?;
    fs::remove_dir_all(&container.directory)
        .naming(|| format!("remove {}", container.directory.display()))?;
    if let (Some(hooks), Some(state)) = (poststop, state) {
        // The specification: a failure is logged, the rest goes on.
        for hook in &hooks.poststop {
            if let Err(error) = runtime::run_hooks("poststop", std::slice::from_ref(hook), &state) {
                context.log.warning(&error.to_string());
            }
        }
    }
    Ok(())
}
