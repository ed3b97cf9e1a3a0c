//! Namespaces: new, joined, and what is set in them.

use std::fs;

use oci::runtime::{Capabilities, IdMapping, Namespace, TimeOffset};

use crate::bundle::Bundle;

fn ours(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

fn set_path(bundle: &mut Bundle, kind: &str, path: Option<String>) {
    let path = path.map(Into::into);
    let namespaces = &mut bundle.linux().namespaces;
    namespaces.retain(|namespace| namespace.kind != kind);
    namespaces.push(Namespace { kind: kind.into(), path });
}

#[test]
fn every_listed_namespace_is_new() {
    let mut bundle = Bundle::new("new");
    let out =
        bundle.sh("for kind in mnt pid net uts ipc cgroup user; do readlink /proc/self/ns/$kind; done").ok();
    let theirs: Vec<_> = out.lines().collect();
    for (kind, theirs) in ["mnt", "pid", "net", "uts", "ipc", "cgroup"].iter().zip(&theirs) {
        assert_ne!(&ours(kind), theirs, "{kind}");
    }
    assert_eq!(ours("user"), theirs[6]);
}

#[test]
fn a_namespace_that_is_not_listed_is_shared() {
    let mut bundle = Bundle::new("shared");
    bundle.linux().namespaces.retain(|namespace| namespace.kind == "mount" || namespace.kind == "uts");
    bundle.spec.mounts.retain(|mount| mount.kind.as_deref() != Some("sysfs"));
    let out = bundle.sh("for kind in pid net ipc; do readlink /proc/self/ns/$kind; done").ok();
    assert_eq!(out.lines().collect::<Vec<_>>(), [ours("pid"), ours("net"), ours("ipc")]);
}

#[test]
fn nonsense_namespaces_are_refused() {
    let mut bundle = Bundle::new("nonsense");
    let namespaces = bundle.linux().namespaces.clone();
    for (kind, text) in [("fly", "its type is unknown"), ("pid", "it is listed twice")] {
        bundle.linux().namespaces = namespaces.clone();
        bundle.linux().namespaces.push(Namespace { kind: kind.into(), path: None });
        assert!(bundle.run(&["true"]).fails(125).contains(text), "{kind}");
    }
    bundle.linux().namespaces = namespaces.into_iter().filter(|one| one.kind != "mount").collect();
    assert!(bundle.run(&["true"]).fails(125).contains("would change the host's mounts"));
}

#[test]
fn names_and_loopback_are_set() {
    let mut bundle = Bundle::new("names");
    bundle.spec.hostname = Some("box".into());
    bundle.spec.domainname = Some("example".into());
    let out =
        bundle.sh("hostname; cat /proc/sys/kernel/domainname; ip addr show lo | grep -c LOOPBACK,UP").ok();
    assert_eq!(out, "box\nexample\n1\n");
    bundle.linux().namespaces.retain(|namespace| namespace.kind != "uts");
    let error = bundle.run(&["true"]).fails(125);
    assert!(error.contains("set hostname \"box\": the container shares the host's uts namespace"), "{error}");
}

#[test]
fn network_and_pid_namespaces_of_another_container_can_be_joined() {
    let mut first = Bundle::new("first");
    first.start();
    let pid = first.state()["pid"].as_i64().unwrap();
    let theirs = |kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let mut second = Bundle::new("second");
    for (kind, file) in [("network", "net"), ("pid", "pid"), ("ipc", "ipc")] {
        set_path(&mut second, kind, Some(format!("/proc/{pid}/ns/{file}")));
    }
    let out =
        second.sh("for kind in net pid ipc; do readlink /proc/self/ns/$kind; done; cat /proc/1/cmdline").ok();
    let mut lines = out.lines();
    for kind in ["net", "pid", "ipc"] {
        assert_eq!(lines.next().unwrap(), theirs(kind).to_str().unwrap());
    }
    assert!(out.contains("sleep"), "{out}");
}

#[test]
fn a_missing_namespace_file_is_named() {
    let mut bundle = Bundle::new("nofile");
    set_path(&mut bundle, "network", Some("/proc/1/ns/nope".into()));
    let error = bundle.run(&["true"]).fails(127);
    assert!(error.contains("open namespace \"/proc/1/ns/nope\": no such file or directory"), "{error}");
}

fn with_user_namespace(name: &str) -> Bundle {
    let mut bundle = Bundle::new(name);
    bundle.with_user_namespace();
    bundle
}

#[test]
fn a_user_namespace_has_its_mappings_devices_and_network() {
    let mut bundle = with_user_namespace("userns");
    let script = "id -u; cat /proc/self/uid_map; echo x >/dev/null && stat -c %t:%T /dev/null; touch /made; \
                  ip addr show lo | grep -c LOOPBACK,UP; ls /sys/class/net";
    let out = bundle.sh(script).ok();
    let words: Vec<_> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "1:3", "1", "lo"], "{out}");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(bundle.root("made")).unwrap().uid(), 100_000);
}

