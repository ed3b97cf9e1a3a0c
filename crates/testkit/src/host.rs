//! [`Host`]: what a test works with.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, log_of};
use crate::leaks::{Scope, Snapshot};
use crate::{Output, Sandbox, Session, busybox, command, http, wait};

/// How long the engine may take to clean up after its last container.
const TEARDOWN: Duration = Duration::from_secs(30);

/// A machine of the test's own: namespaces, root directory, daemon. Checked for leaks and removed on drop.
#[derive(Debug)]
pub struct Host {
    // Dropped before the sandbox.
    daemon: Option<Daemon>,
    flags: String,
    /// What there was when the test got the host.
    before: Option<Snapshot>,
    /// Images that belong to the fixture and stay.
    fixture_images: Vec<String>,
    sandbox: Sandbox,
}

impl Host {
    /// A host whose daemon runs, without any image.
    ///
    /// # Panics
    /// When the daemon does not come up.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "a default that starts a daemon would surprise")]
    pub fn new() -> Self {
        Self::with_flags("")
    }

    /// A host whose daemon was started with more flags.
    #[track_caller]
    pub fn with_flags(flags: &str) -> Self {
        let mut host = Self::without_daemon();
        host.flags = flags.to_owned();
        host.start_daemon();
        host.remember();
        host
    }

    /// A host with the image `busybox` (see [`busybox`]).
    #[track_caller]
    pub fn with_busybox() -> Self {
        let mut host = Self::new();
        host.import_busybox();
        host
    }

    /// A host on which no daemon runs yet.
    pub fn without_daemon() -> Self {
        let sandbox = Sandbox::new();
        Self { daemon: None, flags: String::new(), before: None, fixture_images: Vec::new(), sandbox }
    }

    /// Imports the image `busybox`, which is part of the fixture from here on.
    #[track_caller]
    pub fn import_busybox(&mut self) {
        let line = "corten import -c 'CMD [\"sh\"]' \
                    -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - busybox";
        let id = self.sandbox.run_with(line, busybox::rootfs_tar(), command::DEADLINE).line();
        self.fixture_images.push(id);
        self.remember();
    }

