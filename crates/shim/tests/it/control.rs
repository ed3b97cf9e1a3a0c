//! Daemons: requests that make no sense, daemons that go and come, daemons that do not read.

use std::os::fd::AsFd;

use linux::socket::send_packet;
use shim::protocol::{MAJOR, ProcessState, Reply, Request, Target};

use crate::rig::{OUTPUT, RAW, Rig, exec_plan};

#[test]
fn requests_that_make_no_sense_are_answered_and_change_nothing() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let null = std::fs::File::open("/dev/null").unwrap();
    let null = null.as_fd();
    let nobody = || Target::Exec("nobody".into());
    let cases: [(Request, usize, &str); 11] = [
        (Request::Create, 0, "the request carries 0 descriptors, not 1"),
        (Request::Create, 1, "shim has a container already"),
        (Request::Start, 1, "the request carries 1 descriptors, not 0"),
        (Request::Start, 0, "container is not in the state created"),
        (Request::Attach { target: Target::Init, attach: OUTPUT }, 0, "carries 0 descriptors, not 1"),
        (Request::Exec { exec_id: "e".into(), attach: None }, 2, "carries 2 descriptors, not 1"),
        (Request::Exec { exec_id: "e".into(), attach: Some(OUTPUT) }, 1, "carries 1 descriptors, not 2"),
        (Request::Exec { exec_id: "e".into(), attach: None }, 1, "not a regular file"),
        (Request::Signal { target: nobody(), signal: 9 }, 0, "exec nobody: No such process"),
        (
            Request::Signal { target: Target::Init, signal: 999 },
            0,
            "send signal 999 to init: Invalid argument",
        ),
        (Request::Resize { target: nobody(), height: 1, width: 1 }, 0, "exec nobody: No such process"),
    ];
    for (request, count, phrase) in cases {
        let (_, message) = rig.daemon().error(&request, &vec![null; count]);
        assert!(message.contains(phrase), "{request:?}: {message}");
    }
    assert!(matches!(rig.daemon().state().0, Some(ProcessState::Running { .. })));
}

#[test]
fn packets_that_are_no_requests_are_answered_with_their_number() {
    let mut rig = Rig::new("true").spawn();
    let daemon = rig.daemon();
    let unknown = [0xff, 0x70, 0, 0, 77, 0, 0, 0];
    let cut = &Request::Signal { target: Target::Init, signal: 1 }.encode(78)[..9];
    let packets: [(&[u8], u32, &str); 3] = [
        (&unknown, 77, "shim does not know requests of kind 28927"),
        (cut, 78, "shim packet ends within signal"),
        (b"x", 0, "shim packet ends within the header"),
    ];
    for (packet, sequence, expected) in packets {
        send_packet(daemon.socket.as_fd(), packet, &[]).unwrap();
        let (reply, _) = daemon.answer(sequence);
        assert_eq!(reply, Reply::Error { exit_code: 125, message: expected.into() });
    }
    assert_eq!(daemon.state(), (None, vec![]));
}

#[test]
fn hello_comes_first_and_with_the_right_major() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let socket = shim::spawn::connect(&rig.plan.run_dir).unwrap();
    let ask = |request: &Request| {
        shim::spawn::send(socket.as_fd(), 1, request, &[]).unwrap();
        crate::rig::wait_readable(socket.as_fd(), "answer");
        format!("{:?}", shim::spawn::receive(socket.as_fd()).unwrap().unwrap().message)
    };
    assert!(ask(&Request::State).contains("shim wants a hello first"));
    assert!(ask(&Request::Hello { major: MAJOR + 1, minor: 0 }).contains("shim speaks protocol 1, not 2"));
    assert!(ask(&Request::State).contains("shim wants a hello first"));
    assert!(ask(&Request::Hello { major: MAJOR, minor: 99 }).contains("Running"));
    drop(socket);
    assert!(matches!(rig.daemon().state().0, Some(ProcessState::Running { .. })));
}

#[test]
fn a_new_daemon_finds_everything_as_it_was() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let mut client = rig.attach(RAW);
    let mut exec = rig.exec("old", "cat; exit 5", RAW);
    rig.exec("ended", "exit 3", OUTPUT).read_to_end();
    let before = rig.daemon().state();
    rig.daemon = None;
    // Nobody notices.
    client.send(b"hello\n");
    client.until(b"hello\n");
    exec.send(b"you\n");
    exec.until(b"you\n");
    assert_eq!(rig.connect_anew().state(), before);
    assert!(
        matches!(&before.1[..], [(ended, ProcessState::Exited(exit)), (old, ProcessState::Running { .. })]
        if ended == "ended" && exit.code == 3 && old == "old")
    );
    exec.end_input();
    assert_eq!(rig.daemon().exit_of(&Target::Exec("old".into())).code, 5);
    rig.exec("new", "true", OUTPUT).read_to_end();
}

#[test]
fn hello_tells_the_plans_digest() {
    let mut rig = Rig::new("true").create();
    let memfd = rig.plan.to_memfd(&[]).unwrap();
    let expected = shim::plan::Plan::from_memfd(memfd.as_fd()).unwrap().digest;
    let pid = rig.shim_pid();
    match rig.daemon().ask(&Request::State, &[]) {
        Reply::Hello { plan_digest, shim_pid, init: Some(ProcessState::Created { .. }), .. } => {
            assert_eq!((plan_digest, shim_pid), (expected, pid));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_daemons_get_every_event() {
    let mut rig = Rig::new("exit 4").create();
    let first = rig.daemon.take();
    rig.connect_anew();
    rig.run();
    assert_eq!(rig.exit().code, 4);
    assert_eq!(first.unwrap().exit_of(&Target::Init).code, 4);
}

#[test]
fn a_daemon_that_does_not_read_holds_nobody_up() {
    let mut rig = Rig::new("cat; exit 6").with_stdin(true).start();
    let mut client = rig.attach(RAW);
    let silent = rig.daemon.take().unwrap();
    // More answers than its socket holds.
    let mut sent = 0;
    while sent < 2000 && shim::spawn::send(silent.socket.as_fd(), 9, &Request::State, &[]).is_ok() {
        sent += 1;
    }
    rig.connect_anew();
    client.send(b"hello\n");
    client.until(b"hello\n");
    client.end_input();
    assert_eq!(rig.exit().code, 6);
    assert_eq!(rig.shim_exit(), 0);
    drop(silent);
}

#[test]
fn a_shim_survives_the_signals_that_end_a_session() {
    use rustix::process::{Pid, Signal, kill_process};
    let mut rig = Rig::new("cat").with_stdin(false).start();
    for signal in [Signal::HUP, Signal::INT, Signal::TERM, Signal::USR1, Signal::PIPE] {
        kill_process(Pid::from_raw(rig.shim_pid()).unwrap(), signal).unwrap();
    }
    rig.exec("still", "true", OUTPUT).read_to_end();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", rig.shim_pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(' ').rev().collect();
    // Its own process group and session.
    assert_eq!((fields[4], fields[5]), (fields[0], fields[0]));
    let plan = exec_plan(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"], false);
    let (mut client, _) = rig.daemon().exec("mask", &plan, shim::protocol::Attach { stdin: false, ..RAW });
    // None of what the shim ignores or blocks is handed down.
    assert_eq!(client.read_to_end(), b"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}
