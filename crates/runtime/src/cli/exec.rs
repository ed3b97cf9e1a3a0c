//! `exec`.

use std::os::fd::AsFd;

use oci::runtime::{Capabilities, Process, User};
use runtime::{ExecRequest, Stdio};

use super::args::{Args, Option as Opt};
use super::create::{own_streams, write_pid_file};
use super::foreground::Foreground;
use super::{Context, Failure, HELP, Naming, console};

/// Options of `exec`.
pub(crate) const OPTIONS: &[Opt] = &[
    Opt::value("--process", Some("-p"), "FILE", "Take the whole process from a JSON file"),
    Opt::flag("--tty", Some("-t"), "Give it a terminal"),
    Opt::value("--cwd", None, "DIR", "Working directory"),
    Opt::value("--env", Some("-e"), "NAME=VALUE", "Set an environment variable (can be repeated)"),
    Opt::value("--user", Some("-u"), "UID[:GID]", "User, and group, by number"),
    Opt::value("--additional-gids", Some("-g"), "GID", "Supplementary group (can be repeated)"),
    Opt::value("--cap", Some("-c"), "CAP_NAME", "Add a capability (can be repeated)"),
    Opt::flag("--no-new-privs", None, "Set no_new_privs"),
    Opt::value("--apparmor", None, "PROFILE", "AppArmor profile"),
    Opt::value("--process-label", None, "LABEL", "SELinux label"),
    Opt::flag("--ignore-paused", None, "Wait with a paused container until it is resumed"),
    Opt::flag("--detach", Some("-d"), "Return when the program has started"),
    Opt::value("--pid-file", None, "FILE", "Write the process id there"),
    Opt::value("--console-socket", None, "PATH", "Unix socket that gets the terminal"),
    Opt::value("--preserve-fds", None, "N", "Keep descriptors 3 to 2+N open in the program"),
    HELP,
];

/// `exec`: one more process.
pub(crate) fn exec(context: &Context, args: Args) -> Result<u8, Failure> {
    let id = args.container(usize::MAX - 1)?;
    let container = context.store.container(&id)?;
    let spec = container.spec()?;
    let process = process(&args, spec.process.clone().unwrap_or_default())?;
    let cannot = |why: &str| Failure::new(format_args!("cannot exec in a {why}"));
    let init = container.process().ok_or_else(|| cannot("stopped container"))?;
    let cgroup = container.cgroup();
    // The new process would be frozen half-way in, and we would wait for it.
    if !args.has("--ignore-paused") && cgroup.as_ref().is_some_and(super::list::is_frozen) {
        return Err(cannot("paused container (resume it first, or use --ignore-paused)"));
    }
    let detach = args.has("--detach");
    let socket = console_socket(&args, process.terminal, detach)?;
    let filter = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let filter = filter.map(runtime::seccomp::compile).transpose().map_err(Failure::new)?;
    let foreground = if detach { None } else { Some(Foreground::new()?) };
    let request = ExecRequest {
        init: init.as_fd(),
        init_pid: container.record.pid,
        process: &process,
        stdio: if process.terminal { Stdio::Terminal } else { own_streams()? },
        seccomp: filter.as_ref(),
        personality: spec.linux.as_ref().and_then(|linux| linux.personality.as_ref()),
        cgroup: cgroup.as_ref(),
        scope: None,
    };
    let mut started = runtime::exec_with(request, args.number("--preserve-fds")?.unwrap_or(0))?;
    write_pid_file(&args, started.pid)?;
    if let (Some(socket), Some(master)) = (&socket, &started.console) {
        console::send(socket, master.as_fd())?;
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let master = started.console.take().filter(|_| socket.is_none());
    foreground.wait(&started.pidfd, master)
}

fn console_socket(
    args: &Args,
    terminal: bool,
    detach: bool,
) -> Result<Option<std::os::unix::net::UnixStream>, Failure> {
    match (args.value("--console-socket"), terminal, detach) {
        (Some(path), true, true) => console::connect(path).map(Some),
        (Some(_), false, _) => Err(Failure::new("--console-socket is of no use without a terminal")),
        (Some(_), true, false) => Err(Failure::new("--console-socket is of no use without --detach")),
        (None, true, true) => Err(Failure::new("--detach with a terminal needs --console-socket")),
        (None, ..) => Ok(None),
    }
}

/// The process: of a file, or the container's own with changes.
fn process(args: &Args, own: Process) -> Result<Process, Failure> {
    if let Some(path) = args.value("--process") {
        let bytes = std::fs::read(path).naming(|| format!("read {}", path.display()))?;
        let mut process: Process =
            serde_json::from_slice(&bytes).naming(|| format!("read {}", path.display()))?;
        process.terminal |= args.has("--tty");
        return Ok(process);
    }
    let words = args.rest[1..].iter().map(|word| {
        word.to_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format_args!("argument {} is not valid UTF-8", word.display())))
    });
    let words = words.collect::<Result<Vec<_>, _>>()?;
    if words.is_empty() {
        return Err(Failure::new("which program? Give its name after the container, or use --process"));
    }
    let mut process = Process { args: words, terminal: args.has("--tty"), console_size: None, ..own };
    if let Some(cwd) = args.text("--cwd")? {
        process.cwd = cwd;
    }
    process.env.extend(args.texts("--env")?);
    if let Some(user) = args.text("--user")? {
        process.user = User { umask: process.user.umask, ..parse_user(&user)? };
    }
    for gid in args.texts("--additional-gids")? {
        process.user.additional_gids.push(parse_id("--additional-gids", &gid)?);
    }
    for name in args.texts("--cap")? {
        add_capability(process.capabilities.get_or_insert_default(), &name)?;
    }
    process.no_new_privileges |= args.has("--no-new-privs");
    process.apparmor_profile = args.text("--apparmor")?.or(process.apparmor_profile);
    process.selinux_label = args.text("--process-label")?.or(process.selinux_label);
    Ok(process)
}

fn parse_user(text: &str) -> Result<User, Failure> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, ""));
    let gid = if gid.is_empty() { 0 } else { parse_id("--user", gid)? };
    Ok(User { uid: parse_id("--user", uid)?, gid, ..User::default() })
}

/// The whole text has to be a number: `1000x` or `+1000` is nobody (CVE-2026-30892).
fn parse_id(option: &str, text: &str) -> Result<u32, Failure> {
    let invalid = || Failure::new(format_args!("{option}: {text:?} is not a number from 0 to 2147483647"));
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    text.parse().ok().filter(|id| *id <= i32::MAX.unsigned_abs()).ok_or_else(invalid)
}

fn add_capability(sets: &mut Capabilities, name: &str) -> Result<(), Failure> {
    if linux::caps::bit(name).is_none() {
        return Err(Failure::new(format_args!("--cap: unknown capability {name:?}")));
    }
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        if !set.iter().any(|known| known == name) {
            set.push(name.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!(parse_user("1000:100").unwrap(), User { uid: 1000, gid: 100, ..User::default() });
        assert_eq!(parse_user("7").unwrap(), User { uid: 7, gid: 0, ..User::default() });
        for text in ["", "root", "1000x", "+5", "-1", "4294967296", "4294967295", "1:", "1:x"] {
            assert_eq!(parse_user(text).is_ok(), text == "1:", "{text}");
        }
    }
}
