//! A busybox bundle of a test's own, and the runtime's binary to run it with.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use oci::runtime::{IdMapping, Linux, Namespace, Process, Spec};

/// Applets that tests use.
const APPLETS: [&str; 35] = [
    "cat", "chmod", "chown", "chroot", "cut", "dd", "echo", "env", "false", "find", "grep", "head",
    "hostname", "id", "ionice", "ip", "kill", "ls", "mkdir", "mknod", "mount", "od", "pwd", "readlink",
    "seq", "sh", "sleep", "sort", "stat", "stty", "test", "touch", "true", "tty", "uname",
];

/// A bundle and the state directory of its containers; everything is gone on drop, which fails the test otherwise.
pub(crate) struct Bundle {
    pub(crate) directory: PathBuf,
    pub(crate) id: String,
    pub(crate) spec: Spec,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Answer {
    /// The output, of a command that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The complaint, of a command that failed with `code`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}

impl Bundle {
    pub(crate) fn new(name: &str) -> Self {
        let id = format!("it-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(format!("corten-runtime-{id}"));
        for path in ["rootfs/bin", "rootfs/etc", "rootfs/root", "rootfs/tmp", "state"] {
            fs::create_dir_all(directory.join(path)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.expect("Debian's busybox-static is needed: make installs it");
        copy_program(Path::new(busybox), &directory.join("rootfs/bin/busybox"));
        for applet in APPLETS {
            symlink("busybox", directory.join("rootfs/bin").join(applet)).unwrap();
        }
        let mut bundle = Self { directory, id, spec: Spec::default() };
        bundle.put("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n");
        bundle.put("etc/group", "root:x:0:\napp:x:1000:\n");
        bundle.command(&["spec", "--bundle", bundle.directory.to_str().unwrap()]).output().unwrap();
        let config = fs::read(bundle.directory.join("config.json")).unwrap();
        bundle.spec = serde_json::from_slice(&config).unwrap();
        bundle.spec.root.as_mut().unwrap().readonly = false;
        let process = bundle.process();
        process.terminal = false;
        process.rlimits.clear();
        bundle
    }

    /// Writes a file of the root file system.
    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no atomic replacement")]
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes an executable file of the root file system.
    pub(crate) fn put_program(&self, path: &str, content: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt;
        let written = self.put(&format!("{path}.new"), content);
        fs::set_permissions(&written, fs::Permissions::from_mode(0o755)).unwrap();
        copy_program(&written, &self.root(path));
        fs::remove_file(written).unwrap();
    }

    /// A path of the root file system, from outside.
    pub(crate) fn root(&self, path: &str) -> PathBuf {
        self.directory.join("rootfs").join(path)
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.spec.process.as_mut().unwrap()
    }

    pub(crate) fn linux(&mut self) -> &mut Linux {
        self.spec.linux.as_mut().unwrap()
    }

    /// Adds a mount.
    pub(crate) fn mount(&mut self, source: &str, destination: &str, kind: &str, options: &[&str]) {
        self.spec.mounts.push(oci::runtime::Mount {
            destination: destination.into(),
            kind: Some(kind.into()),
            source: Some(source.into()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Default::default()
        });
    }

    /// Gives the container a user namespace of its own, and its files to the root of that.
    pub(crate) fn with_user_namespace(&mut self) {
        self.linux().namespaces.push(Namespace { kind: "user".into(), path: None });
        let map = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
        self.linux().uid_mappings = map.clone();
        self.linux().gid_mappings = map;
        let status = Command::new("chown").args(["-R", "100000:100000"]).arg(self.root("")).status();
        assert!(status.unwrap().success());
    }

    /// The runtime's binary with `words`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten-runtime"));
        command.arg("--root").arg(self.directory.join("state")).args(words).stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn call(&self, words: &[&str]) -> Answer {
        self.command(words).output().unwrap().into()
    }

    /// Writes config.json.
    pub(crate) fn save(&self) {
        let config = serde_json::to_vec_pretty(&self.spec).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a fixture needs no atomic replacement")]
        fs::write(self.directory.join("config.json"), config).unwrap();
    }

    /// The command that runs the bundle with this program.
    pub(crate) fn run_command(&mut self, args: &[&str]) -> Command {
        self.process().args = args.iter().map(|&arg| arg.to_owned()).collect();
        self.save();
        let bundle = self.directory.to_str().unwrap();
        self.command(&["run", "--bundle", bundle, &self.id])
    }

    /// Runs the bundle with this program.
    pub(crate) fn run(&mut self, args: &[&str]) -> Answer {
        self.run_command(args).output().unwrap().into()
    }

    /// Runs the bundle with this shell script.
    pub(crate) fn sh(&mut self, script: &str) -> Answer {
        self.run(&["sh", "-c", script])
    }

    /// Starts the bundle in the background, with a program that stays.
    pub(crate) fn start(&mut self) {
        self.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
        self.save();
        let bundle = self.directory.to_str().unwrap();
        // Not `call`: the container keeps the pipe's other end.
        let status =
            self.command(&["run", "--detach", "--bundle", bundle, &self.id]).stdout(Stdio::null()).status();
        assert!(status.unwrap().success());
    }

    /// Runs a program in the running container.
    pub(crate) fn exec(&self, words: &[&str]) -> Answer {
        self.call(&[&["exec"], words].concat())
    }

    pub(crate) fn state(&self) -> serde_json::Value {
        serde_json::from_str(&self.call(&["state", &self.id]).ok()).unwrap()
    }
}

/// Copies a file that will be executed, in a process of its own: ours is forked by other tests meanwhile, and a child
/// that has the file open for writing makes it "text file busy".
fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-p").args([from, to]).status().unwrap().success());
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", &self.id]).output();
        let left: Vec<_> = fs::read_dir(self.directory.join("state")).unwrap().flatten().collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounted = mounts.contains(self.directory.to_str().unwrap());
        let cgroups = leftover_cgroups(&self.id);
        fs::remove_dir_all(&self.directory).unwrap();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "state is left: {left:?}");
            assert!(!mounted, "something is mounted on the host");
            assert!(cgroups.is_empty(), "cgroups are left: {cgroups:?}");
        }
    }
}

fn leftover_cgroups(id: &str) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("/sys/fs/cgroup")];
    places.extend(fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path()));
    places
        .into_iter()
        .map(|place| place.join(format!("corten-runtime-{id}")))
        .filter(|path| path.exists())
        .collect()
}

/// Waits for a condition, up to a minute.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not within a minute: {what}");
        std::thread::yield_now();
    }
}

/// Takes the terminal that the runtime sends to a console socket.
pub(crate) fn receive_terminal(listener: &std::os::unix::net::UnixListener) -> OwnedFd {
    let (connection, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 32];
    let mut buffers = [std::io::IoSliceMut::new(&mut name)];
    rustix::net::recvmsg(&connection, &mut buffers, &mut control, rustix::net::RecvFlags::CMSG_CLOEXEC)
        .unwrap();
    let fd = control.drain().find_map(|message| match message {
        rustix::net::RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.expect("a terminal")
}

/// Everything that can be read from a terminal until its last program is gone.
pub(crate) fn read_terminal(master: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = rustix::io::read(master, &mut buffer) {
        text.extend(&buffer[..length]);
    }
    String::from_utf8_lossy(&text).into_owned()
}
