//! More processes in a running container.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use shim::protocol::{Attach, Event, Framing, ProcessState, Reply, Request, Target};

use crate::rig::{OUTPUT, RAW, Rig, exec_plan, frame, until};

fn target(exec_id: &str) -> Target {
    Target::Exec(exec_id.into())
}

#[test]
fn an_exec_has_its_own_streams_and_exit_code() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let mut client = rig.exec("one", "echo out; cat; exit 4", Attach { stdin: true, ..OUTPUT });
    client.send(b"typed");
    client.end_input();
    assert_eq!(client.read_to_end(), [frame(1, "out\n"), frame(1, "typed")].concat());
    assert_eq!(rig.daemon().exit_of(&target("one")).code, 4);
    let (_, execs) = rig.daemon().state();
    assert!(matches!(&execs[..], [(id, ProcessState::Exited(exit))] if id == "one" && exit.code == 4));
    assert_eq!(rig.log(), []);
}

#[test]
fn the_end_of_an_exec_is_told_before_its_client_is_let_go() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    for number in 0..20 {
        let id = format!("e{number}");
        let mut client = rig.exec(&id, "exit 3", OUTPUT);
        client.read_to_end();
        // The event must be there already: only what has arrived is looked at.
        let packet = shim::spawn::receive(rig.daemon().socket.as_fd());
        let text = format!("{packet:?}");
        assert!(text.contains("Exited") && text.contains(&id), "{text}");
    }
}

#[test]
fn a_missing_program_is_told_to_the_client_as_docker_does() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let cases: [(&[&str], i32, &str); 3] = [
        (&["nosuch"], 127, "executable file not found in $PATH"),
        (&["/etc/passwd"], 126, "permission denied"),
        (&["/bin/nosuch"], 127, "no such file or directory"),
    ];
    for (args, expected, phrase) in cases {
        for framing in [Framing::Multiplexed, Framing::Raw] {
            let attach = Attach { framing, ..OUTPUT };
            let (mut client, reply) = rig.daemon().exec("x", &exec_plan(args, false), attach);
            let Reply::Error { exit_code, message } = reply else { panic!("{reply:?}") };
            assert_eq!(exit_code, expected, "{message}");
            assert!(message.starts_with("OCI runtime exec failed: exec failed: "), "{message}");
            assert!(message.contains(phrase), "{message}");
            let text = format!("{message}\r\n");
            let shown = if framing == Framing::Raw { text.into_bytes() } else { frame(1, &text) };
            assert_eq!(client.read_to_end(), shown);
        }
    }
    assert_eq!(rig.daemon().state().1, []);
}

#[test]
fn an_exec_runs_as_the_user_that_was_asked_for() {
    let mut rig = Rig::new("cat").with_stdin(false);
    rig.plan.user = "guest".into();
    rig.plan.groups = vec!["2000".into()];
    let mut rig = rig.start();
    let cases = [
        ("", "uid=1000(guest) gid=1000(guest) groups=1000(guest),2000(extra)\n/home/guest\n"),
        ("0:0", "uid=0(root) gid=0(root) groups=0(root),2000(extra)\n/root\n"),
    ];
    for (number, (user, expected)) in cases.into_iter().enumerate() {
        let mut plan = exec_plan(&["sh", "-c", "id; echo $HOME"], false);
        plan.user = user.into();
        let (mut client, reply) =
            rig.daemon().exec(&format!("u{number}"), &plan, Attach { stdin: false, ..RAW });
        assert!(matches!(reply, Reply::Started { .. }), "{reply:?}");
        let text = String::from_utf8(client.read_to_end().to_vec()).unwrap();
        // How often a group is named, and in which order, is not what is tested here.
        assert!(text.starts_with(&expected[..14]), "{text}");
        assert!(text.contains("2000(extra)"), "{text}");
        assert!(
            text.ends_with(expected.rsplit('\n').nth(1).unwrap_or_default().trim())
                || text.ends_with(&format!("{}\n", expected.lines().last().unwrap())),
            "{text}"
        );
    }
    let mut plan = exec_plan(&["id"], false);
    plan.user = "nosuch".into();
    let (_, reply) = rig.daemon().exec("bad", &plan, OUTPUT);
    let Reply::Error { exit_code, message } = reply else { panic!("{reply:?}") };
    assert!(message.contains("unable to find user nosuch: no matching entries in passwd file"), "{message}");
    assert_eq!(exit_code, 125);
}

