//! An engine in directories of its own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use api_types::config::Config;
use api_types::container::CreateRequest;
use api_types::host_config::HostConfig;
use engine::Engine;
use engine::params::{
    AttachParams, ClientStream, ContainerDefaults, EngineConfig, RemoveOptions, WaitCondition,
};

/// An engine with an image `bb:1`; everything is gone when it is dropped.
pub(crate) struct Kit {
    pub(crate) engine: Engine,
    root: PathBuf,
}

impl Kit {
    pub(crate) async fn new(name: &str) -> Self {
        let kit = Self::open(name).await;
        kit.import();
        kit
    }

    /// The engine on the directories of `name`, which an earlier one may have left.
    pub(crate) async fn open(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("corten-engine-{name}-{}", std::process::id()));
        Self { engine: Engine::open(config(&root)).await.unwrap(), root }
    }

    /// Pid of the shim of a container, the parent of its first process.
    pub(crate) async fn shim_pid(&self, name: &str) -> i32 {
        let pid = self.engine.inspect(name, false).await.unwrap().state.pid;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
        parent.trim().parse().unwrap()
    }

    fn import(&self) {
        let busybox = std::fs::read("/bin/busybox").or_else(|_| std::fs::read("/usr/bin/busybox")).unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(busybox.len() as u64);
        archive.append_data(&mut header, "bin/busybox", &busybox[..]).unwrap();
        for applet in ["sh", "cat", "echo", "sleep", "true", "id"] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
        }
        let bytes = archive.into_inner().unwrap();
        let options = images::ImportOptions {
            reference: Some("bb:1".parse().unwrap()),
            changes: vec!["CMD [\"sh\"]".into()],
            ..images::ImportOptions::default()
        };
        self.engine.images().import(&bytes[..], &options).unwrap();
    }

    /// Creates a container that runs a shell command.
    pub(crate) async fn create(
        &self,
        name: &str,
        command: &str,
        change: impl FnOnce(&mut CreateRequest),
    ) -> String {
        let mut request = CreateRequest {
            config: Config {
                image: "bb:1".into(),
                cmd: Some(vec!["sh".into(), "-c".into(), command.into()]),
                ..Config::default()
            },
            host_config: HostConfig { network_mode: "none".into(), ..HostConfig::default() },
            ..CreateRequest::default()
        };
        change(&mut request);
        self.engine.create(Some(name), None, request).await.unwrap().id
    }

    /// Attaches, starts, and waits: exit code and raw output.
    pub(crate) async fn run_attached(&self, name: &str) -> (i32, Vec<u8>) {
        let params = AttachParams { stream: true, stdout: true, stderr: true, ..AttachParams::default() };
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let ticket = self.engine.prepare_attach(name, &params).await.unwrap();
        let client = ClientStream { socket: OwnedFd::from(theirs), early_input: Vec::new() };
        self.engine.attach(ticket, params, client).await.unwrap();
        let wait = self.engine.wait(name, WaitCondition::NextExit).await.unwrap();
        self.engine.start(name).await.unwrap();
        let output = tokio::task::spawn_blocking(move || {
            let mut output = Vec::new();
            ours.read_to_end(&mut output).unwrap();
            output
        })
        .await
        .unwrap();
        (wait.await.unwrap().unwrap().exit_code, output)
    }

    /// Removes every container, then the directories.
    pub(crate) async fn finish(self) {
        for container in self
            .engine
            .list(engine::params::ListQuery { all: true, ..engine::params::ListQuery::default() })
            .await
            .unwrap()
        {
            self.engine
                .remove(&container.id, RemoveOptions { force: true, ..RemoveOptions::default() })
                .await
                .unwrap();
        }
        let cgroup = engine::layout::Layout::new(&self.root.join("data"), &self.root.join("exec"), None);
        std::fs::remove_dir_all(&self.root).unwrap();
        // The shim of the last container may need a moment to leave.
        for _ in 0..200 {
            if runtime::cgroup::Cgroup::open(cgroup.cgroup_root()).remove().is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{} is still there", cgroup.cgroup_root());
    }
}

fn config(root: &std::path::Path) -> EngineConfig {
    EngineConfig {
        init: false,
        default_ulimits: Vec::new(),
        defaults: ContainerDefaults::default(),
        data_root: root.join("data"),
        exec_root: root.join("exec"),
        shim: shim_path(),
        log_options: BTreeMap::new(),
        pids_limit: Some(4096),
        stop_timeout: 10,
        max_layer_size: None,
        cgroup_root: None,
        ready_shims: 1,
    }
}

fn shim_path() -> PathBuf {
    if let Some(path) = std::env::var_os("CORTEN_SHIM") {
        return path.into();
    }
    // target/<tuple>/debug/deps/it-… → target/<tuple>/debug/corten-shim
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("corten-shim")
}

/// How many times slower than a usual machine this one is, as in `testkit::wait`.
pub(crate) fn slowness() -> u32 {
    std::env::var("CORTEN_TEST_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
