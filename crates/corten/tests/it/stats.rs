//! `stats`: figures of the kernel, as Docker shows them.

use testkit::Host;

const HEADER: &str = "CONTAINER ID   NAME   CPU %   MEM USAGE / LIMIT   MEM %   NET I/O   BLOCK I/O   PIDS\n";

#[test]
fn running_containers_are_shown_with_their_limits_and_stopped_ones_on_demand() {
    let host = Host::with_busybox();
    host.run("corten run -d --name web -m 64m busybox sleep 1000").exits(0);
    host.run("corten run --name job busybox true").exits(0);
    let web = "[ID]   web   [..]%   [..]iB / 64MiB   [..]%   0B / 0B   [SIZE] / [SIZE]   1";
    host.run("corten stats --no-stream").prints(&format!("{HEADER}{web}"));
    let job = "[ID]   job   0.00%   0B / 0B   0.00%   0B / 0B   0B / 0B   0\n";
    host.run("corten stats --no-stream -a").prints(&format!("{HEADER}{job}{web}"));
    host.run("corten stats --no-stream --format '{{.Container}} {{.PIDs}}' web job").prints("web 1\njob 0");
    host.run("corten stats --no-stream --format '{{.Container}} {{.Name}}'").prints("[ID] web");
    host.run("corten stats --no-stream --no-trunc --format '{{.ID}}' web").prints("[ID64]");
    host.run("corten stats --no-stream --format json web").prints(
        "{\"BlockIO\":\"[..]\",\"CPUPerc\":\"[..]%\",\"Container\":\"web\",\"ID\":\"[ID]\",\"MemPerc\":\"[..]%\",\
         \"MemUsage\":\"[..] / 64MiB\",\"Name\":\"web\",\"NetIO\":\"0B / 0B\",\"PIDs\":\"1\"}",
    );
    let output = host.run("corten stats --no-stream web nope").fails_with("No such container: nope");
    assert_eq!(output.stdout(), "");
    host.run("corten stats --format '{{.Foo}}' web")
        .fails_with("can't evaluate field Foo in type *container.statsContext");
}

#[test]
fn figures_come_from_the_kernel_also_after_the_daemon_died() {
    let mut host = Host::with_busybox();
    host.run(
        "corten run -d --name job --cpus 0.5 -m 256m --pids-limit 50 --tmpfs /t busybox \
         sh -c 'head -c 50000000 /dev/zero >/t/x; sleep 1000 & echo full; while :; do :; done'",
    )
    .exits(0);
    host.until("memory is in use", || host.run("corten logs job").stdout() == "full\n");
    for time in ["at first", "after a restart"] {
        let stats = host.api("GET", "/containers/job/stats?stream=false", None).is(200).json();
        let number = |path: &str| stats.pointer(path).and_then(serde_json::Value::as_u64);
        assert!(number("/memory_stats/usage").is_some_and(|bytes| bytes > 50_000_000), "{time}: {stats}");
        assert_eq!(number("/memory_stats/limit"), Some(256 << 20), "{time}");
        assert_eq!(number("/pids_stats/current"), Some(2), "{time}");
        assert_eq!(number("/pids_stats/limit"), Some(50), "{time}");
        // Two readings lie between which it has used the processor.
        let used =
            number("/cpu_stats/cpu_usage/total_usage").zip(number("/precpu_stats/cpu_usage/total_usage"));
        assert!(used.is_some_and(|(now, before)| now > before), "{time}: {stats}");
        assert!(
            number("/cpu_stats/throttling_data/periods").is_some_and(|periods| periods > 0),
            "{time}: {stats}"
        );
        assert_eq!(stats["name"], "/job", "{time}");
        host.kill_daemon();
        host.start_daemon();
    }
    let once = host.api("GET", "/containers/job/stats?stream=false&one-shot=true", None).is(200).json();
    assert_eq!(once["preread"], "0001-01-01T00:00:00Z");
    assert_eq!(once["precpu_stats"]["cpu_usage"]["total_usage"], 0);
}

#[test]
fn the_picture_follows_containers_that_come_and_go() {
    let host = Host::with_busybox();
    let mut picture = host.terminal("corten stats --format '<{{.Name}} {{.PIDs}}>'");
    host.run("corten run -d --name web busybox sleep 1000").exits(0);
    picture.expect("<web 1>");
    host.run("corten run -d --name job busybox sleep 1000").exits(0);
    picture.expect("<job 1>");
    host.run("corten rm -f web").exits(0);
    host.until("only the other is left", || {
        let shown = picture.stdout();
        // Every picture begins at the upper left corner.
        let last = shown.rsplit("\x1b[H").nth(1).unwrap_or_default();
        last.contains("<job 1>") && !last.contains("<web")
    });
    picture.write("\x03");
    picture.exit_code();
}

#[test]
fn a_container_that_never_ran_has_empty_figures() {
    let host = Host::with_busybox();
    host.run("corten create --name job busybox true").exits(0);
    let stats = host.api("GET", "/containers/job/stats?stream=false", None).is(200).json();
    assert_eq!(stats["memory_stats"], serde_json::json!({}));
    assert_eq!(stats["read"], "0001-01-01T00:00:00Z");
    assert_eq!(stats["name"], "/job");
    host.api("GET", "/containers/nope/stats", None).is(404);
}
