//! Memory that runs out.

use testkit::Host;

#[test]
fn an_oom_kill_is_named_with_its_limit() {
    let host = Host::with_busybox();
    let hog = host.run("corten run --name hog -m 16m busybox tail /dev/zero").exits(137);
    assert_eq!(host.inspect("hog", "{{.State.OOMKilled}} {{.State.ExitCode}}"), "true 137");
    let error = host.inspect("hog", "{{.State.Error}}");
    assert!(
        error.contains("memory limit") && error.contains("16"),
        "the limit is not named in inspect: {error}"
    );
    hog.stderr_has("memory limit");
}

#[test]
fn a_container_killed_for_another_reason_is_not_called_out_of_memory() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job -m 16m busybox sleep 1000").exits(0);
    host.run("corten kill job").exits(0);
    host.run("corten wait job").prints("137");
    assert_eq!(host.inspect("job", "{{.State.OOMKilled}}"), "false");
}
