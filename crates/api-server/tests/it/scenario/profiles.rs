//! Containers that are asked for in many ways, each inspected in every state that it can be brought to.

use serde_json::{Value, json};
use testkit::wait;

use super::{IMAGE, See};
use crate::client::PATIENCE;

/// Versions in which one container is inspected: each side of a change that Docker made.
const VERSIONS: [&str; 14] = [
    "1.24", "1.25", "1.29", "1.30", "1.39", "1.40", "1.41", "1.43", "1.44", "1.45", "1.46", "1.47", "1.48",
    "1.51",
];

/// A container's name, and what is asked for.
struct Profile {
    name: &'static str,
    request: Value,
    /// Inspect, list and run it, rather than create and inspect it.
    runs: bool,
}

/// Runs them all.
pub(super) fn run(see: &mut See<'_>) {
    for Profile { name, request, runs } in profiles() {
        let name = format!("shape-{name}");
        see(&format!("{name}: create"), "POST", &format!("/containers/create?name={name}"), Some(request));
        see(&format!("{name}: inspect created"), "GET", &format!("/containers/{name}/json"), None);
        if runs {
            see(&format!("{name}: start"), "POST", &format!("/containers/{name}/start"), None);
            see(&format!("{name}: inspect running"), "GET", &format!("/containers/{name}/json"), None);
            let only = format!("/containers/json?all=1&filters={{\"name\":[\"{name}\"]}}");
            see(&format!("{name}: list"), "GET", &only, None);
            if name == "shape-full" {
                for version in VERSIONS {
                    let at = |target: &str| format!("/v{version}{target}");
                    see(
                        &format!("{name}: inspect {version}"),
                        "GET",
                        &at(&format!("/containers/{name}/json?size=1")),
                        None,
                    );
                    see(&format!("{name}: list {version}"), "GET", &at(&only), None);
                }
                update(see, &name);
            }
        }
        see(&format!("{name}: remove"), "DELETE", &format!("/containers/{name}?force=1&v=1"), None);
    }
    healthy(see);
    busy(see);
    unstartable(see);
    restarting(see);
}

