//! Starting an engine where none runs: the first `corten run` on a fresh machine just works.
//!
//! ```text
//! corten run ──lock──▶ /proc/self/exe (launcher) ──exec──▶ corten daemon
//!     ▲                  setsid, chdir /, umask,              │
//!     └───── the socket answers ◀───── own cgroup ────────────┘
//! ```
//!
//! The launcher is a step of its own because a session, a directory and a cgroup can be left without a fork only by the
//! process itself, and because a spawn without such wishes is the fast kind. Only root starts an engine, and only at the
//! default socket: whoever names a host means that one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, flock};

use crate::context::DEFAULT_SOCKET;
use crate::error::path_error;
use crate::ui::Ui;

/// Word that makes the program the launcher.
pub(crate) const LAUNCHER: &str = "__launch-daemon";
/// Held while an engine is being started, so that two commands start one engine.
const LOCK: &str = "/run/corten-start.lock";
/// What the engine prints.
const LOG: &str = "/var/log/corten.log";
/// Cgroup of an engine that a command started.
const CGROUP: &str = "corten-daemon";
/// What a login shell gives to root; nothing else of our environment concerns an engine.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long an engine may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at the socket.
const PAUSE: Duration = Duration::from_millis(5);
/// How much of the log is shown when the start fails.
const LOG_TAIL: u64 = 2000;

/// Starts the engine at the default socket, unless somebody else has done so meanwhile. `why` is how it could not be
/// reached.
pub(crate) fn start(why: &io::Error) -> Result<(), String> {
    let unreachable = format!(
        "Cannot connect to the Docker daemon at unix://{DEFAULT_SOCKET}. Is the docker daemon running?"
    );
    if !rustix::process::geteuid().is_root() {
        return Err(format!("{unreachable}\n  help: start it as root: corten daemon"));
    }
    let fail = |what: String| {
        format!("{unreachable}\nerror: there is none ({why}), and none could be started: {what}")
    };
    let _lock = lock().map_err(|error| fail(path_error("lock", LOCK, &error)))?;
    if answers() {
        return Ok(());
    }
    let mut log = open_log().map_err(|error| fail(path_error("open", LOG, &error)))?;
    let end_of_log = log.seek(SeekFrom::End(0)).unwrap_or(0);
    let mut child = spawn(&log).map_err(|error| fail(path_error("run", "/proc/self/exe", &error)))?;
    wait_until_it_answers(&mut child).map_err(|what| fail(with_log(&what, end_of_log)))?;
    Ui::stdio().tell(&format!("Started the engine, process {}; it writes to {LOG}", child.id()));
    Ok(())
}

fn lock() -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(LOCK)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn answers() -> bool {
    UnixStream::connect(DEFAULT_SOCKET).is_ok()
}

fn open_log() -> io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(LOG)
}

fn spawn(log: &File) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg0("corten")
        .arg(LAUNCHER)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .spawn()
}

fn wait_until_it_answers(child: &mut Child) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if answers() {
            return Ok(());
        }
        match child.try_wait() {
            Ok(Some(status)) => return Err(format!("it ended at once: {}", describe(status))),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Ok(None) => return Err(format!("it does not answer after {} seconds", PATIENCE.as_secs())),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// The failure, and what the engine said of it.
fn with_log(what: &str, from: u64) -> String {
    let mut said = String::new();
    let read = File::open(LOG).and_then(|mut log| {
        let end = log.seek(SeekFrom::End(0))?;
        log.seek(SeekFrom::Start(from.max(end.saturating_sub(LOG_TAIL))))?;
        log.read_to_string(&mut said)
    });
    match read {
        Ok(_) if !said.trim().is_empty() => format!("{what}\n{}", said.trim_end()),
        _ => format!("{what}\n  help: its log is {LOG}"),
    }
}

/// The launcher: leaves what belongs to the command's session behind and becomes the engine. Comes back only with an
/// error.
pub(crate) fn launch() -> String {
    // A leader of a process group cannot make a session; a child of a command never is one.
    if let Err(error) = rustix::process::setsid() {
        return format!("setsid: {error}");
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if let Err(error) = std::env::set_current_dir("/") {
        return path_error("chdir", "/", &error);
    }
    leave_cgroups();
    let error =
        Command::new("/proc/self/exe").arg0("corten").arg("daemon").env_clear().env("PATH", PATH).exec();
    path_error("run", "/proc/self/exe", &error)
}

/// Moves us out of the login session's cgroups, with which we would be limited, counted and in the end killed. Where
/// that cannot be done the engine works all the same.
fn leave_cgroups() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for hierarchy in hierarchies(&mounts) {
        let cgroup = hierarchy.join(CGROUP);
        if std::fs::create_dir(&cgroup).is_err() && !cgroup.is_dir() {
            continue;
        }
        copy_cpuset(&hierarchy, &cgroup);
        let _ = write(&cgroup.join("cgroup.procs"), b"0");
    }
}

/// A new cpuset of version 1 is empty, and an empty one takes no process.
fn copy_cpuset(parent: &Path, cgroup: &Path) {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = std::fs::read(parent.join(name)) {
            let _ = write(&cgroup.join(name), &value);
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(bytes)
}

/// Where cgroup hierarchies are mounted.
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let kind = right.split(' ').next()?;
            let target = left.split(' ').nth(4)?;
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(target))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_mounts_are_found() {
        let mountinfo = "\
            24 29 0:22 / /proc rw,nosuid - proc proc rw\n\
            31 30 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
            33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        let want = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/cpu,cpuacct"];
        assert_eq!(hierarchies(mountinfo), want.map(PathBuf::from));
    }
}
