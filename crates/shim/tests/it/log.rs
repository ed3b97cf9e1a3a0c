//! The log file of a real container.

use std::time::Instant;

use shim::protocol::Request;
use shim::protocol::{Attach, Reply};

use crate::rig::{RAW, Rig};

#[test]
fn a_log_is_rotated_while_the_container_writes() {
    let mut rig = Rig::new("seq 1 20000");
    let log = rig.plan.log.as_mut().unwrap();
    (log.max_size, log.max_file) = (Some(100_000), 3);
    let mut rig = rig.start();
    assert_eq!(rig.exit().code, 0);
    let mut texts = Vec::new();
    for name in ["log.2", "log.1", "log"] {
        texts.extend(rig.log_file(name).into_iter().map(|(_, text)| text));
    }
    let first: u32 = texts[0].trim().parse().unwrap();
    let expected: Vec<String> = (first..=20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(texts, expected);
    assert!(!rig.directory.join("log.3").exists());
    let size = std::fs::metadata(rig.directory.join("log.1")).unwrap().len();
    assert!((100_000..100_100).contains(&size), "{size}");
}

#[test]
fn without_a_log_everything_else_works() {
    let mut rig = Rig::new("echo hello");
    rig.plan.log = None;
    let mut rig = rig.create();
    let mut client = rig.attach(Attach { stdin: false, ..RAW });
    rig.run();
    assert_eq!(rig.exit().code, 0);
    assert_eq!(client.read_to_end(), b"hello\n");
    assert!(!rig.directory.join("log").exists());
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_of_create() {
    let mut rig = Rig::new("true");
    rig.plan.log.as_mut().unwrap().path = "/nonexistent/log".into();
    let mut rig = rig.spawn();
    let reply = rig.try_create();
    assert!(
        matches!(&reply, Reply::Error { message, .. } if message.starts_with("open log /nonexistent/log: ")),
        "{reply:?}"
    );
    assert_eq!(rig.shim_exit(), 0);
    rig.assert_clean();
}

#[test]
fn a_user_who_is_not_root_may_open_its_own_output() {
    let mut rig = Rig::new("echo out >/proc/self/fd/1; echo err >/proc/self/fd/2");
    rig.plan.user = "guest".into();
    let mut rig = rig.start();
    assert_eq!(rig.exit().code, 0);
    let mut log = rig.log();
    log.sort();
    assert_eq!(log.len(), 2, "{log:?}");
}

#[test]
fn flushing_the_log_is_answered() {
    let mut rig = Rig::new("echo x; cat").with_stdin(false).start();
    rig.until_logged("x\n");
    assert_eq!(rig.daemon().ask(&Request::FlushLog, &[]), Reply::Ok);
}

#[test]
fn much_output_flows_through_log_and_client() {
    const SIZE: usize = 4_000_000;
    let mut rig = Rig::new(&format!("yes 'a line of output, as long as many' | head -c {SIZE}")).create();
    let mut client = rig.attach(Attach { stdin: false, ..RAW });
    rig.run();
    let start = Instant::now();
    assert_eq!(client.read_to_end().len(), SIZE);
    let took = start.elapsed();
    assert_eq!(rig.exit().code, 0);
    #[expect(clippy::print_stdout, reason = "a figure for whoever runs the test with --nocapture")]
    {
        println!("{} MB/s to log and one client", SIZE as u128 / took.as_micros().max(1));
    }
    let logged: usize = rig.log().iter().map(|(_, text)| text.len()).sum();
    assert_eq!(logged, SIZE);
}