#[test]
fn a_privileged_exec_has_every_capability() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let script = "grep CapEff /proc/self/status";
    let plain = exec_plan(&["sh", "-c", script], false);
    let mut privileged = plain.clone();
    privileged.privileged = true;
    let mut capabilities = |id: &str, plan| {
        let (mut client, _) = rig.daemon().exec(id, plan, Attach { stdin: false, ..RAW });
        String::from_utf8(client.read_to_end().to_vec()).unwrap()
    };
    let ours = std::fs::read_to_string("/proc/self/status").unwrap();
    let ours = ours.lines().find(|line| line.starts_with("CapEff")).unwrap();
    assert_eq!(capabilities("plain", &plain).trim(), "CapEff:\t00000000000000e1");
    assert_eq!(capabilities("all", &privileged).trim(), ours);
}

#[test]
fn an_exec_with_a_terminal_can_be_resized_and_detached_from() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let mut plan = exec_plan(&["sh", "-c", "echo ready; read x; stty size; cat"], true);
    plan.process.terminal = true;
    let attach = Attach { detach_keys: vec![0x10, 0x11], ..RAW };
    let (mut client, _) = rig.daemon().exec("t", &plan, attach);
    client.until(b"ready\r\n");
    let resize = Request::Resize { target: target("t"), height: 11, width: 22 };
    assert_eq!(rig.daemon().ask(&resize, &[]), Reply::Ok);
    client.send(b"\n");
    client.until(b"11 22\r\n");
    client.send(b"\x10\x11");
    client.read_to_end();
    assert_eq!(rig.daemon().event(), Event::Detached { target: target("t") });
    let (_, execs) = rig.daemon().state();
    assert!(matches!(&execs[..], [(_, ProcessState::Running { .. })]));
    // Another client takes over.
    let mut again = rig.daemon().attach(target("t"), RAW);
    again.send(b"x\n");
    again.until(b"x\r\nx\r\n");
    let kill = Request::Signal { target: target("t"), signal: 9 };
    assert_eq!(rig.daemon().ask(&kill, &[]), Reply::Ok);
    assert_eq!(rig.daemon().exit_of(&target("t")).code, 137);
    assert_eq!(rig.daemon().error(&kill, &[]), (125, "exec t: No such process".into()));
}

#[test]
fn a_server_left_behind_by_an_exec_neither_delays_it_for_long_nor_dies() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let script =
        "(until [ -e /tmp/go ]; do sleep 0.1; done; echo after; echo alive >/tmp/alive) & echo started";
    let start = Instant::now();
    let mut client = rig.exec("server", script, OUTPUT);
    assert_eq!(rig.daemon().exit_of(&target("server")).code, 0);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1), "it is given a moment to end: {took:?}");
    assert_eq!(client.read_to_end(), frame(1, "started\n"));
    std::fs::File::create(rig.directory.join("root/tmp/go")).unwrap();
    until("the server to go on", || rig.directory.join("root/tmp/alive").exists());
}

#[test]
fn exec_ids_are_unique_and_not_too_long() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    rig.exec("same", "true", OUTPUT).read_to_end();
    let plan = exec_plan(&["true"], false);
    for (id, phrase) in
        [("same", "exists already"), ("", "1 to 64 bytes"), (&"x".repeat(65), "1 to 64 bytes")]
    {
        let (_, reply) = rig.daemon().exec(id, &plan, OUTPUT);
        let Reply::Error { message, .. } = reply else { panic!("{reply:?}") };
        assert!(message.contains(phrase), "{message}");
    }
}

