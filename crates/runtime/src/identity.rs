//! The last steps of a process on its way to the user's program: from a runtime's process to the container's own.
//!
//! Runs in the new process, inside the container's namespaces and root. Order matters: what needs a privilege
//! comes before the privilege goes; without `no_new_privs` the filter needs CAP_SYS_ADMIN and so comes first.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::clone::close_on_exec_from;
use oci::runtime::Process;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::error::{During, StartError};
use crate::plan::ProcessPlan;
use crate::program;

/// A process that has only `execve` left to do.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    plan: &'a ProcessPlan<'a>,
    program: CString,
    env: Vec<CString>,
    late_filter: bool,
}

/// Makes the calling process what `plan` says, up to the program; it is found, so that its absence is known now.
///
/// Descriptors from `first_private` on are marked close-on-exec.
pub(crate) fn assume<'a>(
    plan: &'a ProcessPlan<'a>,
    first_private: u32,
    new_keyring: bool,
) -> Result<Ready<'a>, StartError> {
    let process = plan.process;
    let env = environment(plan);
    if new_keyring {
        linux::process::join_new_session_keyring().during(|| "join a new session keyring".to_owned())?;
    }
    own_streams(process);
    plan.scheduling.apply()?;
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).during(|| "set no_new_privs".to_owned())?;
    } else {
        install_filter(plan)?;
    }
    linux::caps::limit_bounding(plan.capabilities.bounding)
        .during(|| "drop capabilities of the bounding set".to_owned())?;
    // Before the user changes: a directory that only root can enter may still be the working directory.
    let entered = enter_directory(&process.cwd);
    change_user(process)?;
    let caps = plan.capabilities;
    linux::caps::set(caps.effective, caps.permitted, caps.inheritable)
        .and_then(|()| linux::caps::set_ambient(caps.ambient))
        .during(|| "apply capabilities".to_owned())?;
    match entered {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => enter_directory(&process.cwd),
        entered => entered,
    }
    .during(|| format!("chdir to cwd ({:?}) set in config.json failed", process.cwd))
    .map_err(|error| error.about(&*process.cwd))?;
    rustix::process::umask(Mode::from_raw_mode(process.user.umask.unwrap_or(0o022)));
    let program = program::look_up(&process.args[0], plan.path())?;
    close_on_exec_from(first_private).during(|| "close descriptors".to_owned())?;
    Ok(Ready { plan, program, env, late_filter: process.no_new_privileges })
}

impl Ready<'_> {
    /// Runs the program, or the `reaper` that will run it; returns only when that fails.
    pub(crate) fn run(self, reaper: Option<BorrowedFd<'_>>) -> StartError {
        if self.late_filter
            && let Err(error) = install_filter(self.plan)
        {
            return error;
        }
        if let Some(reaper) = reaper {
            let args = crate::reaper::arguments(&self.plan.args);
            let error = linux::process::execve_fd(reaper, &args, &self.env);
            return StartError::new("run the container's init process", error);
        }
        let error = linux::process::execve(&self.program, &self.plan.args, &self.env);
        program::explain(&self.plan.process.args[0], &self.program, error)
    }
}

fn install_filter(plan: &ProcessPlan<'_>) -> Result<(), StartError> {
    match &plan.seccomp {
        Some(program) => linux::bpf::install_seccomp(&program.instructions, program.flags)
            .during(|| "install the seccomp filter".to_owned()),
        None => Ok(()),
    }
}

/// The environment, with a `HOME` from the container's user file when there is none.
fn environment(plan: &ProcessPlan<'_>) -> Vec<CString> {
    let mut env = plan.env.clone();
    if !plan.process.env.iter().any(|variable| variable.starts_with("HOME=")) {
        let home = home(plan.process.user.uid).unwrap_or_else(|| "/".to_owned());
        env.extend(CString::new(format!("HOME={home}")));
    }
    env
}

fn home(uid: u32) -> Option<String> {
    let root =
        rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let identity = crate::users::resolve(root.as_fd(), &uid.to_string(), &[]).ok()?;
    Some(identity.home)
}

fn label(label: &Option<String>) -> Option<&str> {
    label.as_deref().filter(|label| !label.is_empty())
}

/// Whether [`set_labels`] has anything to do.
pub(crate) fn has_labels(process: &Process) -> bool {
    label(&process.apparmor_profile).is_some() || label(&process.selinux_label).is_some()
}

/// Refuses labels that this kernel has no security module for. Asked of the host's /sys, so before a container is
/// entered.
pub(crate) fn check_labels(process: &Process) -> Result<(), StartError> {
    let refuse = |what: String, module: &str| {
        Err(StartError::refused(what, format!("this kernel runs without {module}")))
    };
    if let Some(profile) = label(&process.apparmor_profile) {
        let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
        if !enabled.is_ok_and(|enabled| enabled.starts_with(b"Y")) {
            return refuse(format!("apply AppArmor profile {profile:?}"), "AppArmor");
        }
    }
    if let Some(context) = label(&process.selinux_label)
        && !std::path::Path::new("/sys/fs/selinux/enforce").exists()
    {
        return refuse(format!("apply SELinux label {context:?}"), "SELinux");
    }
    Ok(())
}

