//! `spec`: an example `config.json`.

use std::path::{Path, PathBuf};

use oci::runtime::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, Process, Resources, Rlimit, Root, Spec,
};

use super::args::{Args, Option as Opt};
use super::{Context, Failure, HELP, Naming};

/// Options of `spec`.
pub(crate) const OPTIONS: &[Opt] = &[
    Opt::value("--bundle", Some("-b"), "DIR", "Where to write it (default: the current directory)"),
    Opt::flag("--rootless", None, "For a container in a user namespace with one user"),
    HELP,
];

/// `spec`: writes it, unless there is one.
pub(crate) fn spec(_: &Context, args: Args) -> Result<u8, Failure> {
    let directory = args.value("--bundle").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let path = directory.join("config.json");
    let mut spec = example();
    if args.has("--rootless") {
        make_rootless(&mut spec);
    }
    let text = serde_json::to_string_pretty(&spec).naming(|| "write JSON".to_owned())?;
    let mut file = std::fs::File::create_new(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(format_args!("{} exists; remove it first, it is not overwritten", path.display()))
        }
        _ => Failure::new(format_args!("create {}: {error}", path.display())),
    })?;
    std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())
        .naming(|| format!("write {}", path.display()))?;
    Ok(0)
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: strings(options),
        ..Mount::default()
    }
}

/// What `spec` writes: a shell on a terminal, isolated as runc's example is.
pub(crate) fn example() -> Spec {
    let capabilities = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Spec {
        oci_version: oci::runtime::OCI_VERSION.into(),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: Some("corten".into()),
        process: Some(Process {
            terminal: true,
            args: strings(&["sh"]),
            env: strings(&[
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ]),
            cwd: "/".into(),
            capabilities: Some(Capabilities {
                bounding: capabilities.clone(),
                effective: capabilities.clone(),
                permitted: capabilities,
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 1024, hard: 1024 }],
            no_new_privileges: true,
            ..Process::default()
        }),
        mounts: mounts(),
        linux: Some(Linux {
            resources: Some(Resources {
                devices: vec![DeviceRule {
                    allow: false,
                    access: Some("rwm".into()),
                    ..DeviceRule::default()
                }],
                ..Resources::default()
            }),
            namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"]
                .map(|kind| Namespace { kind: kind.into(), path: None })
                .to_vec(),
            masked_paths: strings(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/interrupts",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/sys/devices/virtual/powercap",
                "/sys/firmware",
                "/sys/fs/selinux",
            ]),
            readonly_paths: strings(&[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ]),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

fn mounts() -> Vec<Mount> {
    let safe = ["nosuid", "noexec", "nodev"];
    let read_only = [&safe[..], &["relatime", "ro"]].concat();
    vec![
        mount("/proc", "proc", "proc", &safe),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &[&safe[..], &["mode=1777", "size=65536k"]].concat()),
        mount("/dev/mqueue", "mqueue", "mqueue", &safe),
        mount("/sys", "sysfs", "sysfs", &[&safe[..], &["ro"]].concat()),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &read_only),
    ]
}

fn make_rootless(spec: &mut Spec) {
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|namespace| namespace.kind != "network");
        linux.namespaces.push(Namespace { kind: "user".into(), path: None });
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: uid, size: 1 }];
        linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: gid, size: 1 }];
        linux.resources = None;
    }
    // The host's network namespace has the host's /sys; group 5 is nobody's there.
    spec.mounts.retain(|mount| mount.destination != Path::new("/sys/fs/cgroup"));
    for mount in &mut spec.mounts {
        if mount.destination == Path::new("/sys") {
            *mount = Mount {
                kind: Some("none".into()),
                source: Some("/sys".into()),
                options: strings(&["rbind", "nosuid", "noexec", "nodev", "ro"]),
                ..mount.clone()
            };
        }
        mount.options.retain(|option| option != "gid=5");
    }
}
