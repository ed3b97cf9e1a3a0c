//! Output to clients, input from them.

use std::time::Duration;

use shim::protocol::{Attach, ProcessState, Reply, Request, Target};

use crate::rig::{Client, OUTPUT, RAW, Rig, frame, until};

#[test]
fn every_client_and_the_log_get_everything_from_the_first_byte() {
    let mut rig = Rig::new("echo out; echo err >&2; exit 7").create();
    let mut both = rig.attach(OUTPUT);
    let mut raw = rig.attach(Attach { stderr: false, ..RAW });
    rig.run();
    assert_eq!(rig.exit().code, 7);
    let received = both.read_to_end();
    let (out, err) = (frame(1, "out\n"), frame(2, "err\n"));
    // Two pipes: which is read first is not defined.
    assert!(received == [&out[..], &err].concat() || received == [&err[..], &out].concat());
    assert_eq!(raw.read_to_end(), b"out\n");
    let mut log = rig.log();
    log.sort();
    let entry = |stream: &str, text: &str| (stream.to_owned(), text.to_owned());
    assert_eq!(log, [entry("stderr", "err\n"), entry("stdout", "out\n")]);
    assert_eq!(rig.shim_exit(), 0);
    rig.assert_clean();
}

#[test]
fn the_end_of_the_first_clients_input_is_the_end_of_the_containers() {
    let mut rig = Rig::new("cat; echo end").with_stdin(true).create();
    let mut client = rig.attach(Attach { early_input: b"early ".to_vec(), ..RAW });
    rig.run();
    client.send(b"late\n");
    client.until(b"early late\n");
    client.end_input();
    assert_eq!(client.read_to_end(), b"early late\nend\n");
    assert_eq!(rig.exit().code, 0);
}

#[test]
fn a_client_that_hangs_up_ends_the_input_too_and_what_it_sent_arrives() {
    let mut rig = Rig::new("cat | wc -c").with_stdin(true).create();
    let mut client = rig.attach(RAW);
    client.send(&[b'x'; 150_000]);
    drop(client);
    rig.run();
    assert_eq!(rig.exit().code, 0);
    assert_eq!(rig.log(), [("stdout".to_owned(), "150000\n".to_owned())]);
}

#[test]
fn without_stdin_once_the_end_of_input_ends_the_attachment_only() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let mut first = rig.attach(RAW);
    first.send(b"one\n");
    first.until(b"one\n");
    first.end_input();
    assert_eq!(first.read_to_end(), b"one\n");
    let mut second = rig.attach(RAW);
    second.send(b"two\n");
    assert_eq!(second.until(b"two\n"), b"two\n");
}

#[test]
fn a_client_without_input_may_end_it_and_still_gets_output() {
    let mut rig = Rig::new("echo one; until [ -e /tmp/go ]; do sleep 0.01; done; echo two").create();
    let mut client = rig.attach(OUTPUT);
    client.end_input();
    rig.run();
    client.until(&frame(1, "one\n"));
    std::fs::File::create(rig.directory.join("root/tmp/go")).unwrap();
    client.until(&frame(1, "two\n"));
    assert_eq!(rig.exit().code, 0);
}

#[test]
fn two_clients_type_into_one_container() {
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let (mut one, mut two) = (rig.attach(RAW), rig.attach(RAW));
    one.send(b"from one\n");
    one.until(b"from one\n");
    two.until(b"from one\n");
    two.send(b"from two\n");
    one.until(b"from two\n");
    two.until(b"from two\n");
}

