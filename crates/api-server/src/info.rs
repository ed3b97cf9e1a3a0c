//! The document of `GET /info`.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::App;
use crate::host::{Cgroups, Host, backing_filesystem, sysctl_is_on};
use crate::version::{ApiVersion, Gate, gates};

/// What `info` answers in `version`.
pub(crate) fn document(app: &App, version: ApiVersion) -> Value {
    let (host, cgroups) = (Host::read(), Cgroups::read());
    let mut document = json!({});
    for part in [
        objects(app),
        storage_and_plugins(&app.daemon.data_root),
        limits(&cgroups, version),
        daemon(app, &cgroups),
        system(&host),
        registry(version),
        machine(app, &host),
        runtimes(version),
        security(&cgroups, version),
    ] {
        extend(&mut document, part);
    }
    extend(&mut document, json!({ "Warnings": warnings(&cgroups) }));
    if gates::SORTED_INFO.open(version) {
        document.sort_all_objects();
    }
    document
}

fn objects(app: &App) -> Value {
    let engine::Counts { all: total, running, paused, stopped } = app.engine.counts();
    json!({
        "ID": app.daemon.id,
        "Containers": total,
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": stopped,
        "Images": app.engine.images().list().len(),
    })
}

fn storage_and_plugins(data_root: &Path) -> Value {
    json!({
        "Driver": "overlay2",
        "DriverStatus": [
            ["Backing Filesystem", backing_filesystem(data_root)],
            ["Supports d_type", "true"],
            ["Using metacopy", "false"],
            ["Native Overlay Diff", "true"],
            ["userxattr", "false"],
        ],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["json-file"],
        },
    })
}

fn limits(cgroups: &Cgroups, version: ApiVersion) -> Value {
    let mut limits = json!({ "MemoryLimit": cgroups.memory, "SwapLimit": cgroups.swap });
    // Docker leaves it out when it is false.
    add_if(&mut limits, cgroups.kernel_memory_tcp, "KernelMemoryTCP", json!(true));
    add(&mut limits, gates::KERNEL_MEMORY, version, "KernelMemory", || json!(cgroups.memory));
    let more = json!({
        "CpuCfsPeriod": cgroups.cpu_quota,
        "CpuCfsQuota": cgroups.cpu_quota,
        "CPUShares": cgroups.cpu_shares,
        "CPUSet": cgroups.cpuset,
        "PidsLimit": cgroups.pids,
        "IPv4Forwarding": sysctl_is_on("/proc/sys/net/ipv4/ip_forward"),
    });
    extend(&mut limits, more);
    let bridge = |family: &str| json!(sysctl_is_on(&format!("/proc/sys/net/bridge/bridge-nf-call-{family}")));
    add(&mut limits, gates::BRIDGE_NF, version, "BridgeNfIptables", || bridge("iptables"));
    add(&mut limits, gates::BRIDGE_NF, version, "BridgeNfIp6tables", || bridge("ip6tables"));
    limits
}

fn daemon(app: &App, cgroups: &Cgroups) -> Value {
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let tasks = tokio::runtime::Handle::try_current().map_or(0, |handle| handle.metrics().num_alive_tasks());
    json!({
        "Debug": app.reloadable().debug,
        "NFd": descriptors,
        "OomKillDisable": cgroups.oom_kill_disable,
        "NGoroutines": tasks,
        "SystemTime": Timestamp::now().to_string(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if cgroups.unified { "2" } else { "1" },
        "NEventsListener": app.engine.event_listeners(),
    })
}

fn system(host: &Host) -> Value {
    json!({
        "KernelVersion": host.kernel,
        "OperatingSystem": host.system,
        "OSVersion": host.system_version,
        "OSType": "linux",
        "Architecture": host.machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
    })
}

fn machine(app: &App, host: &Host) -> Value {
    let proxy = |name: &str| {
        std::env::var(name.to_ascii_uppercase()).or_else(|_| std::env::var(name)).unwrap_or_default()
    };
    json!({
        "NCPU": host.cpus,
        "MemTotal": host.memory,
        "GenericResources": null,
        "DockerRootDir": app.daemon.data_root,
        "HttpProxy": without_password(&proxy("http_proxy")),
        "HttpsProxy": without_password(&proxy("https_proxy")),
        "NoProxy": proxy("no_proxy"),
        "Name": host.name,
        "Labels": app.reloadable().labels,
        "ExperimentalBuild": false,
        "ServerVersion": crate::VERSION,
    })
}

/// Hides `user:password` of a proxy's address.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("xxxxx:xxxxx@{host}"),
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => address.to_owned(),
    }
}