    fn remember(&mut self) {
        self.before = Some(Snapshot::take(&self.scope()));
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            root: self.sandbox.root(),
            holder: self.sandbox.holder_pid(),
            daemon: self.daemon.as_ref().map(Daemon::pid),
        }
    }

    /// Runs a command line as a user of this host would: `corten`, `docker` and the machine's programs are on the
    /// path, the daemon's socket is in the environment, the working directory is [`work`](Self::work).
    #[must_use = "check how the command ended: .exits(0)"]
    pub fn run(&self, line: &str) -> Output {
        self.sandbox.run(line)
    }

    /// The same with standard input.
    #[must_use = "check how the command ended: .exits(0)"]
    pub fn run_with_stdin(&self, line: &str, stdin: impl AsRef<[u8]>) -> Output {
        self.sandbox.run_with(line, stdin.as_ref(), command::DEADLINE)
    }

    /// The same, failing the test when it takes longer than `deadline`.
    #[must_use = "check how the command ended: .exits(0)"]
    pub fn run_within(&self, deadline: Duration, line: &str) -> Output {
        self.sandbox.run_with(line, b"", deadline)
    }

    /// Starts a command with pipes and lets it run.
    pub fn spawn(&self, line: &str) -> Session {
        Session::with_pipes(self.sandbox.command(&format!("exec {line}")), line)
    }

    /// Starts a command that finds `socket` as its descriptor 3, as a service manager passes it.
    pub fn spawn_activated(&self, socket: OwnedFd, line: &str) -> Session {
        let script = format!("exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec {line}");
        Session::with_input(self.sandbox.command(&script), line, socket.into())
    }

    /// Starts a command on a terminal of its own and lets it run.
    pub fn terminal(&self, line: &str) -> Session {
        Session::on_terminal(&self.sandbox.command(&format!("exec {line}")), line)
    }

    /// Asks the Engine API.
    ///
    /// # Panics
    /// When there is no whole answer.
    #[track_caller]
    #[must_use = "check the status: .is(200)"]
    pub fn api(&self, method: &str, target: &str, body: Option<&Value>) -> http::Answer {
        match http::request(&self.socket(), method, target, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{error}\n{}", log_of(&self.sandbox)),
        }
    }

    /// Waits until the condition holds.
    #[track_caller]
    pub fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(wait::within(wait::PATIENCE, condition), "never: {what}\n{}", log_of(&self.sandbox));
    }

    /// `corten inspect -f FORMAT OBJECT`.
    #[track_caller]
    pub fn inspect(&self, object: &str, format: &str) -> String {
        self.run(&format!("corten inspect -f '{format}' {object}")).line()
    }

    /// Pid of a running container's first process.
    #[track_caller]
    pub fn pid_of(&self, container: &str) -> u32 {
        let mut pid = 0;
        // Its first output can be here before the engine has heard that it runs.
        self.until("the container runs", || {
            pid = self.inspect(container, "{{.State.Pid}}").parse().expect("a pid is a number");
            pid != 0
        });
        pid
    }

    /// Pid of the shim of a running container.
    #[track_caller]
    pub fn shim_of(&self, container: &str) -> u32 {
        let pid = self.pid_of(container);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the container runs");
        let parent =
            status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("every process has a parent");
        parent.trim().parse().expect("a pid is a number")
    }

    /// More flags of the daemon, from its next start on.
    pub fn set_flags(&mut self, flags: &str) {
        flags.clone_into(&mut self.flags);
    }

    /// Starts the daemon.
    ///
    /// # Panics
    /// When it does not come up, or one is running.
    #[track_caller]
    pub fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "the daemon is running");
        self.daemon = Some(Daemon::start(&self.sandbox, &self.flags));
    }

    /// Starts the daemon with `CORTEN_FAIL` as given; whether it answers or has ended before.
    #[track_caller]
    pub fn start_daemon_armed(&mut self, failpoint: &str) -> bool {
        assert!(self.daemon.is_none(), "the daemon is running");
        let (daemon, up) = Daemon::launch(&self.sandbox, &self.flags, Some(failpoint));
        self.daemon = Some(daemon);
        up
    }

    /// Whether the daemon that was started last still runs.
    pub fn daemon_is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(Daemon::is_running)
    }

    /// Stops the daemon by SIGTERM and starts it again.
    #[track_caller]
    pub fn restart_daemon(&mut self) {
        self.stop_daemon();
        self.start_daemon();
    }

    /// Stops the daemon by SIGTERM.
    #[track_caller]
    pub fn stop_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(&self.sandbox);
        }
    }

    /// Kills the daemon by SIGKILL.
    pub fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Pid of the daemon.
    ///
    /// # Panics
    /// When it does not run.
    #[track_caller]
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").pid()
    }

    /// Root directory of the host.
    pub fn root(&self) -> &Path {
        self.sandbox.root()
    }

    /// Data root of the daemon.
    pub fn data_root(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Exec root of the daemon.
    pub fn exec_root(&self) -> PathBuf {
        self.root().join("exec")
    }

    /// Socket of the daemon.
    pub fn socket(&self) -> PathBuf {
        self.sandbox.socket()
    }

    /// Working directory of the commands.
    pub fn work(&self) -> PathBuf {
        self.sandbox.work()
    }

    /// Writes a file into the working directory and gives its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[expect(clippy::disallowed_methods, reason = "a test's own file needs no atomic replacement")]
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("a file has a parent"))
            .expect("folder in the work directory");
        fs::write(&path, content).expect("file in the work directory");
        path
    }

    /// Removes the test's containers and images, and compares with what there was before; the host stays.
    #[track_caller]
    pub fn check_leaks(&mut self) {
        let Some(before) = self.before.clone() else { return };
        // Another engine behind the name `corten` shows whether a test expects the right thing; what it leaves
        // behind is its own business.
        if std::env::var_os("CORTEN_TEST_LEAKS").is_some_and(|check| check == "off") {
            return;
        }
        if self.daemon.is_none() {
            self.start_daemon();
        }
        self.run("c=$(corten ps -aq) && { test -z \"$c\" || corten rm -f $c >/dev/null; }").exits(0);
        self.remove_images();
        if let Err(leaks) = before.settle(&self.scope(), TEARDOWN) {
            panic!("something is left of this test, with its containers and images removed:\n{leaks}");
        }
    }

    /// Removes everything without a look at what is left: for a host on which something has failed already.
    pub fn abandon(mut self) {
        self.before = None;
        self.kill_daemon();
    }

    /// The last check, after which the host is of no more use.
    fn check(&mut self) {
        self.check_leaks();
        let Some(before) = self.before.take().filter(|_| self.daemon.is_some()) else { return };
        self.stop_daemon();
        // Whatever the daemon itself keeps open for its next use goes with it.
        if let Err(leaks) = before.settle(&self.scope(), TEARDOWN) {
            panic!("something is left of this test after the daemon stopped:\n{leaks}");
        }
    }
}

impl Host {
    /// Removes every image but those of the fixture. An image goes after those that were committed on it.
    fn remove_images(&self) {
        let list = || {
            let images = self.run("corten images -aq --no-trunc | sort -u").exits(0).stdout();
            let fixture = |id: &str| self.fixture_images.iter().any(|fixture| fixture == id);
            images.lines().filter(|id| !fixture(id)).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut images = list();
        while !images.is_empty() {
            let answers: Vec<_> =
                images.iter().map(|image| self.run(&format!("corten rmi -f {image}")).stderr()).collect();
            let left = list();
            assert!(left.len() < images.len(), "images cannot be removed: {answers:?}");
            images = left;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test has its failure; the sandbox kills and removes the rest.
            let log = log_of(&self.sandbox);
            let _ = std::io::Write::write_all(&mut std::io::stderr(), log.as_bytes());
            self.kill_daemon();
        } else {
            self.check();
        }
    }
}
