//! Engines that die, shims that die or are stopped.
//!
//! An engine dies here by having its tokio runtime taken away, which closes its sockets as the kernel would.

use std::time::{Duration, Instant};

use api_types::exec::{ExecCreateRequest, ExecStartRequest};
use engine::params::{ListQuery, RemoveOptions, WaitCondition};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use crate::kit::{Kit, slowness};

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Runs `before` with one engine, lets that die, and runs `after` with the next.
fn with_two_engines<T>(name: &str, before: impl AsyncFnOnce(Kit) -> T, after: impl AsyncFnOnce(Kit, T)) {
    let first = Runtime::new().unwrap();
    let state = first.block_on(async { before(Kit::new(name).await).await });
    first.shutdown_background();
    let second = Runtime::new().unwrap();
    second.block_on(async { after(Kit::open(name).await, state).await });
}

#[test]
fn a_running_container_is_taken_over() {
    with_two_engines(
        "takeover",
        async |kit| {
            kit.create("one", "cat; exit 5", |request| request.config.open_stdin = true).await;
            kit.engine.start("one").await.unwrap();
            let exec = ExecCreateRequest {
                cmd: vec!["sleep".into(), "1000".into()],
                ..ExecCreateRequest::default()
            };
            let exec = kit.engine.exec_create("one", exec).await.unwrap();
            kit.engine
                .exec_start(&exec, ExecStartRequest { detach: true, ..ExecStartRequest::default() }, None)
                .await
                .unwrap();
            (kit.engine.inspect("one", false).await.unwrap().state, exec)
        },
        async |kit, (before, exec)| {
            let state = kit.engine.inspect("one", false).await.unwrap().state;
            assert_eq!(state, before);
            let inspect = kit.engine.exec_inspect(&exec).await.unwrap();
            assert!(inspect.running);
            assert_eq!(inspect.process_config.arguments, ["1000"]);
            kit.engine.stop("one", None, Some(0)).await.unwrap();
            assert_eq!(kit.engine.inspect("one", false).await.unwrap().state.exit_code, 137);
            kit.finish().await;
        },
    );
}

#[test]
fn an_end_that_no_engine_saw_is_known_to_the_next() {
    with_two_engines(
        "unseen",
        async |kit| {
            kit.create("one", "while ! [ -e /go ]; do sleep 0.01; done; exit 7", |_| {}).await;
            kit.create("gone", "while ! [ -e /go ]; do sleep 0.01; done", |request| {
                request.host_config.auto_remove = true
            })
            .await;
            let mut pids = Vec::new();
            for name in ["one", "gone"] {
                kit.engine.start(name).await.unwrap();
                pids.push(kit.engine.inspect(name, false).await.unwrap().state.pid);
            }
            pids
        },
        async |kit, pids| {
            // Taken over running; ended under a third engine's eyes is the ordinary case, so let a second one go too.
            for pid in pids {
                let root = format!("/proc/{pid}/root/go");
                std::fs::File::create(root).unwrap();
            }
            let wait = kit.engine.wait("one", WaitCondition::NotRunning).await.unwrap();
            assert_eq!(wait.await.unwrap().unwrap().exit_code, 7);
            let gone = kit.engine.wait("gone", WaitCondition::Removed).await;
            if let Ok(gone) = gone {
                assert_eq!(gone.await.unwrap().unwrap().exit_code, 0);
            }
            assert_eq!(
                kit.engine.list(ListQuery { all: true, ..ListQuery::default() }).await.unwrap().len(),
                1
            );
            kit.finish().await;
        },
    );
}

#[test]
fn an_exit_while_nobody_watches_is_on_disk() {
    with_two_engines(
        "ondisk",
        async |kit| {
            kit.create("one", "read line; exit 7", |_| {}).await;
            kit.create("two", "while ! [ -e /go ]; do sleep 0.01; done; exit 8", |_| {}).await;
            kit.engine.start("two").await.unwrap();
            let pid = kit.engine.inspect("two", false).await.unwrap().state.pid;
            let shim = kit.shim_pid("two").await;
            // Ends 300 ms from now, when the engine is gone.
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                std::fs::File::create(format!("/proc/{pid}/root/go")).unwrap();
            });
            shim
        },
        async |kit, shim| {
            let end = Instant::now() + Duration::from_secs(10);
            while kit.engine.inspect("two", false).await.unwrap().state.running {
                assert!(Instant::now() < end, "the end is never noticed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(kit.engine.inspect("two", false).await.unwrap().state.exit_code, 8);
            while std::path::Path::new(&format!("/proc/{shim}/exe")).exists() {
                assert!(Instant::now() < end, "the shim does not leave");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            kit.finish().await;
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_is_reported_for_what_it_is() {
    let kit = Kit::new("shimkill").await;
    kit.create("one", "sleep 1000", |_| {}).await;
    kit.engine.start("one").await.unwrap();
    let wait = kit.engine.wait("one", WaitCondition::NextExit).await.unwrap();
    signal(kit.shim_pid("one").await, Signal::KILL);
    assert_eq!(wait.await.unwrap().unwrap().exit_code, 137);
    let state = kit.engine.inspect("one", false).await.unwrap().state;
    assert_eq!(state.status, "exited");
    assert!(state.error.contains("its supervisor was killed"), "{}", state.error);
    kit.engine.start("one").await.unwrap();
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_shim_holds_nobody_up() {
    let kit = Kit::new("shimstop").await;
    for name in ["kill", "remove"] {
        kit.create(name, "sleep 1000", |_| {}).await;
        kit.engine.start(name).await.unwrap();
        signal(kit.shim_pid(name).await, Signal::STOP);
    }
    let begin = Instant::now();
    kit.engine.inspect("kill", false).await.unwrap();
    kit.engine.list(ListQuery::default()).await.unwrap();
    let exec = ExecCreateRequest { cmd: vec!["true".into()], ..ExecCreateRequest::default() };
    let exec = kit.engine.exec_create("kill", exec).await.unwrap();
    let error = kit.engine.prepare_exec(&exec, &ExecStartRequest::default()).await.unwrap_err();
    assert!(error.message().contains("does not answer"), "{error}");
    kit.engine.kill("kill", "").await.unwrap();
    kit.engine.remove("remove", RemoveOptions { force: true, ..RemoveOptions::default() }).await.unwrap();
    // Two seconds for the exec that is refused, and what killing takes.
    assert!(begin.elapsed() < Duration::from_secs(6) * slowness(), "{:?}", begin.elapsed());
    assert_eq!(kit.engine.inspect("kill", false).await.unwrap().state.exit_code, 137);
    kit.finish().await;
}
