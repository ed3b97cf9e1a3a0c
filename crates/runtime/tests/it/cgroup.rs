//! Cgroups of this machine, whichever version it has, and v2 through a mounted or a faked hierarchy.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::runtime::Resources;
use runtime::cgroup::{Cgroup, Host, LimitOwner};

/// Cgroups below a root of their own, all removed on drop.
struct Tree {
    host: Arc<Host>,
    root: String,
}

impl Tree {
    fn new(host: Arc<Host>, name: &str) -> Self {
        Self { host, root: format!("/corten-test-{}-{name}", std::process::id()) }
    }

    fn create(&self, name: &str, json: &str) -> std::io::Result<Cgroup> {
        Cgroup::create_on(self.host.clone(), &format!("{}/{name}", self.root), &resources(json))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let root = Cgroup::open_on(self.host.clone(), &self.root);
        root.kill().unwrap();
        root.remove().unwrap();
        assert!(!root.exists());
    }
}

/// A program that is killed and reaped on drop.
struct Program(Child);

impl Program {
    fn shell(script: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn sleeper() -> Self {
        Self::shell("exec sleep 1000")
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// One line in, all of the output back.
    fn go(mut self) -> String {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut output = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        output.trim().to_owned()
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn resources(json: &str) -> Resources {
    serde_json::from_str(json).unwrap()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The hierarchies to try: this machine's, and a v2 one beside it.
fn hosts() -> Vec<Arc<Host>> {
    let mut hosts = vec![Host::current()];
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let unified =
        mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    if let Some(mount) = unified {
        hosts.push(Arc::new(Host::v2(mount)));
    }
    hosts.dedup();
    hosts
}

/// The v2 hierarchy of this machine, if any.
fn unified() -> Option<Arc<Host>> {
    hosts().into_iter().find(|host| host.version() == 2)
}

/// A file of a cgroup on this machine, v1 or v2 name.
fn read(cgroup: &Cgroup, controller: &str, v1: &str, v2: &str) -> String {
    let path = match Host::current().version() {
        1 => format!("/sys/fs/cgroup/{controller}{}/{v1}", cgroup.path()),
        _ => format!("/sys/fs/cgroup{}/{v2}", cgroup.path()),
    };
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn limits_are_in_the_kernel_and_change_while_it_runs() {
    let tree = Tree::new(Host::current(), "limits");
    let cgroup = tree
        .create(
            "c",
            r#"{"memory": {"limit": 268435456, "swap": 268435456}, "pids": {"limit": 64},
                "cpu": {"quota": 50000, "period": 100000, "shares": 512},
                "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]}"#,
        )
        .unwrap();
    let program = Program::sleeper();
    cgroup.add(program.pid()).unwrap();
    assert_eq!(read(&cgroup, "memory", "memory.limit_in_bytes", "memory.max"), "268435456");
    assert_eq!(read(&cgroup, "pids", "pids.max", "pids.max"), "64");
    assert_eq!(cgroup.pids().unwrap(), [program.pid()]);

    cgroup
        .update(&resources(r#"{"memory": {"limit": 536870912, "swap": 1073741824}, "pids": {"limit": -1}}"#))
        .unwrap();
    assert_eq!(read(&cgroup, "memory", "memory.limit_in_bytes", "memory.max"), "536870912");
    assert_eq!(read(&cgroup, "pids", "pids.max", "pids.max"), "max");
    cgroup.update(&resources(r#"{"memory": {"limit": 67108864, "swap": 67108864}}"#)).unwrap();
    assert_eq!(read(&cgroup, "memory", "memory.limit_in_bytes", "memory.max"), "67108864");
    cgroup.update(&resources(r#"{"cpu": {"quota": 5000, "period": 10000, "burst": 2000}}"#)).unwrap();
    cgroup.update(&resources(r#"{"cpu": {"quota": 1000, "burst": 500}}"#)).unwrap();
    if Host::current().version() == 1 {
        assert_eq!(read(&cgroup, "cpu", "cpu.cfs_quota_us", ""), "1000");
        assert_eq!(read(&cgroup, "cpu", "cpu.cfs_burst_us", ""), "500");
        assert_eq!(read(&cgroup, "memory", "memory.memsw.limit_in_bytes", ""), "67108864");
        let devices = read(&cgroup, "devices", "devices.list", "");
        assert!(devices.lines().any(|line| line == "c 10:229 rw"), "{devices}");
        assert!(devices.lines().all(|line| line != "a *:* rwm"), "{devices}");
    }
}

#[test]
fn a_limit_that_comes_later_takes_the_running_tasks_along() {
    let tree = Tree::new(Host::current(), "later");
    let cgroup = tree.create("c", "{}").unwrap();
    let program = Program::sleeper();
    cgroup.add(program.pid()).unwrap();
    cgroup.update(&resources(r#"{"cpu": {"cpus": "0", "shares": 100}}"#)).unwrap();
    assert_eq!(read(&cgroup, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    assert!(status.lines().any(|line| line == "Cpus_allowed_list:\t0"), "{status}");
}

#[test]
fn a_limit_without_its_controller_is_refused_by_name_and_leaves_nothing() {
    if Host::current().version() != 1 || Host::current().support().huge_pages {
        return;
    }
    let tree = Tree::new(Host::current(), "missing");
    let error = tree.create("c", r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}"#).unwrap_err();
    assert_eq!(error.to_string(), "cgroup controller \"hugetlb\" is not available on this host");
    assert!(!Cgroup::open(&tree.root).exists());
    // This one fails half-way.
    let error = tree.create("c", r#"{"cpu": {"cpus": "999"}}"#).unwrap_err().to_string();
    assert!(error.contains("cannot set cpuset.cpus to \"999\""), "{error}");
    assert!(!Cgroup::open(&format!("{}/c", tree.root)).exists());
}

#[test]
fn a_leftover_is_replaced_unless_it_is_in_use() {
    for host in hosts() {
        let tree = Tree::new(host, "leftover");
        tree.create("c", r#"{}"#).unwrap();
        let cgroup = tree.create("c", "{}").unwrap();
        let program = Program::sleeper();
        cgroup.add(program.pid()).unwrap();
        let error = tree.create("c", "{}").unwrap_err().to_string();
        assert!(error.contains("exists and is in use"), "{error}");
        assert_eq!(cgroup.pids().unwrap(), [program.pid()], "it was left alone");
    }
}

#[test]
fn frozen_tasks_stand_still_and_can_be_killed() {
    for host in hosts() {
        let tree = Tree::new(host, "freeze");
        let cgroup = tree.create("c", "{}").unwrap();
        let mut program = Program::shell("while :; do :; done");
        cgroup.add(program.pid()).unwrap();
        let ticks = |program: &Program| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
            stat.split(' ').nth(13).unwrap().parse::<u64>().unwrap()
        };
        until("it runs", || ticks(&program) > 0);
        cgroup.freeze().unwrap();
        let before = ticks(&program);
        let other = Program::shell("while :; do :; done");
        until("another one has run for a while", || ticks(&other) > 3);
        assert_eq!(ticks(&program), before);
        cgroup.thaw().unwrap();
        until("it runs again", || ticks(&program) > before);
        cgroup.freeze().unwrap();
        cgroup.kill().unwrap();
        until("it has ended", || program.ended());
        cgroup.remove().unwrap();
        assert!(!cgroup.exists());
    }
}

#[test]
fn a_fork_bomb_dies_at_one_blow() {
    for host in hosts() {
        let tree = Tree::new(host, "bomb");
        let limit = if tree.host.support().pids { r#"{"pids": {"limit": 200}}"# } else { "{}" };
        let cgroup = tree.create("c", limit).unwrap();
        // Bounded by itself too: not every hierarchy has the pids controller.
        let bomb = "read go; n=0; f() { while [ $n -lt 6 ]; do n=$((n+1)); f & done; sleep 1000; }; f";
        let mut program = Program::shell(bomb);
        cgroup.add(program.pid()).unwrap();
        program.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
        until("it has forked", || cgroup.pids().unwrap().len() > 30);
        cgroup.kill().unwrap();
        until("it has ended", || program.ended());
        cgroup.remove().unwrap();
    }
}

#[test]
fn groups_of_the_container_itself_are_killed_and_removed_too() {
    for host in hosts() {
        let tree = Tree::new(host.clone(), "nested");
        let cgroup = tree.create("c", "{}").unwrap();
        let inner = tree.create("c/inner/most", "{}").unwrap();
        let mut program = Program::sleeper();
        inner.add(program.pid()).unwrap();
        assert_eq!(cgroup.pids().unwrap(), [program.pid()]);
        cgroup.kill().unwrap();
        cgroup.remove().unwrap();
        until("it has ended", || program.ended());
        assert!(!cgroup.exists());
        cgroup.remove().unwrap();
        assert_eq!(cgroup.pids().unwrap(), [0_i32; 0]);
    }
}

#[test]
fn devices_are_refused_on_either_version() {
    let rule = |allow: bool, minor: u32, access: &str| {
        format!(r#"{{"allow": {allow}, "type": "c", "major": 1, "minor": {minor}, "access": "{access}"}}"#)
    };
    let everything = |allow: bool| format!(r#"{{"allow": {allow}, "access": "rwm"}}"#);
    // /dev/kmsg is 1:11. What the rules say of it, and whether it opens for reading, and for writing.
    let cases = [
        (vec![everything(false)], "no no"),
        (vec![everything(false), rule(true, 11, "r")], "yes no"),
        (vec![everything(true), rule(false, 11, "r")], "no yes"),
        (vec![everything(false), rule(true, 11, "rw")], "yes yes"),
        (vec![everything(false), rule(true, 11, "w")], "no yes"),
        (vec![everything(true)], "yes yes"),
        (vec![everything(false)], "no no"),
    ];
    for host in hosts() {
        let tree = Tree::new(host, "devices");
        let cgroup = tree.create("c", &format!(r#"{{"devices": [{}]}}"#, everything(false))).unwrap();
        for (rules, expected) in &cases {
            cgroup.update(&resources(&format!(r#"{{"devices": [{}]}}"#, rules.join(",")))).unwrap();
            let ask = "read go; ( : < /dev/kmsg ) && echo -n 'yes ' || echo -n 'no '; \
                       ( : > /dev/kmsg ) && echo yes || echo no; : < /dev/null";
            let program = Program::shell(ask);
            cgroup.add(program.pid()).unwrap();
            assert_eq!(program.go(), *expected, "{rules:?}");
        }
    }
}

#[test]
fn an_oom_kill_is_counted() {
    if !Host::current().support().memory {
        return;
    }
    let tree = Tree::new(Host::current(), "oom");
    let cgroup = tree.create("c", r#"{"memory": {"limit": 8388608, "swap": 8388608}}"#).unwrap();
    assert_eq!(cgroup.oom_kills(), 0);
    use_too_much(&cgroup);
    assert!(cgroup.memory_peak().unwrap() > 4_000_000);
    let found = cgroup.out_of_memory();
    assert_eq!((found.whose, found.limit), (LimitOwner::Own, Some(8_388_608)));
    assert_eq!(found.peak, cgroup.memory_peak());
}

/// Runs a program in a cgroup that uses memory until it is killed.
fn use_too_much(cgroup: &Cgroup) {
    let mut program = Program::shell("read go; head -c 100000000 /dev/zero | tail -c 100000000 > /dev/null");
    cgroup.add(program.pid()).unwrap();
    program.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    until("the kernel has killed", || cgroup.oom_kills() > 0);
    until("it has ended", || program.ended());
}

#[test]
fn an_oom_kill_is_told_from_one_for_the_limit_of_a_cgroup_above() {
    if !Host::current().support().memory {
        return;
    }
    let tree = Tree::new(Host::current(), "oom-above");
    let parent = tree.create("p", r#"{"memory": {"limit": 8388608, "swap": 8388608}}"#).unwrap();
    let cgroup = tree.create("p/c", r#"{"memory": {"limit": 67108864, "swap": 67108864}}"#).unwrap();
    use_too_much(&cgroup);
    let found = cgroup.out_of_memory();
    assert_eq!((found.whose, found.limit), (LimitOwner::Above(parent.path().to_owned()), Some(8_388_608)));
}

#[test]
fn use_is_accounted() {
    let tree = Tree::new(Host::current(), "stats");
    let cgroup = tree.create("c", r#"{"memory": {"limit": 67108864}, "pids": {"limit": 9}}"#).unwrap();
    let program = Program::shell("read go; x=$(head -c 2000000 /dev/zero | tr '\\0' x); while :; do :; done");
    cgroup.add(program.pid()).unwrap();
    let mut program = program;
    program.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    // The kernel charges memory in batches, and counts late; the shell's two children come and go before.
    let mut stats = cgroup.stats();
    until("it has used time and memory", || {
        stats = cgroup.stats();
        stats.cpu.total > 10_000_000
            && stats.cpu.user > 0
            && stats.memory.usage > 2_000_000
            && stats.pids.current == 1
    });
    assert_eq!(stats.pids.limit, Some(9));
    assert_eq!(stats.memory.limit, Some(67_108_864));
    assert!(!stats.memory.details.is_empty());
}

/// A v2 hierarchy of plain files, for controllers that this machine's v2 mount does not have.
struct Fake(PathBuf);

impl Fake {
    fn new(name: &str, controllers: &str) -> Self {
        let root = std::env::temp_dir().join(format!("corten-cgroup2-{}-{name}", std::process::id()));
        for directory in ["", "engine", "engine/c"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
            let fake = Self(root.clone());
            fake.file(&format!("{directory}/cgroup.controllers"), controllers);
            fake.file(&format!("{directory}/cgroup.subtree_control"), "");
            std::mem::forget(fake);
        }
        Self(root)
    }

    fn file(&self, path: &str, content: &str) {
        let path = self.0.join(path.trim_start_matches('/'));
        std::fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).unwrap()
    }

    fn cgroup(&self) -> Cgroup {
        Cgroup::open_on(Arc::new(Host::v2(self.0.to_str().unwrap())), "/engine/c")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}

#[test]
fn v2_controllers_are_handed_down_the_path() {
    let fake = Fake::new("down", "cpuset cpu io memory pids");
    for file in ["memory.max", "memory.swap.max", "cpu.max", "cpuset.cpus", "io.weight"] {
        fake.file(&format!("engine/c/{file}"), "");
    }
    let json = r#"{"memory": {"limit": 100, "swap": 150}, "cpu": {"quota": 5, "cpus": "0"}, "blockIO": {"weight": 100}}"#;
    fake.cgroup().update(&resources(json)).unwrap();
    for directory in ["", "engine/"] {
        assert_eq!(
            fake.read(&format!("{directory}cgroup.subtree_control")),
            "+cpu +memory +pids +io +cpuset"
        );
    }
    assert_eq!(fake.read("engine/c/cgroup.subtree_control"), "", "containers are leaves");
    assert_eq!(fake.read("engine/c/memory.max"), "100");
    assert_eq!(fake.read("engine/c/memory.swap.max"), "50");
    assert_eq!(fake.read("engine/c/cpu.max"), "5 100000");
    assert_eq!(fake.read("engine/c/io.weight"), "910", "where there is no bfq");
    let error = fake.cgroup().update(&resources(r#"{"pids": {"limit": 5}}"#)).unwrap_err().to_string();
    assert_eq!(error, "cgroup controller \"pids\" of this kernel has no pids.max");
}

#[test]
fn v2_without_a_controller_says_which() {
    let fake = Fake::new("lacks", "cpu pids");
    let error = fake.cgroup().update(&resources(r#"{"memory": {"limit": 100}}"#)).unwrap_err();
    assert_eq!(error.to_string(), "cgroup controller \"memory\" is not available on this host");
    fake.cgroup().update(&resources("{}")).unwrap();
    assert_eq!(fake.read("cgroup.subtree_control"), "+cpu +pids");
}

#[test]
fn v2_statistics_come_from_its_files() {
    let fake = Fake::new("stats", "cpu memory pids io");
    let files = [
        ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\n"),
        ("memory.current", "4096\n"),
        ("memory.peak", "8192\n"),
        ("memory.max", "max\n"),
        ("memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n"),
        ("memory.stat", "anon 100\nfile 50\n"),
        ("pids.current", "3\n"),
        ("pids.max", "max\n"),
        ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n"),
    ];
    for (file, content) in files {
        fake.file(&format!("engine/c/{file}"), content);
    }
    let cgroup = fake.cgroup();
    let stats = cgroup.stats();
    assert_eq!((stats.cpu.total, stats.cpu.user, stats.cpu.system), (7000, 4000, 3000));
    assert_eq!((stats.memory.usage, stats.memory.peak, stats.memory.limit), (4096, Some(8192), None));
    assert_eq!((stats.memory.failures, stats.memory.details.len()), (5, 2));
    assert_eq!((stats.pids.current, stats.pids.limit), (3, None));
    assert_eq!((stats.io_bytes[1].value, stats.io_operations[0].value), (20, 1));
    assert_eq!((cgroup.oom_kills(), cgroup.memory_peak()), (1, Some(8192)));
}

#[test]
fn a_v2_cgroup_has_a_directory_to_be_born_in() {
    let Some(host) = unified() else { return };
    let tree = Tree::new(host, "born");
    let cgroup = tree.create("c", "{}").unwrap();
    assert!(cgroup.dir_fd().unwrap().is_some());
    assert!(Cgroup::open_on(tree.host.clone(), "/no/such").dir_fd().is_err());
}
