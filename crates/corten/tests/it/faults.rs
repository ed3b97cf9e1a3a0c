//! What the host does to a daemon: full disks, no descriptors, damaged files, other daemons, clients that vanish. Each
//! is answered clearly, nothing dies, and afterwards everything works.

use std::path::Path;

use rusqlite::Connection;
use rustix::process::Signal;
use testkit::Host;
use testkit::wait::PATIENCE;

/// Changes the database while no daemon runs.
fn change(host: &Host, sql: &str) {
    let database = Connection::open(host.data_root().join("corten.db")).unwrap();
    assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
}

fn start_fails_with(host: &Host, flags: &str, wanted: &str) {
    let root = host.root().display();
    host.run_within(
        PATIENCE,
        &format!(
            "corten daemon --data-root {root}/data --exec-root {root}/exec -H unix://{root}/b.sock {flags}"
        ),
    )
    .fails_with(wanted);
}

#[test]
fn a_second_daemon_on_one_data_root_names_the_first() {
    let host = Host::with_busybox();
    let pid = host.daemon_pid();
    start_fails_with(&host, "", &format!("in use by another daemon (pid {pid})"));
    host.run("corten run --rm busybox echo on").prints("on");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let mut host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    host.stop_daemon();
    change(&host, "UPDATE component SET version = version + 70 WHERE name = 'containers'");
    start_fails_with(&host, "", "newer version of corten");
    change(&host, "UPDATE component SET version = version - 70 WHERE name = 'containers'");
    host.start_daemon();
    host.run("corten exec job true").exits(0);
}

#[test]
fn a_damaged_record_costs_its_own_container_and_no_other() {
    let mut host = Host::with_busybox();
    host.run("corten run -d --name sound busybox sleep 1000").exits(0);
    let id = host.run("corten create --name damaged busybox true").line();
    host.run("corten create --name newer busybox true").exits(0);
    host.stop_daemon();
    change(&host, "UPDATE containers SET record = '?' || record WHERE name = 'damaged'");
    change(&host, "UPDATE containers SET record = json_set(record, '$.version', 99) WHERE name = 'newer'");

    host.start_daemon();
    host.run("corten ps -a --format '{{.Names}}'").prints("sound");
    host.run("corten exec sound true").exits(0);
    // Its name and its files are still its own.
    host.run("corten create --name damaged busybox true").fails_with("is already in use by container");
    assert!(host.data_root().join("containers").join(&id).is_dir());
    let log = std::fs::read_to_string(host.root().join("daemon.log")).unwrap();
    assert!(log.contains("damaged") && log.contains(&id) && log.contains("version 99"), "{log}");

    host.stop_daemon();
    change(&host, "UPDATE containers SET record = substr(record, 2) WHERE name = 'damaged'");
    change(&host, "UPDATE containers SET record = json_set(record, '$.version', 1) WHERE name = 'newer'");
    host.start_daemon();
    host.run("corten start damaged newer").exits(0);
}

#[test]
fn a_daemon_without_descriptors_says_so_and_recovers() {
    let host = Host::with_busybox();
    let pid = host.daemon_pid();
    host.run("corten run -d --name first busybox sleep 1000").exits(0);
    // The soft limit alone: lifting the hard one again needs a right that not everybody has.
    host.run(&format!("prlimit --pid {pid} --nofile=64:")).exits(0);
    let mut refusal = String::new();
    for number in 0..64 {
        let run = host.run_within(PATIENCE, &format!("corten run -d --name c{number} busybox sleep 1000"));
        if run.code() != 0 {
            refusal = run.stderr();
            break;
        }
    }
    let text = refusal.to_lowercase();
    assert!(text.contains("too many open files") || text.contains("no file descriptors"), "{refusal:?}");
    // Whoever looks and whoever clears up gets through.
    host.run_within(PATIENCE, "corten ps -q").exits(0);
    assert_eq!(host.inspect("first", "{{.State.Status}}"), "running");
    host.run_within(PATIENCE, "corten exec first true").exits(0);
    for number in 0..4 {
        host.run_within(PATIENCE, &format!("corten rm -f c{number}")).exits(0);
    }
    host.run_within(PATIENCE, "corten run --rm busybox echo again").prints("again");
    assert_eq!(host.daemon_pid(), pid);
    host.run(&format!("prlimit --pid {pid} --nofile=$(ulimit -Hn):")).exits(0);
}

/// A host whose data root is a small disk of its own, with what has to stay free for an image to be unpacked.
fn host_on_a_small_disk() -> Host {
    let mut host = Host::without_daemon();
    let data = host.data_root();
    host.run(&format!("mkdir -p {0} && mount -t tmpfs -o size=96m,mode=700 small {0}", data.display()))
        .exits(0);
    host.start_daemon();
    host.import_busybox();
    host
}

