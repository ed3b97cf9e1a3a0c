//! Where it listens.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use testkit::{Host, Session};

/// Starts a daemon by a command line of its own, and waits until it is ready.
fn start(host: &Host, program: &str, flags: &str) -> Session {
    let root = host.root().display().to_string();
    let session = host.spawn(&format!("{program} --data-root {root}/data --exec-root {root}/exec {flags}"));
    session.expect_stderr("daemon is ready");
    session
}

fn stop(mut session: Session) {
    session.signal(rustix::process::Signal::TERM);
    assert_eq!(session.exit_code(), 0);
}

fn ping(stream: &mut (impl Read + Write)) -> String {
    stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn several_sockets_are_served_and_a_long_path_is_no_obstacle() {
    let host = Host::without_daemon();
    let long = host.root().join("x".repeat(60)).join("y".repeat(60));
    let short = host.root().join("short.sock");
    let daemon = start(
        &host,
        "corten daemon",
        &format!("-H unix://{}/s -H unix://{}", long.display(), short.display()),
    );
    assert!(ping(&mut UnixStream::connect(&short).unwrap()).ends_with("\r\n\r\nOK"));
    let directory = fs::File::open(&long).unwrap();
    let path = format!("/proc/self/fd/{}/s", std::os::fd::AsRawFd::as_raw_fd(&directory));
    assert!(ping(&mut UnixStream::connect(path).unwrap()).ends_with("\r\n\r\nOK"));
    stop(daemon);
    assert!(!short.exists() && !long.join("s").exists());
}

#[test]
fn what_is_not_a_stale_socket_is_not_taken() {
    let host = Host::without_daemon();
    let file = host.root().join("file");
    fs::File::create(&file).unwrap();
    let live = host.root().join("live");
    let _listener = UnixListener::bind(&live).unwrap();
    for (path, words) in [(&file, "exists and is not a socket"), (&live, "another daemon answers there")] {
        let root = host.root().display().to_string();
        host.run(&format!(
            "corten daemon --data-root {root}/data --exec-root {root}/exec -H unix://{}",
            path.display()
        ))
        .exits(1)
        .stderr_has(words);
        assert!(path.exists());
    }
}

#[test]
fn an_open_door_must_be_asked_for() {
    let host = Host::without_daemon();
    let root = host.root().display().to_string();
    let flags = format!("--data-root {root}/data --exec-root {root}/exec");
    host.run(&format!("corten daemon {flags} -H tcp://0.0.0.0:2375"))
        .exits(1)
        .stderr_has("whoever can reach it becomes root");
    host.run(&format!("corten daemon {flags} -H tcp://engine.example:2375"))
        .exits(1)
        .stderr_has("names are not looked up");
    let daemon = start(&host, "corten daemon", "-H tcp://127.0.0.1:2375");
    daemon.expect_stderr("becomes root on this machine");
    stop(daemon);
    let daemon = start(&host, "corten daemon", "-H tcp://0.0.0.0:2375 --tls=false");
    stop(daemon);
}

#[test]
fn the_name_dockerd_is_enough() {
    let host = Host::without_daemon();
    let dockerd = host.root().join("dockerd");
    std::os::unix::fs::symlink(testkit::binaries::program("corten"), &dockerd).unwrap();
    let program = dockerd.display().to_string();
    let root = host.root().display().to_string();
    host.run(&format!("{program} --version")).exits(0).stdout_has("Docker version 28.5.2+corten.");
    let daemon = start(
        &host,
        &program,
        &format!(
            "--host unix://{root}/s --containerd /run/x.sock --userland-proxy=false --debug --pidfile {root}/pid"
        ),
    );
    daemon.expect_stderr("--containerd changes nothing: no containerd is used");
    assert!(ping(&mut UnixStream::connect(host.root().join("s")).unwrap()).ends_with("\r\n\r\nOK"));
    stop(daemon);
    host.run(&format!("{program} --log-driver=syslog")).exits(1).stderr_has("only json-file is");
}

#[test]
fn a_socket_of_the_service_manager_is_served_and_left_to_it() {
    let host = Host::without_daemon();
    let path = host.root().join("activated.sock");
    let notified = host.root().join("notify.sock");
    let manager = UnixDatagram::bind(&notified).unwrap();
    let told = || {
        let mut message = [0; 64];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let listener = UnixListener::bind(&path).unwrap();
    // Who comes before the daemon is there waits for it.
    let mut early = UnixStream::connect(&path).unwrap();
    for _ in 0..2 {
        let root = host.root().display().to_string();
        let mut daemon = host.spawn_activated(
            listener.try_clone().unwrap().into(),
            &format!(
                "env NOTIFY_SOCKET={} corten daemon --data-root {root}/data --exec-root {root}/exec -H fd://",
                notified.display()
            ),
        );
        assert_eq!(told(), "READY=1");
        assert!(ping(&mut early).ends_with("\r\n\r\nOK"));
        daemon.signal(rustix::process::Signal::TERM);
        assert_eq!(told(), "STOPPING=1");
        assert_eq!(daemon.exit_code(), 0);
        early = UnixStream::connect(&path).unwrap();
    }
    let root = host.root().display().to_string();
    host.run(&format!("corten daemon --data-root {root}/data --exec-root {root}/exec -H fd://"))
        .exits(1)
        .stderr_has("the service manager has passed no sockets");
}

#[test]
fn who_has_no_right_to_the_socket_is_told_what_to_do() {
    let host = Host::new();
    host.run("chmod o+x . ..").exits(0);
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";
    host.run(&format!("{nobody} corten ps"))
        .exits(1)
        .stderr_has("permission denied while trying to connect to the Docker daemon socket at unix://")
        .stderr_has("group");
    assert!(!host.run(&format!("{nobody} corten ps")).stderr().contains("Is the docker daemon running"));
}
