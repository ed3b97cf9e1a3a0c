//! What a user's mistake is answered with: exit code, Docker's words, and nothing left behind.

use testkit::Host;

#[test]
fn mistakes_have_dockers_exit_codes_and_words() {
    let host = Host::with_busybox();
    host.run("corten run -d --name taken busybox sleep 1000").exits(0);
    let table = [
        ("run --pull never no/such:image true", 125, "No such image: no/such:image"),
        ("run busybox no-such-command", 127, "exec: \"no-such-command\": executable file not found in $PATH"),
        ("run busybox /no/such/file", 127, "no such file or directory"),
        ("run busybox /etc", 126, "is a directory"),
        ("run busybox /etc/passwd", 126, "permission denied"),
        ("run --no-such-flag busybox", 125, "unknown flag: --no-such-flag"),
        ("run", 1, "requires at least 1 argument"),
        (
            "run --name taken busybox true",
            125,
            "Conflict. The container name \"/taken\" is already in use by container \"[ID64]\"",
        ),
        (
            "run --name 'no good' busybox true",
            125,
            "Invalid container name (no good), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
        ),
        ("run -m 1m busybox true", 125, "Minimum memory limit allowed is 6MB"),
        ("run -m -1 busybox true", 125, "invalid"),
        ("run --cpus 9999 busybox true", 125, "range of CPUs is from 0.01 to"),
        ("run --cpuset-cpus 64 busybox true", 125, "Requested CPUs are not available"),
        ("run --cap-add NO_SUCH busybox true", 125, "unknown capability: \"CAP_NO_SUCH\""),
        (
            "run -u nobody-here busybox true",
            125,
            "unable to find user nobody-here: no matching entries in passwd file",
        ),
        (
            "run -w relative busybox true",
            125,
            "the working directory 'relative' is invalid, it needs to be an absolute path",
        ),
        (
            "run --mount type=bind,source=/no/such,target=/x busybox true",
            125,
            "bind source path does not exist: /no/such",
        ),
        ("run --mount type=bogus,target=/x busybox true", 125, "bogus"),
        ("run --network no-such-net busybox true", 125, "network no-such-net not found"),
        ("run --pid container:no-such busybox true", 125, "No such container: no-such"),
        ("run --restart sometimes busybox true", 125, "sometimes"),
        ("run --ulimit nofile=2:1 busybox true", 125, "nofile"),
        ("run -e =x busybox true", 125, "invalid environment variable: =x"),
        ("run --rm --restart always busybox true", 125, "conflicting options"),
        ("exec taken no-such-command", 127, "executable file not found in $PATH"),
        ("exec no-such-container true", 1, "No such container: no-such-container"),
        // Docker answers before it opens the stream, hence with 1.
        ("exec -u nobody-here taken true", 125, "unable to find user nobody-here"),
        ("start no-such-container", 1, "No such container: no-such-container"),
        ("logs no-such-container", 1, "No such container: no-such-container"),
        ("kill -s NOSIG taken", 1, "NOSIG"),
        ("rmi no-such-image", 1, "No such image: no-such-image"),
        ("inspect no-such-thing", 1, "No such object: no-such-thing"),
        ("tag busybox 'Not Valid'", 1, "invalid"),
        ("inspect -f '{{.Nope}}' taken", 1, "template"),
        ("inspect -f '{{' taken", 64, "template parsing error"),
        ("no-such-command", 1, "no-such-command"),
    ];
    let mut wrong = Vec::new();
    for (arguments, code, words) in table {
        // Docker's client finds the error of an exec in the stream that it has already opened for its output.
        let output = host.run(&format!("corten {arguments} 2>&1"));
        if output.code() != code || !testkit::pattern::contained(words, &output.stdout()) {
            wrong.push(format!(
                "corten {arguments}\n  wanted {code}: {words}\n  got {}: {}",
                output.code(),
                output.stdout()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.run("corten rm -f taken").exits(0);
    host.run("corten ps -a --filter status=running -q").prints("");
}

#[test]
fn a_failed_start_leaves_a_container_that_can_be_looked_at() {
    let host = Host::with_busybox();
    host.run("corten run --name job busybox no-such-command").exits(127);
    assert_eq!(host.inspect("job", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
    host.run("corten run --rm --name gone busybox no-such-command").exits(127);
    host.run("corten inspect gone").fails_with("No such object: gone");
}

#[test]
fn a_missing_loader_is_explained() {
    let host = Host::new();
    // A program that is linked dynamically, and nothing else: the mistake of everybody's first `FROM scratch`.
    host.run("mkdir -p root/bin && cp -L /bin/ls root/bin/ && tar -C root -c . | corten import - bare")
        .exits(0);
    host.run("corten run --rm bare /bin/ls")
        .fails_with("no such file or directory")
        .stderr_has("/bin/ls")
        .stderr_has("ld-linux")
        .exits(127);
}

#[test]
fn no_daemon_on_the_socket_is_said() {
    let mut host = Host::with_busybox();
    host.stop_daemon();
    host.run("corten ps").fails_with("Is the").stderr_has("daemon running?").exits(1);
}
