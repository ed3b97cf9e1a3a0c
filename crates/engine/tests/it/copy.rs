//! Files in and out of containers.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::ErrorKind;
use engine::params::{CopyOptions, RemoveOptions};
use engine::pipe::ByteStream;
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::kit::Kit;

/// An archive of files with their content.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn body(bytes: Vec<u8>) -> ByteStream {
    stream::iter([Ok(bytes.into())]).boxed()
}

async fn put(kit: &Kit, name: &str, path: &str, files: &[(&str, &str)]) -> engine::error::Result<()> {
    kit.engine.write_path(name, path, CopyOptions::default(), body(tar(files))).await
}

/// Names and contents of what is at a path.
async fn get(kit: &Kit, name: &str, path: &str) -> Vec<(String, String)> {
    let (_, stream) = kit.engine.read_path(name, path).await.unwrap();
    let pieces: Vec<_> = stream.collect().await;
    let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.push((name, String::from_utf8_lossy(&content).into_owned()));
    }
    files
}

/// A folder of the host with one file in it.
fn host_folder(name: &str, file: &str, content: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("corten-engine-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    linux::fs::replace(&folder.join(file), content.as_bytes()).unwrap();
    folder
}

fn file(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_in_and_out_in_every_state() {
    let kit = Kit::new("copy-states").await;
    kit.create("one", "sleep 1000", |_| {}).await;
    let engine = &kit.engine;
    for (state, step) in [("created", 0), ("running", 1), ("paused", 2), ("exited", 3), ("running", 4)] {
        match step {
            1 | 4 => engine.start("one").await.unwrap(),
            2 => engine.pause("one").await.unwrap(),
            3 => {
                engine.unpause("one").await.unwrap();
                engine.stop("one", None, Some(0)).await.unwrap();
            }
            _ => {}
        }
        assert_eq!(engine.inspect("one", false).await.unwrap().state.status, state);
        let name = format!("file-{step}");
        put(&kit, "one", "/", &[(&name, state)]).await.unwrap();
        assert_eq!(get(&kit, "one", &format!("/{name}")).await, [file(&name, state)]);
        let stat = engine.stat_path("one", &format!("/{name}")).await.unwrap();
        assert_eq!((stat.name.as_str(), stat.size), (name.as_str(), i64::try_from(state.len()).unwrap()));
    }
    let changes = engine.changes("one").await.unwrap();
    let added = changes.iter().filter(|change| change.path.to_string_lossy().starts_with("/file-")).count();
    assert_eq!(added, 5, "{changes:?}");
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn binds_are_seen_and_their_read_only_ones_respected() {
    let kit = Kit::new("copy-binds").await;
    let host = host_folder("copy-host", "there", "bound");
    let source = host.display().to_string();
    kit.create("one", "sleep 1000", |request| {
        request.host_config.binds =
            Some(vec![format!("{source}:/new/rw"), format!("{source}:/ro:ro"), format!("{source}:/new/rw2")]);
        request.host_config.readonly_rootfs = true;
    })
    .await;
    for running in [false, true] {
        if running {
            kit.engine.start("one").await.unwrap();
        }
        assert_eq!(get(&kit, "one", "/new/rw/there").await, [file("there", "bound")], "running: {running}");
        put(&kit, "one", "/new/rw", &[("in", "x")]).await.unwrap();
        assert_eq!(std::fs::read_to_string(host.join("in")).unwrap(), "x");
        std::fs::remove_file(host.join("in")).unwrap();
        for (path, message) in [
            ("/ro", "mounted volume is marked read-only"),
            ("/", "container rootfs is marked read-only"),
            ("/new/rw/there", "extraction point is not a directory"),
        ] {
            let error = put(&kit, "one", path, &[("in", "x")]).await.unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidParameter, message), "{path}");
        }
    }
    assert!(!host.join("in").exists());
    kit.finish().await;
    std::fs::remove_dir_all(host).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernels_file_systems_look_empty() {
    let kit = Kit::new("copy-kernel").await;
    kit.create("one", "sleep 1000", |_| {}).await;
    kit.engine.start("one").await.unwrap();
    let names: Vec<String> = get(&kit, "one", "/.").await.into_iter().map(|(name, _)| name).collect();
    for folder in ["./proc/", "./sys/", "./dev/"] {
        assert_eq!(names.iter().filter(|name| name.starts_with(folder)).count(), 1, "{folder}: {names:?}");
    }
    for path in ["/proc/version", "/dev/null", "/proc/1/root/etc", "/sys/kernel"] {
        let error = kit.engine.stat_path("one", path).await.unwrap_err();
        assert_eq!(error.message(), format!("Could not find the file {path} in container one"));
    }
    for path in ["/proc", "/dev", "/sys"] {
        assert!(put(&kit, "one", path, &[("in", "x")]).await.is_err(), "{path}");
    }
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_exchanges_links_gets_and_gives_nothing_of_the_host() {
    let kit = Kit::new("copy-race").await;
    let host = host_folder("race-host", "secret", "host");
    let target = host.display().to_string();
    // `up` is a folder with a file one moment and a link to the host's folder the next.
    let script = format!(
        "mkdir -p /w/up; echo mine >/w/up/secret; cd /w; while :; do mv up a; ln -s {target} up; rm up; \
         ln -s ../../../../../../../..{target} up; rm up; mv a up; done"
    );
    kit.create("one", &script, |_| {}).await;
    kit.engine.start("one").await.unwrap();
    let found = AtomicBool::new(false);
    let (mut written, mut read) = (0, 0);
    for _ in 0..200 {
        let put = put(&kit, "one", "/w/up", &[("evil", "x"), ("sub/evil", "x")]).await;
        written += usize::from(put.is_ok());
        if let Ok((_, stream)) = kit.engine.read_path("one", "/w/up/secret").await {
            let pieces: Vec<_> = stream.collect().await;
            let bytes: Vec<u8> =
                pieces.into_iter().filter_map(Result::ok).flat_map(|piece| piece.to_vec()).collect();
            read += usize::from(bytes.windows(4).any(|part| part == b"mine"));
            found.fetch_or(bytes.windows(4).any(|part| part == b"host"), Ordering::Relaxed);
        }
    }
    assert!(written > 0 && read > 0, "nothing was copied at all: {written} in, {read} out");
    assert!(!found.into_inner(), "the host's file was read");
    let names: Vec<_> = std::fs::read_dir(&host).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    kit.finish().await;
    std::fs::remove_dir_all(host).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_wait_for_a_client_that_sends_nothing() {
    let kit = Kit::new("copy-stalled").await;
    kit.create("one", "sleep 1000", |_| {}).await;
    let engine = kit.engine.clone();
    let first = tar(&[("arrived", "x"), ("late", "x")])[..1536].to_vec();
    let (seen, begun) = tokio::sync::oneshot::channel();
    let stalled = stream::once(async move { Ok(first.into()) })
        .chain(stream::once(async move {
            // Asked for more: what was sent is being extracted.
            let _ = seen.send(());
            std::future::pending().await
        }))
        .boxed();
    let copy = tokio::spawn(async move {
        engine.write_path("one", "/", CopyOptions::default(), stalled).await.unwrap_err()
    });
    begun.await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), kit.engine.start("one")).await.unwrap().unwrap();
    let error = copy.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("cut off"), "{error}");
    put(&kit, "one", "/", &[("live", "x")]).await.unwrap();
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_does_not_wait_for_a_client_either() {
    let kit = Kit::new("copy-removed").await;
    kit.create("one", "true", |_| {}).await;
    let engine = kit.engine.clone();
    let (seen, begun) = tokio::sync::oneshot::channel();
    let stalled = stream::once(async move {
        let _ = seen.send(());
        std::future::pending().await
    })
    .boxed();
    let copy = tokio::spawn(async move {
        engine.write_path("one", "/", CopyOptions::default(), stalled).await.unwrap_err()
    });
    begun.await.unwrap();
    kit.engine.remove("one", RemoveOptions::default()).await.unwrap();
    copy.await.unwrap();
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_can_be_read_while_the_shim_is_stopped() {
    let kit = Kit::new("copy-silent").await;
    kit.create("one", "echo said >/said; sleep 1000", |_| {}).await;
    kit.engine.start("one").await.unwrap();
    while kit.engine.stat_path("one", "/said").await.map_or(0, |stat| stat.size) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let shim = rustix::process::Pid::from_raw(kit.shim_pid("one").await).unwrap();
    rustix::process::kill_process(shim, rustix::process::Signal::STOP).unwrap();
    assert_eq!(get(&kit, "one", "/said").await, [file("said", "said\n")]);
    let error = put(&kit, "one", "/", &[("in", "x")]).await.unwrap_err();
    assert!(error.message().contains("supervisor does not answer"), "{error}");
    rustix::process::kill_process(shim, rustix::process::Signal::CONT).unwrap();
    put(&kit, "one", "/", &[("in", "x")]).await.unwrap();
    kit.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_the_files_without_what_is_mounted() {
    let kit = Kit::new("export").await;
    kit.create("one", "echo x >/made; rm /bin/id; sleep 1000", |_| {}).await;
    for running in [false, true] {
        if running {
            kit.engine.start("one").await.unwrap();
            while kit.engine.stat_path("one", "/bin/id").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let stream = kit.engine.export("one").await.unwrap();
        let pieces: Vec<_> = stream.collect().await;
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
        let names: Vec<String> = tar::Archive::new(&bytes[..])
            .entries()
            .unwrap()
            .map(|entry| String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned())
            .collect();
        assert!(names.contains(&"bin/busybox".to_owned()), "{names:?}");
        assert_eq!(names.contains(&"made".to_owned()), running, "{names:?}");
        assert_eq!(names.contains(&"bin/id".to_owned()), !running, "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("proc/1") || name == "dev/null"), "{names:?}");
    }
    kit.finish().await;
}
