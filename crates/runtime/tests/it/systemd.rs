//! `--systemd-cgroup`, with a real systemd; on machines without one only that this is said.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::bundle::{Bundle, until};

/// Whether a systemd that can be asked runs here, with cgroup v2.
fn systemd() -> bool {
    let there =
        Path::new("/run/systemd/system").is_dir() && Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !there {
        // Past the test harness, which would keep it to itself.
        let _ = writeln!(std::io::stderr(), "skipped: no systemd");
    }
    there
}

/// What systemd says of a unit: `Name=value` lines.
fn show(unit: &str, properties: &str) -> String {
    let output = Command::new("systemctl").args(["show", unit, "--property", properties]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the bundle in the background; what it answers goes to a file, for the container keeps the streams open.
#[track_caller]
fn start(bundle: &mut Bundle) {
    bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
    bundle.save();
    let path = bundle.directory.to_str().unwrap();
    let words = ["--systemd-cgroup", "run", "--detach", "--bundle", path, &bundle.id];
    let errors = bundle.directory.join("errors");
    let status = bundle
        .command(&words)
        .stdout(std::process::Stdio::null())
        .stderr(fs::File::create(&errors).unwrap())
        .status();
    assert!(status.unwrap().success(), "{}", fs::read_to_string(&errors).unwrap());
}

#[test]
fn a_machine_without_systemd_is_told_from_one_with_it() {
    let bundle = Bundle::new("no-systemd");
    if Path::new("/run/systemd/system").is_dir() {
        return;
    }
    bundle.save();
    let path = bundle.directory.to_str().unwrap();
    let error = bundle.call(&["--systemd-cgroup", "run", "--bundle", path, &bundle.id]).fails(1);
    assert!(error.contains("--systemd-cgroup: systemd is not running on this machine"), "{error}");
}

#[test]
fn a_scope_holds_the_container_and_its_limits() {
    if !systemd() {
        return;
    }
    let mut bundle = Bundle::new("scope");
    let unit = format!("corten-{}.scope", bundle.id);
    bundle.linux().cgroups_path = Some(format!("corten-test.slice:corten:{}", bundle.id));
    bundle.linux().resources = serde_json::from_str(
        r#"{"memory": {"limit": 67108864}, "pids": {"limit": 50}, "cpu": {"quota": 50000, "period": 100000},
            "unified": {"cpu.max.burst": "10000"}}"#,
    )
    .unwrap();
    start(&mut bundle);
    let properties = "ActiveState,Slice,Delegate,MemoryMax,TasksMax,CPUQuotaPerSecUSec";
    let shown = show(&unit, properties);
    for wanted in [
        "ActiveState=active",
        "Slice=corten-test.slice",
        "Delegate=yes",
        "MemoryMax=67108864",
        "TasksMax=50",
        "CPUQuotaPerSecUSec=500ms",
    ] {
        assert!(shown.lines().any(|line| line == wanted), "{wanted}: {shown}");
    }
    let path = format!("/corten.slice/corten-test.slice/{unit}");
    let pid = bundle.state()["pid"].to_string();
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap().trim(), format!("0::{path}"));
    let read =
        |file: &str| fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).unwrap().trim().to_owned();
    assert_eq!(read("cgroup.procs"), pid, "what kept the scope alive before the container is gone");
    let joined = bundle.exec(&[&bundle.id, "sh", "-c", "cat /proc/self/cgroup"]).ok();
    assert_eq!(joined.trim(), "0::/");

    // systemd sets again what it knows when it reads its configuration again.
    let changed = bundle.call(&["update", "--memory", "33554432", &bundle.id]);
    changed.ok();
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    assert!(show(&unit, "MemoryMax").contains("MemoryMax=33554432"));
    let limits = ["memory.max", "pids.max", "cpu.max", "cpu.max.burst"].map(read);
    assert_eq!(limits, ["33554432", "50", "50000 100000", "10000"]);

    bundle.call(&["delete", "--force", &bundle.id]).ok();
    until("the scope is forgotten", || show(&unit, "LoadState,ActiveState").contains("ActiveState=inactive"));
    assert!(!Path::new(&format!("/sys/fs/cgroup{path}")).exists());
}

#[test]
fn a_scope_goes_when_the_program_ends_or_never_began() {
    if !systemd() {
        return;
    }
    let mut bundle = Bundle::new("scope-end");
    let unit = format!("corten-runtime-{}.scope", bundle.id);
    bundle.process().args = ["sh", "-c", "exit 7"].map(str::to_owned).to_vec();
    bundle.save();
    let path = bundle.directory.to_str().unwrap().to_owned();
    let id = bundle.id.clone();
    let words = ["--systemd-cgroup", "run", "--bundle", &path, &id];
    assert_eq!(bundle.call(&words).code, Some(7));
    until("the scope is gone", || show(&unit, "ActiveState").contains("ActiveState=inactive"));

    bundle.process().args = vec!["/no/such/program".to_owned()];
    bundle.save();
    let error = bundle.call(&words).fails(127);
    assert!(error.contains("no such file or directory"), "{error}");
    until("the scope is gone", || show(&unit, "ActiveState").contains("ActiveState=inactive"));

    bundle.linux().cgroups_path = Some("/not/systemds".into());
    bundle.save();
    let error = bundle.call(&words).fails(1);
    assert!(error.contains("it is slice:prefix:name"), "{error}");
}
