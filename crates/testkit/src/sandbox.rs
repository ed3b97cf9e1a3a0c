//! A root directory and namespaces of a test's own.
//!
//! A holder process keeps a network and a mount namespace open: loopback is up, mounts propagate nowhere, `/run` is
//! an empty tmpfs. It waits on a pipe from the test process, so it ends even when the test is killed. What a killed
//! test could not remove is swept by the next one: a root directory is in use exactly while its `lock` is held.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::{Output, binaries, command, leaks};

/// Environment variable that marks every process of a sandbox with its root directory.
pub(crate) const MARK: &str = "CORTEN_TEST_ROOT";
/// Where root directories are made, and how their names start.
const PREFIX: &str = "/tmp/ct-";

const HOLDER: &str = "ip link set lo up && mount -t tmpfs -o mode=755 tmpfs /run && echo ready && exec cat";

/// Namespaces and a root directory; commands run inside. See the module for what it guarantees.
#[derive(Debug)]
pub struct Sandbox {
    root: PathBuf,
    holder: Child,
    /// Its end is the holder's end.
    leash: Option<ChildStdin>,
    /// Locked while this sandbox lives.
    _lock: File,
}

impl Sandbox {
    /// Makes a sandbox. Needs root.
    ///
    /// # Panics
    /// When namespaces cannot be made.
    #[expect(clippy::new_without_default, reason = "a default that makes namespaces would surprise")]
    pub fn new() -> Self {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let (root, lock) = make_root();
        for folder in ["work", "home"] {
            fs::create_dir(root.join(folder)).expect("folder in a fresh root");
        }
        let (holder, leash) = start_holder(&root);
        Self { root, holder, leash: Some(leash), _lock: lock }
    }

    /// The root directory, `/tmp/ct-…`: short, because sockets live in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Working directory of the commands.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Address of the daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.root.join("corten.sock")
    }

    /// The process that keeps the namespaces.
    pub fn holder_pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs a shell command line inside.
    #[must_use = "check how the command ended: .exits(0)"]
    pub fn run(&self, line: &str) -> Output {
        self.run_with(line, b"", command::DEADLINE)
    }

    /// Runs a shell command line with this standard input and deadline.
    #[must_use = "check how the command ended: .exits(0)"]
    pub fn run_with(&self, line: &str, stdin: &[u8], deadline: Duration) -> Output {
        command::run(self.command(line), line, stdin, deadline)
    }

    /// A command that runs the shell command line inside, in the working directory, with a known environment.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        let holder = self.holder_pid().to_string();
        command.args(["-t", &holder, "-m", "-n", "--", "sh", "-c"]);
        // The working directory is lost on entering a mount namespace.
        command.arg(format!("cd \"${MARK}/work\" || exit 125\n{line}"));
        let socket = format!("unix://{}", self.socket().display());
        let path =
            format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", binaries::path());
        command.env_clear().env("PATH", path).env("HOME", self.root.join("home")).env(MARK, &self.root);
        command.envs([
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("TERM", "xterm"),
            ("DOCKER_CLI_HINTS", "false"),
        ]);
        command.env("CORTEN_HOST", &socket).env("DOCKER_HOST", &socket);
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        leaks::remove_everything_of(&self.root, Some(self.holder_pid()));
        drop(self.leash.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if let Err(error) = fs::remove_dir_all(&self.root) {
            assert!(std::thread::panicking(), "cannot remove {}: {error}", self.root.display());
        }
    }
}

fn make_root() -> (PathBuf, File) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("{PREFIX}{}-{number}", std::process::id()));
        match fs::create_dir(&root) {
            Ok(()) => {
                let lock = File::create(root.join("lock")).expect("lock file");
                flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("a new lock is free");
                return (root, lock);
            }
            // Left by a killed test whose pid is ours now, and not swept.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("cannot make {}: {error}", root.display()),
        }
    }
}

fn start_holder(root: &Path) -> (Child, ChildStdin) {
    let mut holder = Command::new("unshare")
        .args(["--mount", "--net", "--propagation", "private", "--", "sh", "-c", HOLDER])
        .env(MARK, root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare of util-linux");
    let leash = holder.stdin.take().expect("stdin is a pipe");
    let mut line = String::new();
    let stdout = holder.stdout.take().expect("stdout is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("line of the holder");
    assert_eq!(line, "ready\n", "cannot make namespaces for a test: it needs root and iproute2");
    (holder, leash)
}

/// Removes what killed tests left: their roots are there, but nobody holds the locks.
fn sweep() {
    let Ok(entries) = fs::read_dir("/tmp") else { return };
    for root in entries.flatten().map(|entry| entry.path()) {
        if !root.to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Without a lock file the root is being made or removed by somebody right now.
        let Ok(lock) = OpenOptions::new().write(true).open(root.join("lock")) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            leaks::remove_everything_of(&root, None);
            let _ = fs::remove_dir_all(&root);
        }
    }
}
