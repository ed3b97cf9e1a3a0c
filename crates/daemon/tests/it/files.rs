//! Directories, lock, pid file, engine id; what is left after a stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use testkit::Host;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn directories_are_private_and_the_socket_is_the_group_s() {
    let host = Host::new();
    assert_eq!(mode(&host.data_root()), 0o700);
    assert_eq!(mode(&host.exec_root()), 0o700);
    assert_eq!(mode(&host.socket()), 0o660);
    let pid = fs::read_to_string(host.root().join("pid")).unwrap();
    assert_eq!(pid, host.daemon_pid().to_string());
}

#[test]
fn a_stop_removes_socket_and_pid_file_and_the_engine_keeps_its_id() {
    let mut host = Host::new();
    let id = |host: &Host| host.api("GET", "/info", None).json()["ID"].as_str().unwrap().to_owned();
    let first = id(&host);
    assert_eq!(first.len(), 36);
    host.stop_daemon();
    assert!(!host.socket().exists() && !host.root().join("pid").exists());
    host.start_daemon();
    assert_eq!(id(&host), first);
}

#[test]
fn a_killed_daemon_s_socket_is_taken_over() {
    let mut host = Host::new();
    host.kill_daemon();
    assert!(host.socket().exists());
    host.start_daemon();
    host.api("GET", "/_ping", None).is(200);
}

#[test]
fn one_data_root_has_one_daemon_and_the_second_names_the_first() {
    let host = Host::new();
    let (data, root) = (host.data_root(), host.root().display().to_string());
    host.run(&format!(
        "corten daemon --data-root {} --exec-root {root}/e2 -H unix://{root}/s2",
        data.display()
    ))
    .exits(1)
    .stderr_has(&format!("is in use by another daemon (pid {})", host.daemon_pid()));
    assert!(!host.root().join("s2").exists());
    fs::remove_dir(host.root().join("e2")).unwrap();
}

#[test]
fn a_directory_of_others_is_refused_and_left_alone() {
    let host = Host::without_daemon();
    let shared = host.root().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    host.run(&format!("corten daemon --data-root {0} --exec-root {0}", shared.display()))
        .exits(1)
        .stderr_has("is writable by others");
    assert_eq!(mode(&shared), 0o1777);
}

#[test]
fn an_idle_daemon_sleeps() {
    let host = Host::new();
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", host.daemon_pid())).unwrap();
        let status =
            tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default());
        status.map(|text| ctxt_switches(&text)).sum::<u64>()
    };
    // Threads of the start go away after their ten seconds; then nothing may happen at all. The measured time is the
    // subject of this test, so it is a fixed one.
    let mut before = switches();
    host.until("half a second goes by without a wake-up", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = switches();
        std::mem::replace(&mut before, now) == now
    });
}

fn ctxt_switches(status: &str) -> u64 {
    let numbers = status.lines().filter(|line| line.contains("ctxt_switches"));
    numbers.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}