#[test]
fn a_user_namespace_takes_several_ranges() {
    let mut bundle = with_user_namespace("ranges");
    let map = |container_id, host_id, size| IdMapping { container_id, host_id, size };
    let ranges = vec![map(0, 100_000, 1000), map(1000, 300_000, 1), map(5000, 200_000, 10)];
    let chown = || vec!["CAP_CHOWN".to_owned()];
    bundle.process().capabilities = Some(Capabilities {
        bounding: chown(),
        effective: chown(),
        permitted: chown(),
        ..Capabilities::default()
    });
    bundle.linux().uid_mappings = ranges.clone();
    bundle.linux().gid_mappings = ranges;
    let out =
        bundle.sh("cat /proc/self/uid_map; touch /made; chown 5003:1000 /made; stat -c %u:%g /made").ok();
    let words: Vec<_> = out.split_whitespace().collect();
    let expected = ["0", "100000", "1000", "1000", "300000", "1", "5000", "200000", "10", "5003:1000"];
    assert_eq!(words, expected, "{out}");
    use std::os::unix::fs::MetadataExt;
    let made = fs::metadata(bundle.root("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (200_003, 300_000));
}

#[test]
fn an_id_mapped_mount_shows_other_owners_and_leaves_the_files_theirs() {
    use std::os::unix::fs::{MetadataExt, chown};
    let mut bundle = with_user_namespace("idmap");
    let source = bundle.directory.join("source");
    fs::create_dir(&source).unwrap();
    fs::File::create(source.join("file")).unwrap();
    chown(&source, Some(0), Some(0)).unwrap();
    chown(source.join("file"), Some(7), Some(8)).unwrap();
    for (option, shown, made) in [("bind", "65534:65534", None), ("idmap", "7:8", Some((0, 0)))] {
        let mounts = bundle.spec.mounts.len();
        bundle.mount("source", "/data", "bind", &["bind", option]);
        let script = "stat -c %u:%g /data/file; touch /data/made 2>/dev/null; true";
        assert_eq!(bundle.sh(script).ok().trim(), shown, "{option}");
        let owner = fs::metadata(source.join("made")).ok().map(|file| (file.uid(), file.gid()));
        assert_eq!(owner, made, "{option}");
        bundle.spec.mounts.truncate(mounts);
    }
}

#[test]
fn the_user_namespace_of_another_container_can_be_joined() {
    let mut first = with_user_namespace("userns1");
    first.start();
    let pid = first.state()["pid"].as_i64().unwrap();
    let mut second = with_user_namespace("userns2");
    second.linux().uid_mappings.clear();
    second.linux().gid_mappings.clear();
    set_path(&mut second, "user", Some(format!("/proc/{pid}/ns/user")));
    set_path(&mut second, "network", Some(format!("/proc/{pid}/ns/net")));
    let out = second.sh("id -u; readlink /proc/self/ns/user; readlink /proc/self/ns/net").ok();
    let theirs = |kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let expected = format!("0\n{}\n{}\n", theirs("user").display(), theirs("net").display());
    assert_eq!(out, expected);
}

#[test]
fn a_host_network_namespace_can_be_joined_from_a_new_user_namespace() {
    let mut bundle = with_user_namespace("userhost");
    set_path(&mut bundle, "network", Some("/proc/self/ns/net".into()));
    bundle.spec.mounts.retain(|mount| mount.kind.as_deref() != Some("sysfs"));
    bundle.spec.mounts.retain(|mount| mount.destination != std::path::Path::new("/sys/fs/cgroup"));
    let out = bundle.sh("readlink /proc/self/ns/net; id -u").ok();
    assert_eq!(out, format!("{}\n0\n", ours("net")));
}

#[test]
fn a_time_namespace_has_its_offsets() {
    let mut bundle = Bundle::new("time");
    set_path(&mut bundle, "time", None);
    let offset = TimeOffset { secs: 1_000_000, nanosecs: 0 };
    bundle.linux().time_offsets = [("boottime".to_owned(), offset), ("monotonic".to_owned(), offset)].into();
    let out = bundle.sh("readlink /proc/self/ns/time; cut -d. -f1 /proc/uptime").ok();
    let mut lines = out.lines();
    assert_ne!(lines.next().unwrap(), ours("time"));
    assert!(lines.next().unwrap().parse::<u64>().unwrap() >= 1_000_000);
}

#[test]
fn only_the_containers_own_kernel_parameters_can_be_set() {
    let mut bundle = Bundle::new("sysctl");
    bundle.linux().sysctl = [
        ("net.ipv4.ip_unprivileged_port_start".to_owned(), "80".to_owned()),
        ("kernel/shm_rmid_forced".to_owned(), "1".to_owned()),
    ]
    .into();
    let out = bundle.sh("cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start kernel/shm_rmid_forced").ok();
    assert_eq!(out, "80\n1\n");
    for key in ["kernel.core_pattern", "vm.swappiness", "net", "net..x", "kernel/../kernel/core_pattern"] {
        bundle.linux().sysctl = [(key.to_owned(), "x".to_owned())].into();
        let error = bundle.run(&["true"]).fails(125);
        assert!(error.contains("is not in a separate kernel namespace"), "{key}: {error}");
    }
    bundle.linux().sysctl = [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into();
    bundle.linux().namespaces.retain(|namespace| namespace.kind != "network");
    bundle.spec.mounts.retain(|mount| mount.kind.as_deref() != Some("sysfs"));
    assert!(bundle.run(&["true"]).fails(125).contains("is not in a separate kernel namespace"));
}
