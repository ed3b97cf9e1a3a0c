//! Commands that do one thing with a container: restart, pause, rename, top, port.

use testkit::Host;

#[test]
fn one_missing_container_does_not_keep_a_command_from_the_others() {
    let host = Host::with_busybox();
    for name in ["one", "two"] {
        host.run(&format!("corten run -d --name {name} busybox sleep 1000")).prints("[ID64]");
    }
    for command in ["pause", "unpause", "restart -t 0", "container pause", "container restart -t 0"] {
        host.run(&format!("corten {command} one nope two"))
            .exits(1)
            .stdout_has("one\ntwo")
            .stderr_has("Error response from daemon: No such container: nope");
    }
}

#[test]
fn a_paused_container_stands_still_until_it_may_go_on() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sh -c 'while :; do echo x; sleep 0.02; done'").exits(0);
    let lines = || host.run("corten logs job").stdout().len();
    host.until("it works", || lines() > 0);
    host.run("corten pause job").prints("job");
    host.run("corten ps --format '{{.State}} {{.Status}}'").prints("paused Up [FOR] (Paused)");
    host.run("corten pause job").fails_with("is already paused");
    host.run("corten exec job true").fails_with("is paused");
    // What was on its way when it was paused still arrives.
    host.until("it stands still", || {
        let before = lines();
        host.run("sleep 0.2").exits(0);
        lines() == before
    });
    let before = lines();
    host.run("corten unpause job").prints("job");
    host.run("corten unpause job").fails_with("is not paused");
    host.until("it goes on", || lines() > before);
    host.run("corten stop -t 0 job").prints("job");
    host.run("corten pause job").fails_with("is not running");
}

#[test]
fn restart_keeps_the_files_and_takes_a_signal() {
    let host = Host::with_busybox();
    let script = "trap \"echo term; exit\" TERM; trap \"echo usr; exit\" USR1; n=$((`cat /n`+1)); echo $n > /n; \
                  echo $n; \
                  while :; do sleep 0.02; done";
    host.run(&format!("corten run -d --name job busybox sh -c '{script}'")).exits(0);
    let log = |wanted: &str| {
        host.until(wanted, || host.run("corten logs job 2>/dev/null").stdout().replace('\n', " ") == wanted);
    };
    log("1 ");
    host.run("corten restart job").prints("job");
    log("1 term 2 ");
    host.run("corten restart -s USR1 -t 10 job").prints("job");
    log("1 term 2 usr 3 ");
    assert_eq!(host.inspect("job", "{{.RestartCount}}"), "0");
    host.run("corten restart -s nonsense job").fails_with("invalid signal: nonsense");
    host.run("corten restart -t 1 --time 1 job")
        .fails_with("conflicting options: cannot specify both --timeout and --time");
    host.run("corten create --name other busybox true").exits(0);
    host.run("corten restart other").prints("other");
    host.run("corten wait other").prints("0");
}

#[test]
fn a_renamed_container_answers_to_its_new_name_only() {
    let host = Host::with_busybox();
    host.run("corten create --name before busybox true").exits(0);
    host.run("corten create --name other busybox true").exits(0);
    host.run("corten rename before after").prints("");
    host.run("corten ps -a --format '{{.Names}}'").prints("other\nafter");
    host.run("corten inspect before").fails_with("No such object: before");
    for (command, error) in [
        ("rename after other", "Conflict. The container name \"/other\" is already in use by container"),
        (
            "rename after 'a b'",
            "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
        ),
        ("rename after after", "Renaming a container with the same name as its current name"),
        ("rename nope x1", "No such container: nope"),
    ] {
        host.run(&format!("corten {command}"))
            .fails_with(error)
            .stderr_has("Error: failed to rename container named")
            .exits(1);
    }
    host.run("corten rename after ''").fails_with("Error: Neither old nor new names may be empty");
    host.run("corten rename after").fails_with("'corten rename' requires 2 arguments");
}

#[test]
fn top_shows_what_ps_says_of_the_container_alone() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1234").exits(0);
    host.run("corten top job -o pid,cmd")
        .prints(&format!("PID                 CMD\n{:<20}sleep 1234", host.pid_of("job")));
    host.run("corten container top job").stdout_has("UID                 PID ").stdout_has("sleep 1234");
    host.run("corten top job -o user").fails_with("Couldn't find PID field in ps output");
    host.run("corten stop -t 0 job").exits(0);
    host.run("corten top job").fails_with("is not running");
    host.run("corten top nope").fails_with("No such container: nope");
}

#[test]
fn port_of_a_container_without_published_ports_has_nothing_to_show() {
    let host = Host::with_busybox();
    host.run("corten create --name job --expose 80 busybox true").exits(0);
    host.run("corten port job").prints("");
    host.run("corten port job 80").fails_with("Error: No public port '80' published for job").exits(1);
    host.run("corten port job abc").fails_with("invalid port (abc)");
    host.run("corten port nope").fails_with("No such container: nope");
    host.run("corten port").fails_with("'corten port' requires at least 1 and at most 2 arguments").exits(1);
}