fn profiles() -> Vec<Profile> {
    let profile = |name, request| Profile { name, request, runs: false };
    vec![
        profile("bare", json!({"Image": IMAGE, "Cmd": ["true"]})),
        profile("null", nulls()),
        profile("empty", empties()),
        profile("client", of_docker_s_client()),
        profile(
            "words",
            json!({"Image": IMAGE, "Cmd": "true", "Entrypoint": "/bin/echo", "HostConfig": {"NetworkMode": "none"}}),
        ),
        profile(
            "privileged",
            json!({"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"Privileged": true, "NetworkMode": "none"}}),
        ),
        profile(
            "uts",
            json!({"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"UTSMode": "host", "NetworkMode": "none"}}),
        ),
        profile(
            "host",
            json!({"Image": IMAGE, "Cmd": ["true"], "HostConfig": {
                "NetworkMode": "host", "PidMode": "host", "IpcMode": "host", "UTSMode": "host", "CgroupnsMode": "host",
            }}),
        ),
        Profile { name: "full", request: full(), runs: true },
    ]
}

/// Every member null that can be.
fn nulls() -> Value {
    json!({
        "Image": IMAGE, "Cmd": ["true"], "Entrypoint": null, "Env": null, "ExposedPorts": null, "Volumes": null,
        "OnBuild": null, "Labels": null, "Shell": null, "Healthcheck": null, "StopTimeout": null,
        "NetworkingConfig": null,
        "HostConfig": {
            "NetworkMode": "none", "Binds": null, "LogConfig": null, "PortBindings": null, "RestartPolicy": null,
            "VolumesFrom": null, "Annotations": null, "CapAdd": null, "CapDrop": null, "Dns": null,
            "DnsOptions": null, "DnsSearch": null, "ExtraHosts": null, "GroupAdd": null, "Links": null,
            "SecurityOpt": null, "StorageOpt": null, "Tmpfs": null, "Sysctls": null, "BlkioWeightDevice": null,
            "BlkioDeviceReadBps": null, "BlkioDeviceWriteBps": null, "BlkioDeviceReadIOps": null,
            "BlkioDeviceWriteIOps": null, "Devices": null, "DeviceCgroupRules": null, "DeviceRequests": null,
            "MemorySwappiness": null, "OomKillDisable": null, "PidsLimit": null, "Ulimits": null, "Mounts": null,
            "MaskedPaths": null, "ReadonlyPaths": null, "Init": null, "ConsoleSize": null,
        },
    })
}

/// Every list and map empty.
fn empties() -> Value {
    json!({
        "Image": IMAGE, "Cmd": ["true"], "Entrypoint": [], "Env": [], "ExposedPorts": {}, "Volumes": {},
        "OnBuild": [], "Labels": {}, "Shell": [], "Healthcheck": {}, "StopTimeout": 0, "StopSignal": "",
        "NetworkingConfig": {"EndpointsConfig": {}},
        "HostConfig": {
            "NetworkMode": "none", "Binds": [], "LogConfig": {"Type": "", "Config": {}}, "PortBindings": {},
            "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}, "VolumesFrom": [], "Annotations": {},
            "CapAdd": [], "CapDrop": [], "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": [],
            "GroupAdd": [], "Links": [], "SecurityOpt": [], "StorageOpt": {}, "Tmpfs": {}, "Sysctls": {},
            "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [],
            "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "Devices": [], "DeviceCgroupRules": [],
            "DeviceRequests": [], "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [],
            "Mounts": [], "MaskedPaths": [], "ReadonlyPaths": [], "ConsoleSize": [0, 0],
        },
    })
}

/// What `docker create` sends without any flag.
fn of_docker_s_client() -> Value {
    json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": true, "AttachStderr": true,
        "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": ["true"], "Image": IMAGE,
        "Volumes": {}, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
        "HostConfig": {
            "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "none",
            "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": false,
            "VolumeDriver": "", "VolumesFrom": null, "ConsoleSize": [24, 80], "CapAdd": null, "CapDrop": null,
            "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null,
            "IpcMode": "", "Cgroup": "", "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false,
            "PublishAllPorts": false, "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "",
            "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "",
            "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [],
            "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [], "CpuPeriod": 0, "CpuQuota": 0,
            "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "", "Devices": [],
            "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
            "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0,
            "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": null, "ReadonlyPaths": null,
        },
        "NetworkingConfig": {"EndpointsConfig": {"none": {
            "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "", "DriverOpts": null, "GwPriority": 0,
            "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
            "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": null,
        }}},
    })
}

/// Everything that needs neither a bridge nor a volume.
fn full() -> Value {
    json!({
        "Image": IMAGE, "Cmd": ["100"], "Entrypoint": ["sleep"], "Env": ["A=b", "EMPTY=", "NONE"],
        "Labels": {"b": "2", "a": "1"}, "Hostname": "web", "Domainname": "example.org", "User": "1:2",
        "WorkingDir": "/tmp", "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "StopSignal": "SIGINT", "StopTimeout": 3,
        "Tty": true, "OpenStdin": true, "StdinOnce": true, "AttachStdout": true, "Shell": ["/bin/sh", "-ec"],
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 60_000_000_000_u64, "Timeout": 1_000_000_000,
            "Retries": 2, "StartPeriod": 5_000_000, "StartInterval": 1_000_000_000},
        "HostConfig": {
            "NetworkMode": "none", "Binds": ["/usr:/mnt/usr:ro", "/tmp:/mnt/tmp:rw,rslave"],
            "Mounts": [
                {"Type": "bind", "Source": "/var", "Target": "/mnt/var", "ReadOnly": true,
                 "BindOptions": {"Propagation": "rprivate", "NonRecursive": true}},
                {"Type": "tmpfs", "Target": "/mnt/memory", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 0o750}},
            ],
            "Tmpfs": {"/scratch": "size=64k,mode=700"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2", "labels": "a"}},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 4}, "CapAdd": ["NET_ADMIN", "cap_sys_time"],
            "CapDrop": ["MKNOD"], "Dns": ["192.0.2.1"], "DnsOptions": ["ndots:2"], "DnsSearch": ["example.org"],
            "ExtraHosts": ["db:192.0.2.2"], "GroupAdd": ["5", "staff"], "OomScoreAdj": 100,
            "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"], "Annotations": {"org.example.note": "x"},
            "Sysctls": {"net.ipv4.ip_forward": "1"}, "ShmSize": 1_048_576, "IpcMode": "shareable",
            "ReadonlyRootfs": true, "CpuShares": 512, "Memory": 67_108_864, "MemoryReservation": 33_554_432,
            "MemorySwap": 134_217_728, "NanoCpus": 500_000_000, "CpusetCpus": "0", "PidsLimit": 50,
            "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}],
            "DeviceCgroupRules": ["c 1:5 r"], "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
            "ConsoleSize": [24, 80], "Runtime": "runc",
        },
    })
}

fn update(see: &mut See<'_>, name: &str) {
    let target = format!("/containers/{name}/update");
    for (label, body) in [
        ("nothing", json!({})),
        ("limits", json!({"CpuShares": 256, "PidsLimit": 20, "RestartPolicy": {"Name": "unless-stopped"}})),
    ] {
        see(&format!("{name}: update {label}"), "POST", &target, Some(body));
    }
    see(&format!("{name}: inspect updated"), "GET", &format!("/containers/{name}/json"), None);
}