#[test]
fn input_waits_for_a_container_that_does_not_read() {
    let mut rig =
        Rig::new("until [ -e /tmp/go ]; do sleep 0.01; done; cat | wc -c; cat /proc/sys/kernel/ostype")
            .with_stdin(true)
            .start();
    let client = rig.attach(RAW);
    client.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // Full: the pipe, the shim's queue and the socket.
    while let Ok(count) = std::io::Write::write(&mut &client.stream, &[b'x'; 4096]) {
        sent += count;
        assert!(sent < 4 << 20, "somebody stores without bounds");
        std::thread::sleep(Duration::from_micros(200));
    }
    client.stream.set_nonblocking(false).unwrap();
    std::fs::File::create(rig.directory.join("root/tmp/go")).unwrap();
    std::io::Write::write_all(&mut &client.stream, &vec![b'y'; 1 << 20]).unwrap();
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rig.exit().code, 0);
    assert_eq!(rig.log()[0].1, format!("{}\n", sent + (1 << 20)));
}

#[test]
fn a_slow_reader_gets_everything() {
    let mut rig = Rig::new("seq -s ' ' 1 600000").create();
    let mut client = rig.attach(Attach { stdin: false, ..RAW });
    rig.run();
    // It reads a little, then nothing until everything that can be filled is full.
    client.until(b" ");
    until("the output to be held up", || {
        let size = || std::fs::metadata(rig.directory.join("log")).unwrap().len();
        let before = size();
        std::thread::sleep(Duration::from_millis(300));
        size() == before
    });
    client.read_to_end();
    assert_eq!(rig.exit().code, 0);
    let numbers: Vec<String> = (1..=600_000).map(|number: u32| number.to_string()).collect();
    let expected = numbers.join(" ") + "\n";
    assert!(client.received == expected.as_bytes());
    let logged: String = rig.log().into_iter().map(|(_, text)| text).collect();
    assert!(logged == expected);
}

#[test]
fn clients_that_do_not_read_hold_nobody_up_for_ever() {
    let mut rig = Rig::new("seq -s ' ' 1 600000; : >/tmp/done; cat").with_stdin(false).create();
    let (mut stuck, also_stuck) = (rig.attach(OUTPUT), rig.attach(OUTPUT));
    rig.run();
    until("the container to go on", || rig.directory.join("root/tmp/done").exists());
    // It answers all the while, and an attached client that reads gets what comes from now on.
    let mut reader = rig.attach(RAW);
    reader.send(b"hello\n");
    reader.until(b"hello\n");
    // Who reads again is told how much is missing.
    while !String::from_utf8_lossy(&stuck.received).contains("bytes of output are missing here") {
        let mut buffer = [0; 65_536];
        let count = std::io::Read::read(&mut stuck.stream, &mut buffer).unwrap();
        stuck.received.extend_from_slice(&buffer[..count]);
    }
    drop(also_stuck);
    assert!(matches!(rig.daemon().state().0, Some(ProcessState::Running { .. })));
}

#[test]
fn a_client_that_dies_disturbs_nobody() {
    let mut rig = Rig::new("while read line; do echo \"$line\"; done").with_stdin(false).start();
    let (dies, mut lives) = (rig.attach(OUTPUT), rig.attach(RAW));
    drop(dies);
    for _ in 0..3 {
        lives.send(b"line\n");
        lives.until(b"line\n");
        lives.received.clear();
    }
}

#[test]
fn attaching_what_is_no_stream_socket_or_to_nobody_is_refused() {
    use std::os::fd::AsFd;
    let mut rig = Rig::new("cat").with_stdin(false).start();
    let null = std::fs::File::open("/dev/null").unwrap();
    let request = Request::Attach { target: Target::Init, attach: OUTPUT };
    let (_, message) = rig.daemon().error(&request, &[null.as_fd()]);
    assert!(message.starts_with("attach a client: "), "{message}");
    let (mut client, theirs) = Client::pair();
    let request = Request::Attach { target: Target::Exec("nobody".into()), attach: OUTPUT };
    let reply = rig.daemon().ask(&request, &[theirs.as_fd()]);
    assert_eq!(reply, Reply::Error { exit_code: 125, message: "exec nobody: No such process".into() });
    drop(theirs);
    assert_eq!(client.read_to_end(), b"");
}
