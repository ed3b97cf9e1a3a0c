//! A container's life as a user drives it.

use testkit::Host;

#[test]
fn run_passes_output_input_and_exit_code() {
    let host = Host::with_busybox();
    host.run("corten run --rm busybox echo hi").prints("hi");
    host.run("corten run --rm busybox sh -c 'echo out; echo err >&2; exit 7'")
        .exits(7)
        .stdout_has("out")
        .stderr_has("err");
    host.run_with_stdin("corten run --rm -i busybox wc -c", vec![b'x'; 3_000_000]).prints("3000000");
    host.run_with_stdin("corten run --rm busybox cat", "not for a container without -i").prints("");
    host.run("corten run --rm busybox head -c 5000000 /dev/zero | wc -c").prints("5000000");
    host.run("corten ps -aq").prints("");
}

#[test]
fn a_signal_that_ends_the_container_is_its_exit_code() {
    let host = Host::with_busybox();
    host.run("corten run --rm busybox sh -c 'kill -KILL $$; sleep 1'").exits(0);
    host.run("corten run --rm busybox sh -c 'trap \"exit 5\" TERM; kill -TERM $$'").exits(5);
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    host.run("corten kill job").prints("job");
    host.run("corten wait job").prints("137");
}

#[test]
fn exit_code_and_files_survive_a_daemon_restart() {
    let mut host = Host::with_busybox();
    host.run("corten run --name job busybox sh -c 'echo hi > /out; exit 7'").exits(7);

    host.restart_daemon();
    host.run("corten ps -a --format '{{.Names}}: {{.Status}}'").prints("job: Exited (7) [AGO]");
    host.run("corten start nope").fails_with("No such container: nope").exits(1);
    host.run("corten logs job").prints("");
    host.run("corten rm job").prints("job");
}

#[test]
fn a_detached_container_is_listed_stopped_and_removed() {
    let host = Host::with_busybox();
    let id = host.run("corten run -d --name job busybox sleep 1000").line();
    assert_eq!(id.len(), 64, "{id}");
    host.run("corten ps").prints(
        "CONTAINER ID   IMAGE     COMMAND        CREATED   STATUS   PORTS     NAMES\n\
         [ID]   busybox   \"sleep 1000\"   [AGO]   Up [FOR]             job",
    );
    host.run("corten rm job")
        .fails_with("cannot remove container")
        .stderr_has("container is running: stop the container before removing or force remove");
    host.run("corten stop -t 0 job").prints("job");
    host.run("corten stop -t 0 job").prints("job");
    host.run("corten ps -q").prints("");
    assert_eq!(host.inspect("job", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    host.run(&format!("corten rm {}", &id[..12])).prints(&id[..12]);
    host.run("corten inspect job").fails_with("No such object: job").exits(1);
}

#[test]
fn create_start_and_wait_are_steps_of_run() {
    let host = Host::with_busybox();
    host.run("corten create --name job busybox sh -c 'echo working; exit 4'").prints("[ID64]");
    assert_eq!(host.inspect("job", "{{.State.Status}} {{.State.Running}}"), "created false");
    host.run("corten start -a job").exits(4).stdout_has("working");
    host.run("corten wait job").prints("4");
    host.run("corten start job").prints("job");
    host.run("corten wait job").prints("4");
    host.run("corten logs job").prints("working\nworking");
}

#[test]
pub(crate) fn stop_sends_the_containers_own_signal_first() {
    let host = Host::with_busybox();
    let script = "trap \"echo bye; exit 3\" USR1; echo ready; while :; do sleep 0.05; done";
    host.run(&format!("corten run -d --name job --stop-signal USR1 busybox sh -c '{script}'")).exits(0);
    host.until("the trap is set", || host.run("corten logs job").stdout() == "ready\n");
    host.run("corten stop job").prints("job");
    host.run("corten logs job").prints("ready\nbye");
    assert_eq!(host.inspect("job", "{{.State.ExitCode}}"), "3");
}

#[test]
fn exec_runs_beside_the_containers_process() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job -e A=1 -w /tmp busybox sleep 1000").exits(0);
    host.run("corten exec job pwd").prints("/tmp");
    host.run("corten exec -e B=2 -w / job sh -c 'echo $A$B; pwd; exit 6'").exits(6).stdout_has("12\n/");
    host.run("corten exec -u daemon job id -un").prints("daemon");
    host.run_with_stdin("corten exec -i job cat", "typed").prints("typed");
    host.run("corten exec job ps -o pid,args | grep -c 'sleep 1000'").prints("1");
    host.run("corten exec -d job touch /made").prints("");
    host.until("a detached exec ran", || host.run("corten exec job test -e /made").code() == 0);
    host.run("corten stop -t 0 job").exits(0);
    host.run("corten exec job true").fails_with("is not running").exits(1);
}

#[test]
fn logs_follow_a_running_container_to_its_end() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sh -c 'echo one; while test ! -e /go; do sleep 0.05; done; echo two'")
        .exits(0);
    let mut logs = host.spawn("corten logs -f job");
    logs.expect("one\n");
    host.run("corten exec job touch /go").exits(0);
    logs.expect("two\n");
    assert_eq!(logs.exit_code(), 0);
    host.run("corten logs --tail 1 job").prints("two");
    host.run("corten logs -t job").prints("[TIME] one\n[TIME] two");
}

#[test]
fn several_clients_are_attached_to_one_container() {
    let host = Host::with_busybox();
    host.run("corten run -d -i --name job busybox sh -c 'echo begin; cat'").exits(0);
    let mut first = host.spawn("corten attach job");
    let mut second = host.spawn("corten attach --no-stdin job");
    // What was printed before is not repeated; wait until both have their streams.
    host.until("both clients are attached", || {
        first.write("x\n");
        first.stdout().contains("x\n") && second.stdout().contains("x\n")
    });
    first.write("to both\n");
    first.expect("to both\n");
    second.expect("to both\n");
    host.run("corten kill job").exits(0);
    assert_eq!((first.exit_code(), second.exit_code()), (137, 137));
}

#[test]
fn images_are_listed_tagged_described_and_removed() {
    let host = Host::with_busybox();
    host.run("corten images").prints(
        "REPOSITORY   TAG       IMAGE ID       CREATED   SIZE\n\
         busybox      latest    [ID]   [AGO]   [SIZE]",
    );
    host.run("corten tag busybox other:1").prints("");
    host.run("corten run --rm other:1 true").exits(0);
    let id = host.run("corten inspect -f '{{.Id}}' other:1").line();
    assert_eq!(host.run("corten image inspect -f '{{.Id}}' busybox").line(), id);
    host.run("corten history --format '{{.Comment}}' busybox").prints("Imported from -");
    host.run("corten rmi other:1").prints("Untagged: other:1");
    host.run("corten rmi other:1").fails_with("No such image: other:1").exits(1);
}

#[test]
fn two_engines_run_side_by_side() {
    let (one, two) = (Host::with_busybox(), Host::with_busybox());
    one.run("corten run -d --name job busybox sleep 1000").exits(0);
    two.run("corten run -d --name job busybox sleep 1000").exits(0);
    one.run("corten rm -f job").exits(0);
    two.run("corten ps --format '{{.Names}}'").prints("job");
}
