//! How a container ends.

use std::os::fd::AsFd;
use std::time::Duration;

use oci::runtime::{Memory, Resources};
use rustix::process::{Pid, Signal, kill_process};
use shim::plan::Rootfs;
use shim::protocol::{Event, ProcessState, Reply, Request, Target};

use crate::rig::{OUTPUT, Rig, slowness, until};

#[test]
fn the_record_is_on_disk_before_the_end_is_told() {
    for code in 0..10 {
        let mut rig = Rig::new(&format!("exit {code}")).start();
        let exit = rig.exit();
        let record = rig.record().expect("record is there when the event is");
        assert_eq!((record.exit, record.sure), (exit, true));
        assert_eq!(exit.code, code);
        rig.assert_clean();
        assert_eq!(rig.shim_exit(), 0);
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for (signal, code) in [(libc::SIGKILL, 137), (libc::SIGTERM, 143), (36, 164)] {
        // As process 1 it would ignore signals that it has no handler for.
        let mut rig = Rig::new("exec sleep 1000");
        let linux = rig.plan.spec.linux.as_mut().unwrap();
        linux.namespaces.retain(|namespace| namespace.kind != "pid");
        let mut rig = rig.start();
        let kill = Request::Signal { target: Target::Init, signal };
        assert_eq!(rig.daemon().ask(&kill, &[]), Reply::Ok);
        assert_eq!(rig.exit().code, code);
    }
}

#[test]
fn a_handled_signal_is_the_programs_affair() {
    let mut rig = Rig::new("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done").start();
    rig.until_logged("ready\n");
    let term = Request::Signal { target: Target::Init, signal: libc::SIGTERM };
    assert_eq!(rig.daemon().ask(&term, &[]), Reply::Ok);
    assert_eq!(rig.exit().code, 3);
}

#[test]
fn what_init_leaves_behind_ends_with_it() {
    for own_pid_namespace in [true, false] {
        let mut rig = Rig::new("sleep 1000 & echo $!; exit 2");
        if !own_pid_namespace {
            let linux = rig.plan.spec.linux.as_mut().unwrap();
            linux.namespaces.retain(|namespace| namespace.kind != "pid");
        }
        let mut rig = rig.start();
        let start = std::time::Instant::now();
        assert_eq!(rig.exit().code, 2);
        assert!(
            start.elapsed() < Duration::from_secs(2) * slowness(),
            "nobody waits for pipes of what was killed"
        );
        rig.assert_clean();
    }
}

#[test]
fn an_oom_kill_is_named() {
    let mut rig = Rig::new("tail /dev/zero; exit 1");
    let memory = Memory { limit: Some(16 << 20), swap: Some(16 << 20), ..Memory::default() };
    rig.plan.spec.linux.as_mut().unwrap().resources =
        Some(Resources { memory: Some(memory), ..Resources::default() });
    let mut rig = rig.start();
    let exit = rig.exit();
    assert!(exit.oom_killed, "{exit:?}");
}

#[test]
fn a_container_that_ends_without_a_daemon_is_known_by_its_record() {
    let mut rig = Rig::new("until [ -e /tmp/go ]; do sleep 0.01; done; echo last; exit 8").start();
    rig.daemon = None;
    std::fs::File::create(rig.directory.join("root/tmp/go")).unwrap();
    assert_eq!(rig.shim_exit(), 0);
    assert_eq!(rig.record().unwrap().exit.code, 8);
    assert_eq!(rig.log(), [("stdout".to_owned(), "last\n".to_owned())]);
    rig.assert_clean();
}

#[test]
fn a_program_that_cannot_be_started_leaves_nothing() {
    for (arg, exit_code, phrase) in [
        ("nosuch", 127, "executable file not found in $PATH"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "is a directory"),
    ] {
        let mut rig = Rig::new("");
        rig.process().args = vec![arg.into()];
        let mut rig = rig.spawn();
        let mut client = None;
        let mut reply = rig.try_create();
        if matches!(reply, Reply::Created { .. }) {
            client = Some(rig.attach(OUTPUT));
            reply = rig.daemon().ask(&Request::Start, &[]);
        }
        let Reply::Error { exit_code: code, message } = reply else { panic!("{reply:?}") };
        assert!(message.contains(phrase), "{message}");
        assert_eq!(code, exit_code, "{message}");
        if let Some(client) = &mut client {
            assert_eq!(client.read_to_end(), b"");
        }
        assert_eq!(rig.shim_exit(), 0);
        assert_eq!(rig.record(), None);
        rig.assert_clean();
    }
}

#[test]
fn a_container_that_cannot_be_created_leaves_nothing() {
    let mut rig = Rig::new("true");
    rig.plan.user = "nosuch".into();
    let mut rig = rig.spawn();
    let reply = rig.try_create();
    let message = "unable to find user nosuch: no matching entries in passwd file".to_owned();
    assert_eq!(reply, Reply::Error { exit_code: 125, message });
    assert_eq!(rig.shim_exit(), 0);
    rig.assert_clean();
}

#[test]
fn a_shim_that_got_no_plan_goes_with_its_daemon() {
    let mut rig = Rig::new("true").spawn();
    rig.daemon = None;
    assert_eq!(rig.shim_exit(), 0);
}

#[test]
fn a_killed_shim_leaves_the_container_running() {
    let mut rig = Rig::new("exec sleep 1000").start();
    let Some(ProcessState::Running { pid }) = rig.daemon().state().0 else { panic!("not running") };
    kill_process(Pid::from_raw(rig.shim_pid()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(rig.shim_exit(), 137);
    rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    until("init to be gone", || !std::path::Path::new(&format!("/proc/{pid}/cwd")).exists());
}

#[test]
fn clients_get_what_is_theirs_though_they_read_it_late() {
    let mut rig = Rig::new("seq 1 100000").create();
    let mut client = rig.attach(OUTPUT);
    rig.run();
    assert_eq!(rig.exit().code, 0);
    // The end has been told, and the shim stays for the client.
    let mut last = Vec::new();
    client.read_to_end();
    last.extend_from_slice(&client.received[client.received.len() - 7..]);
    assert_eq!(last, b"100000\n");
    assert_eq!(rig.shim_exit(), 0);
}

#[test]
fn the_root_can_be_had_while_the_container_lives() {
    use std::io::Read;
    let mut rig = Rig::new("echo content >/tmp/file; echo ready; cat").with_stdin(true).start();
    rig.until_logged("ready\n");
    let (reply, mut fds) = rig.daemon().ask_for_fds(&Request::Root, &[]);
    assert_eq!(reply, Reply::Ok);
    let root = fds.remove(0);
    let flags = rustix::fs::OFlags::RDONLY;
    let file = linux::fs::open_in_root(root.as_fd(), "/tmp/file".as_ref(), flags, rustix::fs::Mode::empty());
    let mut text = String::new();
    std::fs::File::from(file.unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "content\n");
}

#[test]
fn a_shim_lives_in_the_cgroup_it_is_told() {
    let mut rig = Rig::new("cat").with_stdin(false);
    let name = format!("{}-shims", rig.plan.id);
    rig.plan.shim_cgroup = Some(format!("/{name}/leaf"));
    let mut rig = rig.start();
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", rig.shim_pid())).unwrap();
    let joined: Vec<&str> = text.lines().filter(|line| line.ends_with(&format!("/{name}/leaf"))).collect();
    assert!(!joined.is_empty(), "{text}");
    let Some(ProcessState::Running { pid }) = rig.daemon().state().0 else { panic!("not running") };
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(!text.contains(&name), "{text}");
    rig.daemon().ask(&Request::Signal { target: Target::Init, signal: libc::SIGKILL }, &[]);
    rig.exit();
    rig.shim_exit();
    for path in [format!("/{name}/leaf"), format!("/{name}")] {
        runtime::cgroup::Cgroup::open(&path).remove().unwrap();
    }
}

#[test]
fn an_overlay_is_made_detached_and_its_writes_stay_in_the_upper() {
    let mut rig = Rig::new("echo changed >/etc/passwd; rm /etc/group; ls /lower");
    let at = |name: &str| rig.directory.join(name);
    let (root, second, upper, work) = (at("root"), at("second"), at("upper"), at("work"));
    for directory in [&second, &upper, &work, &second.join("lower"), &second.join("lower/file")] {
        std::fs::create_dir(directory).unwrap();
    }
    rig.plan.rootfs =
        Rootfs::Overlay { lower: vec![second, root.clone()], upper: upper.clone(), work, volatile: false };
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let before = mounts();
    let mut rig = rig.create();
    assert_eq!(mounts(), before);
    rig.run();
    assert_eq!(rig.exit().code, 0);
    assert_eq!(rig.log()[0].1, "file\n");
    assert_eq!(std::fs::read_to_string(upper.join("etc/passwd")).unwrap(), "changed\n");
    let whiteout = upper.join("etc/group").symlink_metadata().unwrap().file_type();
    assert!(std::os::unix::fs::FileTypeExt::is_char_device(&whiteout));
    assert!(root.join("etc/group").exists());
}

#[test]
fn the_record_of_an_earlier_run_is_gone_when_the_container_is_created() {
    let mut rig = Rig::new("exit 1").start();
    rig.exit();
    rig.shim_exit();
    assert!(rig.record().is_some());
    let rig = rig.create();
    assert_eq!(rig.record(), None);
}

#[test]
fn a_killed_container_takes_its_execs_with_it_and_each_end_is_told() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let mut clients = Vec::new();
    for number in 0..5 {
        clients.push(rig.exec(&format!("e{number}"), "echo ready; sleep 1000", OUTPUT));
    }
    for client in &mut clients {
        client.until(b"ready\n");
    }
    rig.daemon().ask(&Request::Signal { target: Target::Init, signal: libc::SIGKILL }, &[]);
    let mut ended = Vec::new();
    loop {
        let Event::Exited { target, exit } = rig.daemon().event() else { panic!("no end") };
        assert_eq!(exit.code, 137);
        match target {
            Target::Exec(exec_id) => ended.push(exec_id),
            Target::Init => break,
        }
    }
    ended.sort();
    assert_eq!(ended, ["e0", "e1", "e2", "e3", "e4"]);
}

#[test]
fn the_program_says_what_it_is_when_it_is_started_by_hand() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_corten-shim")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text, "corten-shim: this program is started by the corten daemon, not by hand\n");
}