/// Starts `sleep` with a health check and sees a check's result.
fn healthy(see: &mut See<'_>) {
    let request = json!({
        "Image": IMAGE, "Cmd": ["sleep", "100"], "HostConfig": {"NetworkMode": "none"},
        "Healthcheck": {"Test": ["CMD", "echo", "well"], "Interval": 50_000_000},
    });
    see("health: create", "POST", "/containers/create?name=shape-health", Some(request));
    see("health: inspect created", "GET", "/containers/shape-health/json", None);
    see("health: start", "POST", "/containers/shape-health/start", None);
    wait::within(PATIENCE, || {
        let container = see("health: inspect healthy", "GET", "/containers/shape-health/json", None);
        container["State"]["Health"]["Status"] == "healthy"
    });
    see("health: list", "GET", "/containers/json?filters={\"name\":[\"shape-health\"]}", None);
    see("health: kill", "POST", "/containers/shape-health/kill?signal=KILL", None);
    see("health: wait", "POST", "/containers/shape-health/wait", None);
    see("health: inspect exited", "GET", "/containers/shape-health/json", None);
    see("health: remove", "DELETE", "/containers/shape-health", None);
}

/// A container with processes beside its first, paused in the end.
fn busy(see: &mut See<'_>) {
    let request = json!({
        "Image": IMAGE, "Cmd": ["sleep", "100"], "HostConfig": {"NetworkMode": "none", "AutoRemove": true},
    });
    see("busy: create", "POST", "/containers/create?name=shape-busy", Some(request));
    see("busy: start", "POST", "/containers/shape-busy/start", None);
    for (label, body) in [
        ("plain", json!({"Cmd": ["sleep", "100"]})),
        (
            "full",
            json!({"Cmd": ["sleep", "100"], "Tty": true, "AttachStdin": true, "AttachStdout": true,
                "AttachStderr": true, "Env": ["A=b"], "User": "1:1", "WorkingDir": "/tmp", "Privileged": true,
                "DetachKeys": "ctrl-a,b", "ConsoleSize": [24, 80]}),
        ),
    ] {
        let exec = see(&format!("busy: exec {label}"), "POST", "/containers/shape-busy/exec", Some(body));
        let exec = exec["Id"].as_str().unwrap_or("missing").to_owned();
        see(&format!("busy: exec {label} created"), "GET", &format!("/exec/{exec}/json"), None);
        let start = json!({"Detach": true, "Tty": label == "full"});
        see(&format!("busy: exec {label} start"), "POST", &format!("/exec/{exec}/start"), Some(start));
        wait::within(PATIENCE, || {
            see(&format!("busy: exec {label} running"), "GET", &format!("/exec/{exec}/json"), None)["Running"]
                == true
        });
    }
    see("busy: inspect", "GET", "/containers/shape-busy/json", None);
    see("busy: pause", "POST", "/containers/shape-busy/pause", None);
    see("busy: inspect paused", "GET", "/containers/shape-busy/json", None);
    see("busy: list paused", "GET", "/containers/json?filters={\"name\":[\"shape-busy\"]}", None);
    see("busy: remove", "DELETE", "/containers/shape-busy?force=1", None);
}

fn unstartable(see: &mut See<'_>) {
    let request = json!({"Image": IMAGE, "Cmd": ["/missing"], "HostConfig": {"NetworkMode": "none"}});
    see("unstartable: create", "POST", "/containers/create?name=shape-unstartable", Some(request));
    see("unstartable: start", "POST", "/containers/shape-unstartable/start", None);
    see("unstartable: inspect", "GET", "/containers/shape-unstartable/json", None);
    see(
        "unstartable: list",
        "GET",
        "/containers/json?all=1&filters={\"name\":[\"shape-unstartable\"]}",
        None,
    );
    see("unstartable: remove", "DELETE", "/containers/shape-unstartable", None);
}

fn restarting(see: &mut See<'_>) {
    let policy = json!({"Name": "always"});
    let request = json!({
        "Image": IMAGE, "Cmd": ["false"], "HostConfig": {"NetworkMode": "none", "RestartPolicy": policy},
    });
    see("restarting: create", "POST", "/containers/create?name=shape-restarting", Some(request));
    see("restarting: start", "POST", "/containers/shape-restarting/start", None);
    wait::within(PATIENCE, || {
        let container = see("restarting: inspect", "GET", "/containers/shape-restarting/json", None);
        container["State"]["Status"] == "restarting" && container["RestartCount"].as_i64() > Some(2)
    });
    see("restarting: list", "GET", "/containers/json?all=1&filters={\"name\":[\"shape-restarting\"]}", None);
    see("restarting: remove", "DELETE", "/containers/shape-restarting?force=1", None);
}
