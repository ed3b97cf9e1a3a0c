//! Docker's own client against our socket.
//!
//! It comes from the `PATH`, or from `$DOCKER` (`scripts/docker-client.sh` fetches one without installing it).

use testkit::Host;

/// A host, and how to call the client there.
fn host() -> (Host, String) {
    let docker = std::env::var("DOCKER").unwrap_or_else(|_| "docker".into());
    let host = Host::with_busybox();
    host.run(&format!("{docker} --version")).stdout_has("Docker version").exits(0);
    (host, docker)
}

#[test]
fn a_session_of_dockers_client_works() {
    let (host, docker) = host();
    host.run(&format!("{docker} version --format '{{{{.Server.Os}}}}'")).prints("linux");
    host.run(&format!("{docker} run --rm busybox echo hi")).prints("hi");
    host.run(&format!("{docker} run --rm busybox sh -c 'echo o; echo e >&2; exit 3'"))
        .exits(3)
        .stdout_has("o")
        .stderr_has("e");
    host.run_with_stdin(&format!("{docker} run --rm -i busybox cat"), "typed").prints("typed");
    host.run(&format!("{docker} run -d --name job busybox sh -c 'echo hi; sleep 1000'")).prints("[ID64]");
    host.run(&format!("{docker} ps --format '{{{{.Names}}}} {{{{.State}}}}'")).prints("job running");
    host.run(&format!("{docker} exec job echo in")).prints("in");
    host.run(&format!("{docker} logs job")).prints("hi");
    host.run(&format!("{docker} inspect -f '{{{{.Name}}}}' job")).prints("/job");
    host.run(&format!("{docker} stop -t 0 job")).prints("job");
    host.run(&format!("{docker} rm job")).prints("job");
    host.run(&format!("{docker} run --rm busybox no-such-command"))
        .exits(127)
        .stderr_has("executable file not found");
}

#[test]
fn dockers_client_has_a_real_terminal() {
    let (host, docker) = host();
    let mut shell = host.terminal(&format!("{docker} run -it --name job busybox sh"));
    shell.expect("# ");
    shell.write("stty size\n");
    shell.expect("24 80");
    shell.resize(50, 132);
    host.until("the new size has arrived", || {
        shell.write("stty size\n");
        shell.stdout().contains("50 132")
    });
    shell.write("\x10\x11");
    assert_eq!(shell.exit_code(), 0);
    let mut exec = host.terminal(&format!("{docker} exec -it job sh"));
    exec.expect("# ");
    exec.write("exit 5\n");
    assert_eq!(exec.exit_code(), 5);
}

#[test]
fn every_api_version_from_1_24_is_served() {
    let host = Host::with_busybox();
    for version in ["/v1.24", "/v1.30", "/v1.41", "/v1.44", "/v1.47", "/v1.51", ""] {
        assert!(host.api("GET", &format!("{version}/containers/json?all=1"), None).is(200).json().is_array());
        assert!(host.api("GET", &format!("{version}/images/json"), None).is(200).json().is_array());
        host.api("GET", &format!("{version}/_ping"), None).is(200);
        host.api("GET", &format!("{version}/version"), None).is(200);
        host.api("GET", &format!("{version}/info"), None).is(200);
    }
    let too_new = host.api("GET", "/v1.99/version", None).is(400).json();
    assert_eq!(too_new["message"], "client version 1.99 is too new. Maximum supported API version is 1.51");
    // Clients that old expect text, not JSON.
    let too_old = host.api("GET", "/v1.12/version", None).is(400);
    let words = "client version 1.12 is too old. Minimum supported API version is 1.24";
    assert!(String::from_utf8_lossy(&too_old.body).contains(words), "{too_old:?}");
    let unknown = host.api("PATCH", "/containers/json", None).is(404).json();
    assert_eq!(unknown["message"], "page not found");
}