fn registry(version: ApiVersion) -> Value {
    let mut registry = json!({
        "IndexConfigs": {
            "docker.io": { "Mirrors": [], "Name": "docker.io", "Official": true, "Secure": true },
        },
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "Mirrors": null,
    });
    for name in ["AllowNondistributableArtifactsCIDRs", "AllowNondistributableArtifactsHostnames"] {
        add(&mut registry, gates::NONDISTRIBUTABLE, version, name, || Value::Null);
    }
    json!({ "RegistryConfig": registry })
}

fn runtimes(version: ApiVersion) -> Value {
    // One runtime, under the names that a container may ask for.
    let mut runtime = json!({ "path": "corten-runtime" });
    add(&mut runtime, gates::RUNTIME_STATUS, version, "status", || json!({}));
    json!({
        "Runtimes": { "corten": runtime, "io.containerd.runc.v2": runtime, "runc": runtime },
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": commit("", version),
        "RuncCommit": commit(option_env!("CORTEN_GIT_COMMIT").unwrap_or_default(), version),
        "InitCommit": commit("", version),
    })
}

fn commit(id: &str, version: ApiVersion) -> Value {
    let mut commit = json!({ "ID": id });
    if !id.is_empty() {
        add(&mut commit, gates::EXPECTED_COMMITS, version, "Expected", || json!(id));
    }
    commit
}

fn security(cgroups: &Cgroups, version: ApiVersion) -> Value {
    let plain = gates::PLAIN_SECURITY_OPTIONS.open(version);
    let mut options = vec![if plain { "seccomp" } else { "name=seccomp,profile=builtin" }];
    if cgroups.unified {
        options.push(if plain { "cgroupns" } else { "name=cgroupns" });
    }
    json!({ "SecurityOptions": options, "CDISpecDirs": [] })
}

/// What a container cannot be given here; null when nothing is missing.
fn warnings(cgroups: &Cgroups) -> Value {
    let missing: Vec<_> = [
        (cgroups.memory, "WARNING: No memory limit support"),
        (cgroups.swap, "WARNING: No swap limit support"),
        (cgroups.oom_kill_disable || cgroups.unified, "WARNING: No oom kill disable support"),
        (cgroups.cpu_quota, "WARNING: No cpu cfs quota support"),
        (cgroups.cpu_quota, "WARNING: No cpu cfs period support"),
        (cgroups.cpu_shares, "WARNING: No cpu shares support"),
        (cgroups.cpuset, "WARNING: No cpuset support"),
        (cgroups.pids, "WARNING: No pids limit support"),
    ]
    .into_iter()
    .filter_map(|(there, warning)| (!there).then_some(warning))
    .collect();
    if missing.is_empty() { Value::Null } else { json!(missing) }
}

fn extend(to: &mut Value, with: Value) {
    if let (Value::Object(members), Value::Object(more)) = (to, with) {
        members.extend(more);
    }
}

fn add(to: &mut Value, gate: Gate, version: ApiVersion, name: &str, value: impl FnOnce() -> Value) {
    add_if(to, gate.open(version), name, if gate.open(version) { value() } else { Value::Null });
}

fn add_if(to: &mut Value, wanted: bool, name: &str, value: Value) {
    if let (true, Value::Object(members)) = (wanted, to) {
        members.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_proxies_are_hidden() {
        for (address, shown) in [
            ("http://a:b@proxy:1", "http://xxxxx:xxxxx@proxy:1"),
            ("a:b@proxy", "xxxxx:xxxxx@proxy"),
            ("http://proxy", "http://proxy"),
            ("", ""),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }
}
