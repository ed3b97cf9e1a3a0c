//! `events`: what happened, and what happens.

use testkit::Host;

/// Actions since the beginning, in order.
fn actions(host: &Host, filters: &str) -> String {
    let line = format!(
        "corten events --since 0 --until $(date +%s.%N) {filters} --format '{{{{.Type}}}}/{{{{.Action}}}}'"
    );
    host.run(&line).exits(0).stdout().replace('\n', " ").trim_end().to_owned()
}

#[test]
fn a_containers_life_is_told_in_dockers_order() {
    let host = Host::with_busybox();
    host.run("corten run --name job --label a=b busybox sh -c 'exit 3'").exits(3);
    host.run("corten rm job").exits(0);
    assert_eq!(
        actions(&host, "--filter container=job"),
        "container/create container/attach container/start container/die container/destroy"
    );
    let die = "corten events --since 0 --until $(date +%s.%N) --filter event=die --format \
               '{{.Actor.Attributes.exitCode}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}} {{.Actor.Attributes.a}}'";
    host.run(die).prints("3 job busybox b");
    host.run("corten events --since 0 --until $(date +%s.%N) --filter event=destroy")
        .prints("[TIME] container destroy [ID64] (a=b, image=busybox, name=job)");
}

#[test]
fn events_are_followed_while_they_happen() {
    let host = Host::with_busybox();
    let mut events = host
        .spawn("corten events --filter type=container --format '<{{.Action}} {{.Actor.Attributes.name}}>'");
    // It has no past to show; what it shows first says that it listens.
    host.until("it listens", || {
        host.run("corten create --name probe busybox").exits(0);
        host.run("corten rm probe").exits(0);
        events.stdout().contains("<destroy probe>")
    });
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    events.expect("<start job>");
    host.run("corten exec job true").exits(0);
    events.expect("<exec_create: true  job>");
    events.expect("<exec_start: true  job>");
    events.expect("<exec_die job>");
    host.run("corten stop -t 0 job").exits(0);
    events.expect("<kill job>");
    events.expect("<die job>");
    events.expect("<stop job>");
}

#[test]
fn a_format_that_cannot_work_is_told_before_anything_is_asked() {
    let host = Host::new();
    host.run("corten events --format '{{.Foo}}'").exits(64).stderr_has("can't evaluate field Foo");
    host.run("corten events --format '{{'").exits(64).stderr_has("Error parsing format");
}
