//! Health checks as a user sees them.

use testkit::Host;

fn health(host: &Host) -> String {
    host.inspect("job", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}")
}

fn checks_made(host: &Host) -> usize {
    host.inspect("job", "{{range .State.Health.Log}}x{{end}}").len()
}

const CHECKED: &str =
    "corten run -d --name job --health-cmd 'test -f /ok' --health-interval 50ms --health-retries 2";

#[test]
pub(crate) fn a_container_is_healthy_when_its_check_succeeds_and_unhealthy_when_it_fails_too_often() {
    let host = Host::with_busybox();
    host.run(&format!("{CHECKED} --health-start-period 60s --health-start-interval 50ms busybox sleep 1000"))
        .exits(0);
    host.run("corten ps --format '{{.Status}}'").prints("Up [FOR] (health: starting)");
    host.until("failures in the start period", || checks_made(&host) == 5);
    assert_eq!(health(&host), "starting 0");

    host.run("corten exec job touch /ok").exits(0);
    host.until("it is healthy", || health(&host) == "healthy 0");
    host.run("corten ps --format '{{.Status}}'").prints("Up [FOR] (healthy)");
    host.run("corten ps -q --filter health=healthy --filter name=job").prints("[ID]");
    host.run("corten ps -q --filter health=starting").prints("");
    host.run("corten ps --filter health=fine").fails_with(
        "invalid filter 'health=fine': invalid value for health (fine): must be one of none, starting, healthy, unhealthy",
    );

    host.run("corten exec job rm /ok").exits(0);
    host.until("it is unhealthy", || host.inspect("job", "{{.State.Health.Status}}") == "unhealthy");
    host.run("corten ps --format '{{.Status}}'").prints("Up [FOR] (unhealthy)");
    assert_eq!(checks_made(&host), 5);
}

#[test]
fn checks_stop_with_the_container_and_begin_again_with_it() {
    let host = Host::with_busybox();
    host.run(&format!("{CHECKED} busybox sh -c 'touch /ok; exec sleep 1000'")).exits(0);
    host.until("it is healthy", || health(&host) == "healthy 0");
    host.api("POST", "/containers/job/pause", None).is(204);
    assert_eq!(health(&host), "unhealthy 0");
    host.run("corten ps --format '{{.Status}}'").prints("Up [FOR] (Paused)");
    host.api("POST", "/containers/job/unpause", None).is(204);
    host.until("it is healthy again", || health(&host) == "healthy 0");
    host.run("corten stop -t 0 job").prints("job");
    assert_eq!(health(&host), "unhealthy 0");
    host.run("corten start job").exits(0);
    host.until("it is healthy after a start", || health(&host) == "healthy 0");
}

#[test]
pub(crate) fn a_check_that_takes_too_long_is_killed_with_what_it_started() {
    let host = Host::with_busybox();
    host.run(
        "corten run -d --name job --health-cmd 'echo first; setsid sleep 7777 & sleep 7778' --health-interval 50ms \
         --health-timeout 200ms --health-retries 1 busybox sleep 1000",
    )
    .exits(0);
    host.until("it is unhealthy", || host.inspect("job", "{{.State.Health.Status}}") == "unhealthy");
    let first = "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}";
    assert_eq!(host.inspect("job", first), "-1 Health check exceeded timeout (200ms): first");
    host.api("POST", "/containers/job/pause", None).is(204);
    host.api("POST", "/containers/job/unpause", None).is(204);
    host.until("no more than one check's processes are there", || {
        host.run("corten exec job ps -o args").stdout().matches("sleep 777").count() <= 2
    });
    host.run("corten rm -f job").exits(0);
}

#[test]
fn health_and_its_checks_outlive_the_daemon() {
    let mut host = Host::with_busybox();
    host.run(&format!("{CHECKED} busybox sh -c 'touch /ok; exec sleep 1000'")).exits(0);
    host.until("it is healthy", || health(&host) == "healthy 0");
    host.kill_daemon();
    host.start_daemon();
    assert_eq!(health(&host), "healthy 0");
    host.run("corten exec job rm /ok").exits(0);
    host.until("the new daemon checks", || host.inspect("job", "{{.State.Health.Status}}") == "unhealthy");
}

#[test]
fn output_and_failures_to_run_are_kept_as_docker_keeps_them() {
    let host = Host::with_busybox();
    let flags = "--health-interval 50ms --health-retries 1 busybox sleep 1000";
    host.run(&format!(
        "corten run -d --name job --health-cmd 'head -c 5000 /dev/zero | tr \"\\0\" x; echo no >&2' {flags}"
    ))
    .exits(0);
    host.until("a check was made", || checks_made(&host) > 0);
    let output = "{{with index .State.Health.Log 0}}{{len .Output}} {{slice .Output 4094}}{{end}}";
    assert_eq!(host.inspect("job", output), "4099 xx...");
    host.run("corten rm -f job").exits(0);

    let body = serde_json::json!({
        "Image": "busybox", "Cmd": ["sleep", "1000"],
        "Healthcheck": {"Test": ["CMD", "nosuch"], "Interval": 50_000_000},
    });
    host.api("POST", "/containers/create?name=job", Some(&body)).is(201);
    host.run("corten start job").exits(0);
    host.until("a check was made", || checks_made(&host) > 0);
    let result = "{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}";
    let found = host.inspect("job", result);
    assert!(found.starts_with("-1 OCI runtime exec failed: exec failed: "), "{found}");
    assert!(found.contains("executable file not found in $PATH"), "{found}");
}

#[test]
fn a_container_without_a_check_has_no_health() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job --no-healthcheck busybox sleep 1000").exits(0);
    assert_eq!(host.inspect("job", "{{.State.Health}}"), "<nil>");
    host.run("corten ps -q --filter health=none").prints("[ID]");
    host.run("corten create --health-interval 1ns --health-cmd true busybox true")
        .fails_with("Interval in Healthcheck cannot be less than 1ms");
}
