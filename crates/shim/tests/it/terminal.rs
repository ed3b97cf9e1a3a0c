//! Containers with a terminal.

use shim::protocol::{Attach, Event, Reply, Request, Target};

use crate::rig::{RAW, Rig};

#[test]
fn a_terminal_has_a_size_and_says_when_it_changes() {
    let mut rig =
        Rig::new("tty; stty size; trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.05; done")
            .with_terminal();
    rig.process().console_size = Some(oci::runtime::ConsoleSize { height: 30, width: 100 });
    let mut rig = rig.create();
    let mut client = rig.attach(RAW);
    rig.run();
    client.until(b"30 100\r\nready\r\n");
    let resize = Request::Resize { target: Target::Init, height: 50, width: 120 };
    assert_eq!(rig.daemon().ask(&resize, &[]), Reply::Ok);
    client.until(b"50 120\r\n");
    assert_eq!(rig.exit().code, 5);
    client.read_to_end();
    assert!(rig.log().contains(&("stdout".to_owned(), "50 120\r\n".to_owned())));
}

#[test]
fn typing_reaches_a_terminal_and_its_signals_work() {
    let mut rig = Rig::new("trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done")
        .with_terminal()
        .create();
    let mut client = rig.attach(RAW);
    rig.run();
    client.until(b"ready\r\n");
    client.send(b"\x03");
    client.until(b"interrupted\r\n");
    assert_eq!(rig.exit().code, 9);
}

#[test]
fn detach_keys_close_the_client_and_leave_the_container() {
    let mut rig = Rig::new("cat").with_terminal().start();
    let keys = Attach { detach_keys: vec![0x10, 0x11], ..RAW };
    let mut client = rig.attach(keys.clone());
    client.send(b"a\x10b\n");
    client.until(b"a\x10b\r\n");
    client.send(b"\x10\x11");
    client.read_to_end();
    assert_eq!(rig.daemon().event(), Event::Detached { target: Target::Init });
    let mut again = rig.attach(keys);
    again.send(b"still here\n");
    again.until(b"still here\r\nstill here\r\n");
}

#[test]
fn the_end_of_a_clients_input_does_not_end_a_terminals() {
    let mut rig = Rig::new("cat").with_terminal();
    rig.plan.stdin_once = true;
    let mut rig = rig.start();
    let mut client = rig.attach(RAW);
    client.end_input();
    assert_eq!(client.read_to_end(), b"");
    let mut again = rig.attach(RAW);
    again.send(b"x\n");
    again.until(b"x\r\nx\r\n");
}

#[test]
fn a_program_may_let_go_of_its_terminal_and_take_it_again() {
    let script = "exec 3<&0 4>&1 5>&2; tty=$(tty); exec 0<&- 1>&- 2>&- 3<&- 4>&- 5>&-; sleep 0.2; \
                  exec 0<$tty 1>$tty 2>$tty; echo back; cat";
    let mut rig = Rig::new(script).with_terminal().create();
    let mut client = rig.attach(RAW);
    rig.run();
    client.until(b"back\r\n");
}

#[test]
fn all_output_of_a_terminal_arrives_before_its_end() {
    for _ in 0..5 {
        let mut rig = Rig::new("seq 1 3000").with_terminal().create();
        let mut client = rig.attach(RAW);
        rig.run();
        assert_eq!(rig.exit().code, 0);
        assert!(client.read_to_end().ends_with(b"2999\r\n3000\r\n"));
    }
}

#[test]
fn a_process_without_a_terminal_cannot_be_resized() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let resize = Request::Resize { target: Target::Init, height: 1, width: 1 };
    assert_eq!(rig.daemon().error(&resize, &[]), (125, "init has no terminal".into()));
}
