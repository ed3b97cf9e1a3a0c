//! The life of a container.

use engine::ErrorKind;
use engine::params::{RemoveOptions, WaitCondition};

use crate::kit::Kit;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_and_is_removed() {
    let kit = Kit::new("runs").await;
    kit.create("one", "echo out; echo err >&2; exit 3", |_| {}).await;
    let (code, output) = kit.run_attached("one").await;
    assert_eq!(code, 3);
    let mut frames: Vec<&[u8]> = vec![b"\x01\0\0\0\0\0\0\x04out\n", b"\x02\0\0\0\0\0\0\x04err\n"];
    if !output.starts_with(frames[0]) {
        frames.reverse();
    }
    assert_eq!(output, frames.concat());
    let inspect = kit.engine.inspect("one", false).await.unwrap();
    assert_eq!((inspect.state.status.as_str(), inspect.state.exit_code), ("exited", 3));
    kit.engine.remove("one", RemoveOptions::default()).await.unwrap();
    assert_eq!(kit.engine.inspect("one", false).await.unwrap_err().kind(), ErrorKind::NotFound);
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_reported_and_the_container_stays_created() {
    let kit = Kit::new("missing").await;
    kit.create("one", "", |request| request.config.cmd = Some(vec!["no-such".into()])).await;
    let error = kit.engine.start("one").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidParameter, "{error}");
    assert!(error.message().contains("exec: \"no-such\": executable file not found in $PATH"), "{error}");
    let state = kit.engine.inspect("one", false).await.unwrap().state;
    assert_eq!((state.status.as_str(), state.exit_code), ("created", 127));
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_gets_the_limits_too() {
    let kit = Kit::new("user").await;
    kit.create("one", "id -u; ulimit -n", |request| {
        request.config.user = "1000".into();
        request.config.tty = true;
    })
    .await;
    let (code, output) = kit.run_attached("one").await;
    assert_eq!((code, String::from_utf8_lossy(&output).as_ref()), (0, "1000\r\n1024\r\n"));
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_remove_answers_the_exit_code_after_the_removal() {
    let kit = Kit::new("autorm").await;
    kit.create("one", "exit 9", |request| request.host_config.auto_remove = true).await;
    let wait = kit.engine.wait("one", WaitCondition::Removed).await.unwrap();
    kit.engine.start("one").await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap().exit_code, 9);
    assert!(kit.engine.inspect("one", false).await.is_err());
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_kill_and_forced_removal_end_a_container() {
    let kit = Kit::new("ends").await;
    for name in ["stop", "kill", "remove"] {
        kit.create(name, "sleep 1000", |_| {}).await;
        kit.engine.start(name).await.unwrap();
    }
    kit.engine.stop("stop", None, Some(0)).await.unwrap();
    kit.engine.kill("kill", "").await.unwrap();
    for name in ["stop", "kill"] {
        assert_eq!(kit.engine.inspect(name, false).await.unwrap().state.exit_code, 137, "{name}");
    }
    kit.engine.remove("remove", RemoveOptions { force: true, ..RemoveOptions::default() }).await.unwrap();
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_a_container_that_removes_itself() {
    let kit = Kit::new("kept").await;
    kit.create("one", "echo x > /written; sleep 1000", |request| request.host_config.auto_remove = true)
        .await;
    kit.engine.start("one").await.unwrap();
    kit.engine.restart("one", None, Some(0)).await.unwrap();
    assert!(kit.engine.inspect("one", false).await.unwrap().state.running);
    let wait = kit.engine.wait("one", WaitCondition::Removed).await.unwrap();
    kit.engine.kill("one", "").await.unwrap();
    assert_eq!(wait.await.unwrap().unwrap().exit_code, 137);
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_shim_gives_its_network_or_leaves_it() {
    let kit = Kit::new("ready").await;
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    for round in 0..3 {
        for (mode, host) in [("none", false), ("host", true)] {
            let name = format!("{mode}{round}");
            kit.create(&name, "sleep 1000", |request| request.host_config.network_mode = mode.into()).await;
            kit.engine.start(&name).await.unwrap();
            let pid = kit.engine.inspect(&name, false).await.unwrap().state.pid;
            let network = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
            assert_eq!(network == own, host, "{name}");
            let shim = std::fs::read_link(format!("/proc/{}/ns/net", kit.shim_pid(&name).await)).unwrap();
            assert_eq!(shim, own, "{name}");
        }
    }
    kit.finish().await;
}
