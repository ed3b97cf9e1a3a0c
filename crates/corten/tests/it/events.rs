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

/// What a line looks like without its time and its container, as a real dockerd has it.
fn told(host: &Host, filters: &str) -> String {
    let line = format!("corten events --since 0 --until $(date +%s.%N) {filters}");
    let text = host.run(&line).exits(0).stdout();
    let id = host.run("corten ps -aq --no-trunc --filter name=job").line();
    let lines = text.lines().map(|line| line.split_once(' ').map_or("", |(_, rest)| rest));
    lines.map(|line| line.replace(&format!("{id} "), "") + "\n").collect()
}

#[test]
fn every_command_is_told_with_dockers_attributes() {
    let host = Host::with_busybox();
    host.run("corten create --name job busybox sleep 1000").exits(0);
    host.run("corten start job").exits(0);
    host.run("corten exec job sh -c 'exit 4'").exits(4);
    host.run("corten exec job nosuch").exits(127);
    host.run("corten kill -s USR1 job").exits(0);
    host.api("POST", "/containers/job/resize?h=10&w=20", None).is(200);
    host.api("GET", "/containers/job/top", None).is(200);
    host.run("corten update --pids-limit 50 job").exits(0);
    host.api("POST", "/containers/job/pause", None).is(204);
    host.run("corten stop -t 0 job").exits(0);
    host.run("corten start job").exits(0);
    host.api("POST", "/containers/job/restart?t=0", None).is(204);
    host.api("POST", "/containers/job/rename?name=job2", None).is(204);
    let told = told(&host, "--filter type=container");
    let lines: Vec<&str> = told.lines().collect();
    let exec = |line: &str| {
        let (before, after) = line.split_once("execID=").unwrap();
        format!("{before}execID=X{}", &after[64..])
    };
    let lines: Vec<String> = lines
        .into_iter()
        .map(|line| if line.contains("execID=") { exec(line) } else { line.to_owned() })
        .collect();
    let plain = "(image=busybox, name=job)";
    let ended = "(execDuration=0, exitCode=137, image=busybox, name=job)";
    let wanted = [
        format!("create {plain}"),
        format!("start {plain}"),
        "exec_create: sh -c exit 4 (execID=X, image=busybox, name=job)".to_owned(),
        "exec_start: sh -c exit 4 (execID=X, image=busybox, name=job)".to_owned(),
        "exec_die (execID=X, exitCode=4, image=busybox, name=job)".to_owned(),
        "exec_create: nosuch  (execID=X, image=busybox, name=job)".to_owned(),
        "exec_start: nosuch  (execID=X, image=busybox, name=job)".to_owned(),
        "kill (image=busybox, name=job, signal=10)".to_owned(),
        "resize (height=10, image=busybox, name=job, width=20)".to_owned(),
        format!("top {plain}"),
        format!("update {plain}"),
        format!("pause {plain}"),
        "kill (image=busybox, name=job, signal=15)".to_owned(),
        format!("unpause {plain}"),
        "kill (image=busybox, name=job, signal=9)".to_owned(),
        format!("die {ended}"),
        format!("stop {plain}"),
        format!("start {plain}"),
        "kill (image=busybox, name=job, signal=15)".to_owned(),
        "kill (image=busybox, name=job, signal=9)".to_owned(),
        format!("die {ended}"),
        format!("stop {plain}"),
        format!("start {plain}"),
        format!("restart {plain}"),
        "rename (image=busybox, name=job2, oldName=/job)".to_owned(),
    ];
    // How long it ran is the machine's affair.
    let without_duration = |line: &str| match line.split_once("execDuration=") {
        Some((before, after)) => {
            format!("{before}execDuration=0{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_owned(),
    };
    let lines: Vec<String> = lines.iter().map(|line| without_duration(line)).collect();
    assert_eq!(lines, wanted.map(|line| format!("container {line}")));
}

#[test]
fn a_removal_by_force_is_a_kill_and_a_start_that_fails_is_no_end() {
    let host = Host::with_busybox();
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    host.run("corten rm -f job").exits(0);
    host.run("corten run --name other busybox nosuch").exits(127);
    host.run("corten rm other").exits(0);
    assert_eq!(
        actions(&host, "--filter type=container"),
        "container/create container/start container/kill container/die container/destroy \
         container/create container/attach container/destroy"
    );
}

#[test]
fn filters_narrow_as_dockers_do() {
    let host = Host::with_busybox();
    host.run("corten create --name web1 --label tier=a busybox").exits(0);
    host.run("corten create --name web2 --label tier=b busybox").exits(0);
    host.run("corten tag busybox shop:1").exits(0);
    host.run("corten create --name job shop:1").exits(0);
    let named = |filters: &str| {
        let format = "--format '{{.Action}}:{{.Actor.Attributes.name}}'";
        let line = format!(
            "corten events --since 0 --until $(date +%s.%N) --filter event=create {filters} {format}"
        );
        host.run(&line).exits(0).stdout().replace('\n', " ").trim_end().to_owned()
    };
    for (filters, found) in [
        ("", "create:web1 create:web2 create:job"),
        ("--filter container=web", "create:web1 create:web2"),
        ("--filter container=eb1", ""),
        ("--filter label=tier", "create:web1 create:web2"),
        ("--filter label=tier=a", "create:web1"),
        ("--filter label=tier --filter label=tier=b", "create:web2"),
        ("--filter image=shop", "create:job"),
        ("--filter image=shop:1", "create:job"),
        ("--filter image=shop:2", ""),
        ("--filter type=container --filter scope=local", "create:web1 create:web2 create:job"),
        ("--filter scope=swarm", ""),
        ("--filter volume=web1", ""),
        ("--filter nobody-knows=x", "create:web1 create:web2 create:job"),
    ] {
        assert_eq!(named(filters), found, "{filters}");
    }
    host.run("corten events --since 0 --until $(date +%s.%N) --filter event=tag --format '{{.Actor.Attributes.name}}'")
        .prints("busybox:latest\nshop:1");
}

#[test]
fn the_past_begins_with_the_daemon() {
    let mut host = Host::with_busybox();
    host.run("corten create --name job busybox").exits(0);
    assert_eq!(actions(&host, "--filter container=job"), "container/create");
    host.restart_daemon();
    assert_eq!(actions(&host, "--filter container=job"), "");
    host.run("corten events --since 5 --until 3")
        .fails_with("`since` time (5) cannot be after `until` time (3)");
    host.run("corten events --since x").fails_with("failed to parse value as time or duration: \"x\"");
}

#[test]
fn a_format_that_cannot_work_is_told_before_anything_is_asked() {
    let host = Host::new();
    host.run("corten events --format '{{.Foo}}'").exits(64).stderr_has("can't evaluate field Foo");
    host.run("corten events --format '{{'").exits(64).stderr_has("Error parsing format");
}
