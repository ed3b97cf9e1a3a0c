//! One container of a test: its directories, its shim, and a daemon's side of the connection.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oci::runtime::{Capabilities, Linux, Mount, Namespace, Process, Resources, Spec};
use runtime::cgroup::Cgroup;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use shim::plan::{ExecPlan, Log, Plan, Rootfs};
use shim::protocol::{
    Attach, Event, Exit, Framing, FromShim, MAJOR, MINOR, ProcessState, Received, Reply, Request, Target,
};
use shim::record::ExitRecord;
use shim::spawn::{ShimExecutable, connect, receive, send};

/// Nothing in these tests takes longer on a machine that works.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// How many times slower than a usual machine this one is, as in `testkit::wait`.
pub(crate) fn slowness() -> u32 {
    std::env::var("CORTEN_TEST_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The program under test: Cargo's, or one of the directory `CORTEN_BIN` (to measure a release build).
fn program() -> PathBuf {
    match std::env::var_os("CORTEN_BIN") {
        Some(directory) => Path::new(&directory).join("corten-shim"),
        None => env!("CARGO_BIN_EXE_corten-shim").into(),
    }
}

/// A container and its shim. Everything is gone when it is dropped.
pub(crate) struct Rig {
    pub(crate) directory: PathBuf,
    pub(crate) plan: Plan,
    shim: Option<(i32, OwnedFd)>,
    pub(crate) daemon: Option<Daemon>,
}

/// A daemon's connection.
pub(crate) struct Daemon {
    pub(crate) socket: OwnedFd,
    sequence: u32,
    events: VecDeque<Event>,
}

impl Rig {
    /// A container that runs `script` with `sh -c`; nothing is started yet.
    pub(crate) fn new(script: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("corten-shim-it-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::create_dir(directory.join("run")).unwrap();
        make_root(&directory.join("root"));
        let plan = Plan {
            version: 1,
            id: name.clone(),
            run_dir: directory.join("run"),
            rootfs: Rootfs::Directory(directory.join("root")),
            spec: spec(&["/bin/sh", "-c", script], &name),
            user: String::new(),
            groups: Vec::new(),
            open_stdin: false,
            stdin_once: false,
            seccomp_flags: 0,
            log: Some(Log { path: directory.join("log"), max_size: None, max_file: 1, attrs: [].into() }),
            shim_cgroup: None,
            reaper: false,
            shm_of: None,
        };
        Self { directory, plan, shim: None, daemon: None }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.plan.spec.process.as_mut().unwrap()
    }

    pub(crate) fn with_terminal(mut self) -> Self {
        self.process().terminal = true;
        self.with_stdin(false)
    }

    pub(crate) fn with_stdin(mut self, once: bool) -> Self {
        (self.plan.open_stdin, self.plan.stdin_once) = (true, once);
        self
    }

    /// Starts the shim and says hello.
    pub(crate) fn spawn(mut self) -> Self {
        // Opened once, as a daemon does.
        static EXECUTABLE: LazyLock<ShimExecutable> =
            LazyLock::new(|| ShimExecutable::open(&program()).unwrap());
        let spawned = EXECUTABLE.spawn(&self.plan.id).unwrap();
        self.shim = Some((spawned.pid, spawned.pidfd));
        self.daemon = Some(Daemon::greet(spawned.socket));
        self
    }

    /// And creates the container.
    pub(crate) fn create(self) -> Self {
        let mut rig = self.spawn();
        match rig.try_create() {
            Reply::Created { .. } => rig,
            other => panic!("{other:?}"),
        }
    }

    /// And starts it.
    pub(crate) fn start(self) -> Self {
        let mut rig = self.create();
        rig.run();
        rig
    }

    pub(crate) fn try_create(&mut self) -> Reply {
        let memfd = self.plan.to_memfd(&[]).unwrap();
        self.daemon().ask(&Request::Create, &[memfd.as_fd()])
    }

    pub(crate) fn run(&mut self) {
        assert_eq!(self.daemon().ask(&Request::Start, &[]), Reply::Ok);
    }

    pub(crate) fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }

    pub(crate) fn shim_pid(&self) -> i32 {
        self.shim.as_ref().unwrap().0
    }

    /// What a new daemon does.
    pub(crate) fn connect_anew(&mut self) -> &mut Daemon {
        self.daemon = Some(Daemon::greet(connect(&self.plan.run_dir).unwrap()));
        self.daemon()
    }

    /// Attaches a client to init.
    pub(crate) fn attach(&mut self, attach: Attach) -> Client {
        self.daemon().attach(Target::Init, attach)
    }

    /// Starts `script` in the container, with a client.
    pub(crate) fn exec(&mut self, exec_id: &str, script: &str, attach: Attach) -> Client {
        let plan = exec_plan(&["/bin/sh", "-c", script], attach.stdin);
        let (client, reply) = self.daemon().exec(exec_id, &plan, attach);
        assert!(matches!(reply, Reply::Started { .. }), "{reply:?}");
        client
    }

    /// Waits for init's end.
    pub(crate) fn exit(&mut self) -> Exit {
        self.daemon().exit_of(&Target::Init)
    }

    /// Waits for the shim's own end: its exit status.
    pub(crate) fn shim_exit(&mut self) -> i32 {
        let (_, pidfd) = self.shim.take().unwrap();
        wait_readable(pidfd.as_fd(), "end of the shim");
        shim::spawn::reap(pidfd.as_fd()).unwrap().unwrap()
    }

    pub(crate) fn record(&self) -> Option<ExitRecord> {
        ExitRecord::read(&self.plan.run_dir).unwrap()
    }

    /// Stream and text of every entry of the log.
    pub(crate) fn log(&self) -> Vec<(String, String)> {
        self.log_file("log")
    }

    pub(crate) fn log_file(&self, name: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.directory.join(name)).unwrap();
        // A write that is under way may show a part of its last line.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole
            .lines()
            .map(|line| {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                let member = |name: &str| entry[name].as_str().unwrap().to_owned();
                (member("stream"), member("log"))
            })
            .collect()
    }

    /// Waits until the log has an entry with this text.
    pub(crate) fn until_logged(&self, text: &str) {
        until(&format!("{text:?} in the log"), || self.log().iter().any(|(_, entry)| entry == text));
    }

    /// Nothing of the container is left but its exit record, if it has one.
    pub(crate) fn assert_clean(&self) {
        assert!(!Cgroup::open(&self.plan.id).exists());
        let names: Vec<_> = std::fs::read_dir(&self.plan.run_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "exit")
            .collect();
        assert!(names.is_empty(), "{names:?} left in the runtime directory");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let cgroup = Cgroup::open(&self.plan.id);
        cgroup.kill().unwrap();
        if let Some((pid, pidfd)) = self.shim.take() {
            // An orderly end when init was killed above; by force if the shim hangs.
            self.daemon = None;
            let deadline = Timespec { tv_sec: 5, tv_nsec: 0 };
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&deadline));
            if shim::spawn::reap(pidfd.as_fd()).unwrap().is_none() {
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
                wait_readable(pidfd.as_fd(), "end of the killed shim");
                let _ = shim::spawn::reap(pidfd.as_fd());
            }
        }
        cgroup.remove().unwrap();
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

impl Daemon {
    fn greet(socket: OwnedFd) -> Self {
        let mut daemon = Self { socket, sequence: 0, events: VecDeque::new() };
        let reply = daemon.ask(&Request::Hello { major: MAJOR, minor: MINOR }, &[]);
        assert!(matches!(reply, Reply::Hello { .. }), "{reply:?}");
        daemon
    }

    /// Sends a request and waits for its answer; keeps events that come in between.
    pub(crate) fn ask(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Reply {
        self.ask_for_fds(request, fds).0
    }

    pub(crate) fn ask_for_fds(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> (Reply, Vec<OwnedFd>) {
        self.sequence += 1;
        send(self.socket.as_fd(), self.sequence, request, fds).unwrap();
        self.answer(self.sequence)
    }

    /// Waits for the answer to the request with this number.
    pub(crate) fn answer(&mut self, wanted: u32) -> (Reply, Vec<OwnedFd>) {
        loop {
            wait_readable(self.socket.as_fd(), "answer of the shim");
            let packet = receive(self.socket.as_fd()).unwrap().expect("connection is open");
            match packet.message {
                Received::Known { sequence, message: FromShim::Reply(reply) } => {
                    assert_eq!(sequence, wanted);
                    return (reply, packet.fds);
                }
                Received::Known { message: FromShim::Event(event), .. } => self.events.push_back(event),
                Received::Unknown { kind, .. } => panic!("unknown kind {kind}"),
            }
        }
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Event {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        wait_readable(self.socket.as_fd(), "event of the shim");
        let packet = receive(self.socket.as_fd()).unwrap().expect("connection is open");
        match packet.message {
            Received::Known { message: FromShim::Event(event), .. } => event,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn exit_of(&mut self, wanted: &Target) -> Exit {
        loop {
            match self.event() {
                Event::Exited { target, exit } if target == *wanted => return exit,
                _ => {}
            }
        }
    }

    pub(crate) fn attach(&mut self, target: Target, attach: Attach) -> Client {
        let (client, theirs) = Client::pair();
        let reply = self.ask(&Request::Attach { target, attach }, &[theirs.as_fd()]);
        assert_eq!(reply, Reply::Ok);
        client
    }

    pub(crate) fn exec(&mut self, exec_id: &str, plan: &ExecPlan, attach: Attach) -> (Client, Reply) {
        let (client, theirs) = Client::pair();
        let memfd = plan.to_memfd(&[]).unwrap();
        let request = Request::Exec { exec_id: exec_id.into(), attach: Some(attach) };
        let reply = self.ask(&request, &[memfd.as_fd(), theirs.as_fd()]);
        (client, reply)
    }

    /// State of init and of the exec'd processes.
    pub(crate) fn state(&mut self) -> (Option<ProcessState>, Vec<(String, ProcessState)>) {
        match self.ask(&Request::State, &[]) {
            Reply::Hello { init, execs, .. } => (init, execs),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn error(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> (i32, String) {
        match self.ask(request, fds) {
            Reply::Error { exit_code, message } => (exit_code, message),
            other => panic!("{other:?}"),
        }
    }
}

/// A client's side of an attach connection.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) received: Vec<u8>,
}

impl Client {
    /// The client, and the socket that is handed to the shim.
    pub(crate) fn pair() -> (Self, UnixStream) {
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        (Self { stream, received: Vec::new() }, theirs)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads until what was received ends with `end`.
    pub(crate) fn until(&mut self, end: &[u8]) -> &[u8] {
        let mut buffer = [0; 65_536];
        while !self.received.ends_with(end) {
            let count = self.stream.read(&mut buffer).unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&self.received))
            });
            assert_ne!(count, 0, "end after {:?}", String::from_utf8_lossy(&self.received));
            self.received.extend_from_slice(&buffer[..count]);
        }
        &self.received
    }

    /// Reads to the end of the connection: everything received.
    pub(crate) fn read_to_end(&mut self) -> &[u8] {
        self.stream.read_to_end(&mut self.received).unwrap();
        &self.received
    }

    /// Nothing can be read now, not even the end.
    pub(crate) fn is_silent(&self) -> bool {
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 0
    }
}

/// Everything of both output streams, multiplexed; no input.
pub(crate) const OUTPUT: Attach = Attach {
    stdin: false,
    stdout: true,
    stderr: true,
    framing: Framing::Multiplexed,
    detach_keys: Vec::new(),
    early_input: Vec::new(),
};

/// Input and raw output.
pub(crate) const RAW: Attach = Attach {
    stdin: true,
    stdout: true,
    stderr: true,
    framing: Framing::Raw,
    detach_keys: Vec::new(),
    early_input: Vec::new(),
};

pub(crate) fn frame(stream: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[stream, 0, 0, 0], &length[..], text.as_bytes()].concat()
}

pub(crate) fn exec_plan(args: &[&str], open_stdin: bool) -> ExecPlan {
    ExecPlan {
        version: 1,
        process: process(args),
        user: String::new(),
        open_stdin,
        privileged: false,
        seccomp_flags: 0,
        tied: false,
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn wait_readable(fd: BorrowedFd<'_>, what: &str) {
    let seconds = i64::try_from(DEADLINE.as_secs()).unwrap();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let count = poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap();
    assert_eq!(count, 1, "waited in vain for {what}");
}

/// A root file system of busybox alone.
fn make_root(root: &Path) {
    for directory in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    // By another process: a test that forks while this one had it open for writing would make it "text file busy".
    let copied = std::process::Command::new("cp").arg("/bin/busybox").arg(root.join("bin/busybox")).status();
    assert!(copied.expect("cp of coreutils").success(), "busybox-static is installed");
    let applets =
        "awk cat dd echo false grep head id kill ls ps rm seq sh sleep stty tail test tr true tty wc yes";
    for applet in applets.split(' ') {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let file = |name: &str, text: &str| {
        let mut file = std::fs::File::create(root.join("etc").join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    file("passwd", "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/home/guest:/bin/sh\n");
    file("group", "root:x:0:\nguest:x:1000:\nextra:x:2000:guest\n");
}

fn process(args: &[&str]) -> Process {
    let names = ["CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"].map(str::to_owned).to_vec();
    Process {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec!["PATH=/bin".into()],
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: names.clone(),
            effective: names.clone(),
            permitted: names,
            ..Capabilities::default()
        }),
        ..Process::default()
    }
}

fn spec(args: &[&str], cgroup: &str) -> Spec {
    let mount = |destination: &str, kind: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(kind.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    let namespaces = ["mount", "pid", "uts", "ipc", "network"];
    Spec {
        oci_version: oci::runtime::OCI_VERSION.into(),
        process: Some(process(args)),
        mounts: vec![
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755"]),
            mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]),
        ],
        linux: Some(Linux {
            namespaces: namespaces.map(|kind| Namespace { kind: kind.into(), path: None }).to_vec(),
            cgroups_path: Some(format!("/{cgroup}")),
            resources: Some(Resources::default()),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}
