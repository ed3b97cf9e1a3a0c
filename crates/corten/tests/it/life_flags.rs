//! Flags of the commands that start, signal, await, describe and remove containers.

use testkit::Host;

#[test]
fn kill_takes_names_and_numbers_of_signals() {
    let host = Host::with_busybox();
    let script = "trap \"exit 9\" USR1; trap \"exit 8\" HUP; echo ready; while :; do sleep 0.02; done";
    host.run(&format!("corten create --name job busybox sh -c '{script}'")).exits(0);
    for (signal, code) in
        [("USR1", 9), ("sigusr1", 9), ("10", 9), ("1", 8), ("SIGHUP", 8), ("KILL", 137), ("''", 137)]
    {
        let before = host.run("corten logs job").stdout().len();
        host.run("corten start job").prints("job");
        host.until("the traps are set", || host.run("corten logs job").stdout().len() > before);
        host.run(&format!("corten kill -s {signal} job")).prints("job");
        host.run("corten wait job").prints(&code.to_string());
    }
    host.run("corten start job").exits(0);
    for (signal, error) in [
        ("FOO", "cannot kill container: job: invalid signal: FOO"),
        ("0", "cannot kill container: job: invalid signal: 0"),
        ("99", "cannot kill container: job: the linux daemon does not support signal 99"),
    ] {
        host.run(&format!("corten kill -s {signal} job")).fails_with(error).exits(1);
    }
    host.run("corten kill nope job")
        .exits(1)
        .stdout_has("job")
        .stderr_has("cannot kill container: nope: No such container: nope");
    host.run("corten kill job").fails_with("is not running");
}

#[test]
fn several_are_started_but_one_alone_is_attached() {
    let host = Host::with_busybox();
    host.run("corten create --name one busybox sh -c 'echo one; exit 3'").exits(0);
    host.run("corten create -i --name two busybox cat").exits(0);
    host.run("corten start -a one two").fails_with("you cannot start and attach multiple containers at once");
    host.run("corten start -a one").exits(3).stdout_has("one");
    host.run_with_stdin("corten start -ai two", "typed").prints("typed");
    host.run("corten start one nope two")
        .exits(1)
        .stdout_has("one\ntwo")
        .stderr_has("No such container: nope")
        .stderr_has("Error: failed to start containers: nope");
    host.run("corten start --detach-keys foo one").fails_with("invalid detach keys (foo)");
    host.run("corten wait one nope").exits(1).stdout_has("3").stderr_has("No such container: nope");
}

#[test]
fn remove_says_what_is_missing_and_force_does_not_mind() {
    let host = Host::with_busybox();
    for name in ["one", "two"] {
        host.run(&format!("corten create --name {name} busybox true")).exits(0);
    }
    host.run("corten run -d --name runs busybox sleep 1000").exits(0);
    host.run("corten rm one nope two").exits(1).stdout_has("one\ntwo").stderr_has("No such container: nope");
    host.run("corten rm runs").fails_with("container is running").exits(1);
    host.run("corten rm -f nope").exits(0).stderr_has("No such container: nope");
    host.run("corten rm -l runs").exits(1);
    host.run("corten rm -vf runs").prints("runs");
    host.run("corten ps -aq").prints("");
}

#[test]
fn inspect_looks_for_the_kind_that_was_asked_for() {
    let host = Host::with_busybox();
    host.run("corten create --name job busybox true").exits(0);
    host.run("corten create --name busybox busybox true").exits(0);
    host.run("corten inspect --type container -f '{{.Name}}' job nope")
        .exits(1)
        .stdout_has("/job")
        .stderr_has("No such container: nope");
    host.run("corten inspect -f '{{.Name}}' busybox").prints("/busybox");
    host.run("corten inspect --type image -f '{{json .RepoTags}}' busybox").prints("[\"busybox:latest\"]");
    host.run("corten inspect --type image job").fails_with("No such image: job");
    host.run("corten inspect --type nonsense job").fails_with("nonsense");
    host.run("corten inspect --size -f '{{.SizeRw}} {{.SizeRootFs}}' job").stdout_has("0 ");
    host.run("corten inspect -f '{{.SizeRw}}' job").prints("<nil>");
    host.run("corten inspect nope1 nope2")
        .exits(1)
        .stdout_has("[]")
        .stderr_has("No such object: nope1\n")
        .stderr_has("No such object: nope2");
}

#[test]
fn a_missing_image_is_told_before_anything_else() {
    let host = Host::with_busybox();
    host.run("corten create --name job busybox true").exits(0);
    host.run("corten create --name job --pull never missing").fails_with("No such image: missing:latest");
    host.run("corten create --platform linux/s390x --pull never busybox")
        .fails_with("image with reference busybox was found but its platform (linux/[..]) does not match the specified platform (linux/s390x)");
    host.run("corten create --pull sometimes busybox").fails_with("sometimes");
}