#[test]
fn no_exec_before_the_container_runs() {
    let mut rig = Rig::new("cat").with_stdin(false).create();
    let (mut client, reply) = rig.daemon().exec("x", &exec_plan(&["true"], false), OUTPUT);
    assert!(
        matches!(&reply, Reply::Error { message, .. } if message.contains("is not running")),
        "{reply:?}"
    );
    assert!(!client.read_to_end().is_empty());
}

#[test]
fn an_exec_without_a_client_ends_as_well() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let memfd = exec_plan(&["sh", "-c", "cat; exit 6"], true).to_memfd(&[]).unwrap();
    let request = Request::Exec { exec_id: "detached".into(), attach: None };
    let reply = rig.daemon().ask(&request, &[memfd.as_fd()]);
    assert!(matches!(reply, Reply::Started { .. }), "{reply:?}");
    assert_eq!(rig.daemon().exit_of(&target("detached")).code, 6);
}

#[test]
fn a_hundred_execs_leave_no_descriptor_open() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let fds = |rig: &Rig| std::fs::read_dir(format!("/proc/{}/fd", rig.shim_pid())).unwrap().count();
    let before = fds(&rig);
    for number in 0..100 {
        let (id, terminal) = (format!("e{number}"), number % 2 == 0);
        let mut plan = exec_plan(&["echo", "x"], true);
        plan.process.terminal = terminal;
        let (mut client, _) = rig.daemon().exec(&id, &plan, RAW);
        client.read_to_end();
        assert_eq!(rig.daemon().exit_of(&target(&id)).code, 0);
    }
    until("the last descriptors to be closed", || fds(&rig) == before);
    // The last 64 are remembered.
    assert_eq!(rig.daemon().state().1.len(), 64);
}

#[test]
fn an_exec_that_nobody_types_into_reads_the_end_at_once() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let plan = exec_plan(&["sh", "-c", "cat; echo end"], true);
    let (mut client, _) = rig.daemon().exec("e", &plan, OUTPUT);
    assert_eq!(client.read_to_end(), frame(1, "end\n"));
}

/// What `script` prints, run beside the container's program.
fn told(rig: &mut Rig, id: &str, script: &str) -> String {
    let mut client = rig.exec(id, script, Attach { stdin: false, ..RAW });
    String::from_utf8(client.read_to_end().to_vec()).unwrap()
}

#[test]
fn a_tied_exec_goes_with_its_client_and_takes_along_what_it_started() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let script = "setsid sleep 9001 & setsid sh -c 'trap \"\" TERM HUP; sleep 9002; :' & echo on; sleep 9003";
    let mut plan = exec_plan(&["sh", "-c", script], false);
    plan.tied = true;
    let (mut client, reply) = rig.daemon().exec("check", &plan, Attach { stdin: false, ..RAW });
    assert!(matches!(reply, Reply::Started { .. }), "{reply:?}");
    client.until(b"on\n");
    drop(client);
    assert_eq!(rig.daemon().exit_of(&target("check")).code, 137);
    let mut number = 0;
    until("everything of the check is gone", || {
        number += 1;
        !told(&mut rig, &format!("look{number}"), "ps -o args").contains("sleep 900")
    });
    let remembered = rig.daemon().state().1;
    assert!(remembered.iter().all(|(id, _)| id != "check"), "{remembered:?}");
}

#[test]
fn what_a_tied_exec_leaves_behind_in_good_order_goes_on_in_the_containers_cgroup() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let mut plan = exec_plan(&["sh", "-c", "sleep 9004 >/dev/null 2>&1 & echo on"], false);
    plan.tied = true;
    let (mut client, _) = rig.daemon().exec("check", &plan, Attach { stdin: false, ..RAW });
    assert_eq!(client.read_to_end(), b"on\n");
    assert_eq!(rig.daemon().exit_of(&target("check")).code, 0);
    drop(client);
    assert!(told(&mut rig, "look", "ps -o args").contains("sleep 9004"));
    let cgroups = told(&mut rig, "where", "cat /proc/$(pidof sleep)/cgroup");
    assert!(!cgroups.contains("/exec-"), "{cgroups}");
}