#[test]
fn a_full_disk_is_named_and_nothing_is_lost_by_it() {
    let mut host = host_on_a_small_disk();
    let fill = host.data_root().join("fill");
    let said = "echo said; while test ! -e /dev/shm/go; do sleep 0.1; done; echo more; sleep 1000";
    host.run(&format!("corten run -d --name talks busybox sh -c '{said}'")).exits(0);
    host.run("corten run --name ended busybox true").exits(0);
    // The last blocks go one by one.
    let dd = |size: &str| format!("dd if=/dev/zero bs={size} >> {} 2>/dev/null", fill.display());
    let _ = host.run(&format!("{}; {}", dd("1M"), dd("4096")));

    let named =
        |text: &str| text.to_lowercase().contains("no space left on device") || text.contains("is full");
    let _ = host.run("head -c 3000000 /dev/urandom > big && tar -cf big.tar big && rm big");
    let table = [
        // Little is written by these, for which the database keeps some room.
        ("create --name late busybox true", true),
        ("start ended", true),
        ("import -c 'CMD [\"x\"]' big.tar big", false),
        ("cp big.tar talks:/big", false),
    ];
    for (line, may_work) in table {
        let output = host.run_within(PATIENCE, &format!("corten {line}"));
        let fine = if output.code() == 0 { may_work } else { named(&output.stderr()) };
        assert!(fine, "`{line}`: {} {}", output.code(), output.stderr());
    }
    // What runs goes on, also when its log has no room; what looks and ends works.
    let _ = host.run_within(PATIENCE, "corten exec talks touch /dev/shm/go");
    host.run_within(PATIENCE, "corten logs talks").stdout_has("said");
    host.run("corten ps -a --format '{{.Names}}'").stdout_has("ended\ntalks");
    host.run_within(PATIENCE, "corten rm -f talks").exits(0);
    // Also over a restart.
    host.restart_daemon();
    host.run_within(PATIENCE, "corten rm -f $(corten ps -aq)").exits(0);

    std::fs::remove_file(host_path(&host, &fill)).unwrap();
    host.run("corten run --name late busybox echo again").prints("again");
    host.run("corten import big.tar big").exits(0);
}

/// A path as seen from here: the mount is in the host's own namespace.
fn host_path(host: &Host, path: &Path) -> std::path::PathBuf {
    let inside = path.strip_prefix("/").unwrap();
    Path::new("/proc").join(host.daemon_pid().to_string()).join("root").join(inside)
}

#[test]
fn a_client_that_stops_reading_or_dies_holds_nothing_up() {
    let host = Host::with_busybox();
    let chatter = "i=0; while :; do i=$((i+1)); echo line $i; done";
    host.run(&format!("corten run -d --name job busybox sh -c '{chatter}'")).exits(0);
    let mut client = host.spawn("corten attach --sig-proxy=false job");
    client.expect("line ");
    client.signal(Signal::STOP);
    let last = |host: &Host| host.run("corten logs --tail 1 job").stdout();
    let before = last(&host);
    host.until("the container goes on", || last(&host) != before);
    client.signal(Signal::KILL);
    let before = last(&host);
    host.until("the container goes on without its client", || last(&host) != before);
    let mut another = host.spawn("corten attach --sig-proxy=false job");
    another.expect("line ");
    host.run_within(PATIENCE, "corten kill job").exits(0);
    assert_eq!(another.exit_code(), 137);
}

#[test]
fn exec_streams_are_framed_and_resized_as_docker_does() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    let exec = |tty: bool, command: &str| {
        let body = serde_json::json!({"Cmd": ["sh", "-c", command], "AttachStdout": true, "AttachStderr": true, "Tty": tty});
        let answer = host.api("POST", "/containers/job/exec", Some(&body)).is(201).json();
        answer["Id"].as_str().unwrap().to_owned()
    };
    let start = |id: &str, tty: bool| {
        let body = serde_json::json!({"Detach": false, "Tty": tty});
        host.api("POST", &format!("/exec/{id}/start"), Some(&body)).is(200).body
    };
    let resize = |id: &str| host.api("POST", &format!("/exec/{id}/resize?h=10&w=20"), None);
    // As recorded from dockerd: the start's `Tty` frames, the exec's makes the terminal.
    let table: [(bool, bool, &[u8]); 4] = [
        (true, true, b"out\r\n"),
        (true, false, b"\x01\0\0\0\0\0\0\x05out\r\n"),
        (false, true, b"out\n"),
        (false, false, b"\x01\0\0\0\0\0\0\x04out\n"),
    ];
    for (tty, raw, wanted) in table {
        assert_eq!(start(&exec(tty, "echo out"), raw), wanted, "tty {tty}, start with {raw}");
    }
    let id = exec(true, "exit 3");
    let _ = start(&id, true);
    host.until("the exec is over", || {
        host.api("GET", &format!("/exec/{id}/json"), None).json()["Running"] == false
    });
    let answer = resize(&id).is(404).json();
    assert!(answer["message"].as_str().unwrap().contains("process does not exist"), "{answer}");
    host.run("corten stop -t 0 job").exits(0);
    resize(&id).is(409);
}