/// Security labels for the next `execve` of this process and of those it makes. `proc` is the root of a proc file
/// system that is trusted: the container's could have anything mounted over the file (CVE-2019-19921,
/// CVE-2025-52881), so mounts are not crossed either.
pub(crate) fn set_labels(process: &Process, proc: BorrowedFd<'_>) -> Result<(), StartError> {
    // The name of this process in that file system, which may be of another pid namespace.
    let own = rustix::fs::readlinkat(proc, "thread-self", Vec::new())
        .during(|| "find own /proc entry".to_owned())?;
    let own = own.to_string_lossy();
    let write =
        |file: &str, value: &str| crate::masks::write_proc(proc, &format!("{own}/attr/{file}"), value);
    if let Some(profile) = label(&process.apparmor_profile) {
        let value = format!("exec {profile}");
        write("apparmor/exec", &value)
            .or_else(|_| write("exec", &value))
            .during(|| format!("apply AppArmor profile {profile:?}"))?;
    }
    if let Some(context) = label(&process.selinux_label) {
        write("exec", context).during(|| format!("apply SELinux label {context:?}"))?;
    }
    Ok(())
}

/// Gives terminal and pipes among the standard streams to the user, so that it can open /dev/stdout and /dev/tty.
/// Files and sockets stay whose they are: they belong to somebody outside.
fn own_streams(process: &Process) {
    if process.user.uid == 0 {
        return;
    }
    let uid = Some(Uid::from_raw(process.user.uid));
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        let ours = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo => true,
            FileType::CharacterDevice => rustix::termios::isatty(stream),
            _ => false,
        };
        if ours && stat.st_uid != process.user.uid {
            // A stream that cannot change hands still works for what is open.
            let _ = rustix::fs::fchown(stream, uid, None);
        }
    }
}

fn change_user(process: &Process) -> Result<(), StartError> {
    let user = &process.user;
    let groups: Vec<Gid> = user.additional_gids.iter().copied().map(Gid::from_raw).collect();
    // Else leaving uid 0 would take the permitted set along.
    rustix::thread::set_keep_capabilities(true).during(|| "keep capabilities".to_owned())?;
    match rustix::thread::set_thread_groups(&groups) {
        // A user namespace whose setgroups file says "deny"; nothing was asked for, nothing is lost.
        Err(Errno::PERM) if groups.is_empty() => Ok(()),
        result => result,
    }
    .during(|| format!("set supplementary groups {:?}", user.additional_gids))?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).during(|| format!("set gid {}", user.gid))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during(|| format!("set uid {}", user.uid))?;
    rustix::thread::set_keep_capabilities(false).during(|| "stop keeping capabilities".to_owned())
}

/// Changes to the working directory and makes sure that it lies in the container: a path like `/proc/self/fd/7`
/// can lead out of it (CVE-2024-21626).
fn enter_directory(path: &str) -> io::Result<()> {
    rustix::process::chdir(path)?;
    let cwd = rustix::process::getcwd(Vec::new())?;
    // The kernel puts "(unreachable)" before a path outside the root.
    if cwd.to_bytes().starts_with(b"/") { Ok(()) } else { Err(Errno::NOENT.into()) }
}

/// Makes `streams` standard input, output and error.
pub(crate) fn set_streams(streams: [OwnedFd; 3]) -> io::Result<()> {
    // First out of the way of 0, 1 and 2, any of which may be one of the others' source.
    let lift = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let [input, output, error] = [lift(&streams[0])?, lift(&streams[1])?, lift(&streams[2])?];
    rustix::stdio::dup2_stdin(&input)?;
    rustix::stdio::dup2_stdout(&output)?;
    rustix::stdio::dup2_stderr(&error)?;
    for stream in streams {
        // One that is itself 0, 1 or 2 has just been replaced and must not be closed.
        if std::os::fd::AsRawFd::as_raw_fd(&stream) <= 2 {
            std::mem::forget(stream);
        }
    }
    Ok(())
}

/// Makes the terminal `pty` the controlling one, and standard input, output and error.
pub(crate) fn set_terminal(pty: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::ioctl_tiocsctty(pty)?;
    rustix::stdio::dup2_stdin(pty)?;
    rustix::stdio::dup2_stdout(pty)?;
    rustix::stdio::dup2_stderr(pty)?;
    Ok(())
}

/// Opens a new terminal of the devpts at /dev/pts below `root`: its master and the terminal itself.
pub(crate) fn open_terminal(
    root: BorrowedFd<'_>,
    process: &Process,
) -> Result<(OwnedFd, OwnedFd), StartError> {
    let open = || -> io::Result<(OwnedFd, OwnedFd)> {
        const DEVPTS_MAGIC: i64 = 0x1cd1;
        let pts = crate::beneath::open_plain_directory(root, std::path::Path::new("/dev/pts"))?;
        // Whatever else is there is not the kernel's terminal driver.
        if rustix::fs::fstatfs(&pts)?.f_type != DEVPTS_MAGIC {
            return Err(Errno::NOTTY.into());
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let master = rustix::fs::openat(&pts, "ptmx", flags, Mode::empty())?;
        rustix::pty::unlockpt(&master)?;
        let flags = rustix::pty::OpenptFlags::RDWR
            | rustix::pty::OpenptFlags::NOCTTY
            | rustix::pty::OpenptFlags::CLOEXEC;
        // By ioctl: no path of the container's is trusted to lead to the other end.
        let pty = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        if let Some(size) = process.console_size {
            let size = rustix::termios::Winsize {
                ws_row: size.height,
                ws_col: size.width,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            rustix::termios::tcsetwinsize(&master, size)?;
        }
        Ok((master, pty))
    };
    open().during(|| "open a terminal of the container's /dev/pts".to_owned())
}

/// The container's root, for a process that is inside.
pub(crate) fn own_root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, "/", flags, Mode::empty())?)
}
