//! Every flag of `run` does what it says, as far as the kernel can tell: a table with a row for each flag that
//! `corten run --help` lists. A flag without a row fails the test, so none is accepted and ignored.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use testkit::{Host, pattern};

/// A flag and what shows its effect.
struct Row {
    flag: &'static str,
    /// Shell script; its standard output is the evidence.
    script: String,
    wanted: String,
}

/// Inside a container with the flag, the probe prints `wanted`.
fn inside(flag: &'static str, arguments: &str, probe: &str, wanted: &str) -> Row {
    // A network that nothing is said about comes with a warning.
    let network = if flag == "network" { "" } else { "--network none" };
    let script = format!("corten run --rm {network} {arguments} busybox sh -c '{probe}'");
    Row { flag, script, wanted: wanted.into() }
}

/// The script prints `wanted`.
fn outside(flag: &'static str, script: &str, wanted: &str) -> Row {
    Row { flag, script: script.into(), wanted: wanted.into() }
}

/// A created container's record says `wanted` for the format; for what the kernel never sees.
fn recorded(flag: &'static str, arguments: &str, format: &str, wanted: &str) -> Row {
    let script = format!(
        "corten create --name rec {arguments} busybox true >/dev/null && \
         corten inspect -f '{format}' rec; corten rm rec >/dev/null"
    );
    Row { flag, script, wanted: wanted.into() }
}

/// `run` with the flag is refused with these words and exit code 125.
fn refused(flag: &'static str, arguments: &str, words: &str) -> Row {
    let script =
        format!("corten run --rm {arguments} busybox true >text 2>&1; echo $?; tr '\\n' ' ' <text; rm text");
    Row { flag, script, wanted: format!("125\n[..]{words}[..]") }
}

/// A flag that only Windows has: the client refuses it after asking what the daemon runs on.
fn for_windows(flag: &'static str, arguments: &str) -> Row {
    let words =
        "is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux";
    let script = format!("corten run --rm {arguments} busybox true 2>&1; echo $?");
    Row { flag, script, wanted: format!("\"--{flag}\" {words}\n1") }
}

/// The flag's effect is shown by a test of its own.
fn elsewhere(flag: &'static str, _test: fn()) -> Row {
    outside(flag, "echo elsewhere", "elsewhere")
}

/// A limit's control file as the container sees it, on a v1 or hybrid host and on a v2 host, each with its text.
fn limit(flag: &'static str, arguments: &str, v1: (&str, &str), v2: (&str, &str)) -> Row {
    let (file, wanted) = if is_v2() { v2 } else { v1 };
    inside(flag, arguments, &format!("cat /sys/fs/cgroup/{file}"), wanted)
}

fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn has_control(v1: &str) -> bool {
    Path::new("/sys/fs/cgroup").join(v1).exists()
}

/// A block device of this machine: its path, and its number.
fn block_device() -> (String, String) {
    let names =
        fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found = names.filter(|name| Path::new("/dev").join(name).exists()).max().expect("a block device");
    let number = fs::read_to_string(format!("/sys/block/{found}/dev")).unwrap();
    (format!("/dev/{found}"), number.trim().to_owned())
}

fn same_namespace(flag: &'static str, kind: &str) -> Row {
    outside(
        flag,
        &format!(
            "test $(corten run --rm --{flag} host busybox readlink /proc/self/ns/{kind}) = \
             $(readlink /proc/self/ns/{kind}) && echo the host\\'s; \
             test $(corten run --rm busybox readlink /proc/self/ns/{kind}) = \
             $(readlink /proc/self/ns/{kind}) || echo its own"
        ),
        "the host's\nits own",
    )
}

fn process_rows() -> Vec<Row> {
    let default_caps = "a80425fb";
    vec![
        outside(
            "attach",
            "corten run --rm --network none -a stderr busybox sh -c 'echo o; echo e >&2' 2>&1",
            "e",
        ),
        outside("interactive", "echo typed | corten run --rm -i busybox cat", "typed"),
        inside("tty", "-t", "test -t 0 && test -t 1 && echo terminal", "terminal\r"),
        outside(
            "detach",
            "corten run -d --name job busybox sleep 1000; corten rm -f job >/dev/null",
            "[ID64]",
        ),
        elsewhere("detach-keys", crate::terminal::detach_keys_leave_the_container_running),
        elsewhere("sig-proxy", signals_reach_the_container_unless_told_otherwise),
        inside("env", "-e A=1 -e B=", "echo $A; env | grep ^B", "1\nB="),
        outside(
            "env-file",
            "printf '# no\\nA=1 2\\nC\\n' >env; C=3 corten run --rm --env-file env busybox env | grep ^[AC]; rm env",
            "A=1 2\nC=3",
        ),
        outside("entrypoint", "corten run --rm --entrypoint /bin/echo busybox one two", "one two"),
        inside("user", "-u daemon:users", "id -u; id -g", "1\n100"),
        inside(
            "group-add",
            "--group-add 12345 --group-add adm",
            "id -G | tr \" \" \"\\n\" | grep -xc -e 4 -e 12345",
            "2",
        ),
        inside("workdir", "-w /made/here", "pwd", "/made/here"),
        inside(
            "init",
            "--init",
            "cat /proc/1/cmdline | tr \"\\0\" \" \" | cut -c 1-23",
            "/sbin/docker-init -- sh",
        ),
        elsewhere("init", crate::reaper::an_init_process_reaps_and_hands_signals_on),
        inside(
            "ulimit",
            "--ulimit core=0 --ulimit nproc=100:200",
            "ulimit -c; ulimit -u; ulimit -Hu",
            "0\n100\n200",
        ),
        inside("ulimit", "--ulimit nofile=100:200", "ulimit -n; ulimit -Hn", "100\n200"),
        refused("oom-score-adj", "--oom-score-adj 1001", "range for oom score adj is [-1000, 1000]"),
        inside("oom-score-adj", "--oom-score-adj 500", "cat /proc/self/oom_score_adj", "500"),
        lowered_oom_score(),
        inside("cap-add", "--cap-add SYS_TIME", "grep CapEff /proc/self/status | cut -c 17-", "aa0425fb"),
        inside("cap-drop", "--cap-drop CHOWN", "grep CapEff /proc/self/status | cut -c 17-", "a80425fa"),
        inside("cap-drop", "--cap-drop ALL", "grep CapBnd /proc/self/status | cut -c 17-", "00000000"),
        inside("cap-drop", "", "grep CapBnd /proc/self/status | cut -c 17-", default_caps),
        inside("privileged", "--privileged", "mount -t tmpfs none /tmp && echo mounted", "mounted"),
        inside(
            "security-opt",
            "--security-opt no-new-privileges",
            "grep NoNewPrivs /proc/self/status",
            "[..]1",
        ),
        inside(
            "security-opt",
            "--security-opt systempaths=unconfined",
            "grep -c \" /proc/\" /proc/mounts",
            "0",
        ),
        inside(
            "security-opt",
            "--cgroupns private --security-opt writable-cgroups=true",
            "cd /sys/fs/cgroup; test -d pids && cd pids; mkdir x && rmdir x && echo made",
            "made",
        ),
        // Nothing is to be seen of it where no security module runs.
        recorded(
            "security-opt",
            "--security-opt label=disable --security-opt apparmor=unconfined",
            "{{.HostConfig.SecurityOpt}}",
            "[label=disable apparmor=unconfined]",
        ),
        refused(
            "security-opt",
            "--security-opt apparmor=nope",
            "AppArmor profile \"nope\" cannot be applied",
        ),
        refused("security-opt", "--security-opt bogus=1", "invalid --security-opt 2: \"bogus=1\""),
        inside(
            "security-opt",
            "--security-opt no-new-privileges=false",
            "grep NoNewPrivs /proc/self/status",
            "[..]0",
        ),
        outside(
            "security-opt",
            "echo '{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\"}]}' >p; \
             corten run --rm --network none --security-opt seccomp=p busybox sh -c 'mkdir /x 2>&1; chmod 700 /tmp && echo fine'; rm p",
            "mkdir: can't create directory '/x': Operation not permitted\nfine",
        ),
        inside(
            "security-opt",
            "--security-opt seccomp=unconfined",
            "grep Seccomp: /proc/self/status",
            "[..]0",
        ),
        inside("security-opt", "", "grep Seccomp: /proc/self/status", "[..]2"),
        elsewhere("stop-signal", crate::lifecycle::stop_sends_the_containers_own_signal_first),
        outside(
            "stop-timeout",
            "corten run -d --name job --stop-timeout 1 busybox sleep 1000 >/dev/null; timeout 6 corten stop job; \
             corten rm job >/dev/null",
            "job",
        ),
    ]
}

/// A score below the daemon's own: applied, or without the right to do so an error that says which is missing.
fn lowered_oom_score() -> Row {
    let (flag, arguments) = ("oom-score-adj", "--network none --oom-score-adj -900");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
    const SYS_RESOURCE: u64 = 1 << 24;
    if u64::from_str_radix(effective.trim(), 16).unwrap() & SYS_RESOURCE == 0 {
        refused(flag, arguments, "set oom_score_adj -900: operation not permitted: [..]CAP_SYS_RESOURCE")
    } else {
        inside(flag, "--oom-score-adj -900", "cat /proc/self/oom_score_adj", "-900")
    }
}

fn identity_rows() -> Vec<Row> {
    vec![
        outside(
            "name",
            "corten run -d --name called busybox true >/dev/null; corten wait called; corten rm called",
            "0\ncalled",
        ),
        outside(
            "cidfile",
            "test $(corten run --rm --cidfile id busybox hostname) = $(cut -c 1-12 id) && echo same; rm id",
            "same",
        ),
        outside("rm", "corten run --rm busybox true; corten ps -aq", ""),
        inside("hostname", "-h box", "hostname", "box"),
        inside("domainname", "--domainname example.test", "cat /proc/sys/kernel/domainname", "example.test"),
        recorded("label", "-l a=1 -l b", "{{json .Config.Labels}}", "{\"a\":\"1\",\"b\":\"\"}"),
        outside(
            "label-file",
            "printf 'a=1\\n' >labels; corten create --name rec --label-file labels busybox true >/dev/null; \
             corten inspect -f '{{json .Config.Labels}}' rec; corten rm rec >/dev/null; rm labels",
            "{\"a\":\"1\"}",
        ),
        recorded("annotation", "--annotation k=v", "{{json .HostConfig.Annotations}}", "{\"k\":\"v\"}"),
        recorded("expose", "--expose 80", "{{json .Config.ExposedPorts}}", "{\"80/tcp\":{}}"),
        inside("isolation", "--isolation default", "echo fine", "fine"),
        refused("isolation", "--isolation hyperv", "isolation"),
        for_windows("cpu-count", "--cpu-count 1"),
        for_windows("cpu-percent", "--cpu-percent 10"),
        for_windows("io-maxbandwidth", "--io-maxbandwidth 1m"),
        for_windows("io-maxiops", "--io-maxiops 10"),
        refused("runtime", "--runtime nope", "unknown or invalid runtime name: nope"),
        outside(
            "pull",
            "corten run --rm --pull never none:such true 2>&1 | grep -o 'No such image: none:such'",
            "No such image: none:such",
        ),
        outside("quiet", "corten run --rm -q busybox echo fine", "fine"),
        outside("platform", "corten run --rm --platform linux/$(uname -m) busybox echo fine", "fine"),
        refused("platform", "--pull never --platform linux/s390x", "s390x"),
    ]
}

fn file_rows() -> Vec<Row> {
    let (device, number) = block_device();
    let make = format!("mknod /k b {} && head -c 0 /k && echo made", number.replace(':', " "));
    vec![
        outside(
            "volume",
            "mkdir v; echo in >v/f; corten run --rm -v $PWD/v:/v busybox sh -c 'cat /v/f; echo out >/v/g'; cat v/g; \
             corten run --rm --network none -v $PWD/v:/v:ro busybox touch /v/h 2>&1; rm -r v",
            "in\nout\ntouch: /v/h: Read-only file system",
        ),
        outside(
            "mount",
            "mkdir v; corten run --rm --network none --mount type=bind,source=$PWD/v,target=/v,readonly busybox touch /v/h 2>&1; \
             rm -r v; corten run --rm --mount type=tmpfs,target=/t,tmpfs-size=1m busybox grep -c '/t tmpfs .*size=1024k' /proc/mounts",
            "touch: /v/h: Read-only file system\n1",
        ),
        inside(
            "tmpfs",
            "--tmpfs /t:size=1m,mode=1770",
            "grep -o size=1024k /proc/mounts; stat -c %a /t",
            "size=1024k\n1770",
        ),
        outside(
            "volumes-from",
            "mkdir v w; echo v >v/f; echo w >w/f; corten create --name one -v $PWD/v:/v -v $PWD/w:/w:ro --tmpfs /t busybox true >/dev/null; \
             corten run --rm --network none --volumes-from one busybox sh -c 'cat /v/f /w/f; touch /v/g; touch /w/g; ls -d /t' 2>&1; \
             corten run --rm --network none --volumes-from one:ro -v $PWD/v:/w busybox sh -c 'touch /v/h; cat /w/f' 2>&1; \
             corten rm one >/dev/null; rm -r v w",
            "v\nw\ntouch: /w/g: Read-only file system\nls: /t: No such file or directory\ntouch: /v/h: Read-only file system\nv",
        ),
        refused("volumes-from", "--volumes-from nobody", "No such container: nobody"),
        refused("volumes-from", "--volumes-from nobody:bogus", "invalid mode: bogus"),
        // As the directory that it covers; where there is none, everybody's.
        inside("tmpfs", "--tmpfs /new --tmpfs /etc", "stat -c %a /new /etc", "1777\n755"),
        inside(
            "tmpfs",
            "--tmpfs /new:exec,ro",
            "grep -o \" /new tmpfs r[ow],nosuid,nodev,rel\" /proc/mounts",
            " /new tmpfs ro,nosuid,nodev,rel",
        ),
        refused("tmpfs", "--tmpfs /new:bogus", "invalid tmpfs option \"bogus\""),
        refused(
            "volume-driver",
            "--volume-driver nope -v named:/v",
            "volume \"named\": this version has no named volumes yet",
        ),
        inside(
            "read-only",
            "--read-only",
            "touch /x 2>&1; touch /dev/shm/x && echo shm",
            "touch: /x: Read-only file system\nshm",
        ),
        inside("shm-size", "--shm-size 1m", "df -k /dev/shm | tail -n 1", "shm 1024 [..]"),
        refused("storage-opt", "--storage-opt size=1G", "supported only for overlay over xfs with 'pquota'"),
        inside(
            "device",
            "--device /dev/null:/dev/mine:rw",
            "echo x >/dev/mine && stat -c %t:%T /dev/mine",
            "1:3",
        ),
        // The rules decide, not the node's mode.
        inside(
            "device",
            &format!("--device {device}:/dev/mine:m"),
            "head -c 0 /dev/mine 2>&1; ( : >>/dev/mine ) 2>&1; test -b /dev/mine && echo there",
            "head: /dev/mine: Operation not permitted\n[..]can't create /dev/mine: Operation not permitted\nthere",
        ),
        inside(
            "device",
            &format!("--device {device}:/dev/mine:r"),
            "( : >>/dev/mine ) 2>&1",
            "[..]Operation not permitted",
        ),
        outside(
            "device",
            "n=$(find /dev/net -type c | wc -l); corten run --rm --network none --device /dev/net:/dev/mine busybox \
             find /dev/mine -type c | wc -l | grep -qx $n && echo all",
            "all",
        ),
        outside(
            "device",
            "corten run --rm --device /dev/nope busybox true 2>&1 | grep -o 'error gathering .*'",
            "error gathering device information while adding custom device \"/dev/nope\": no such file or directory",
        ),
        inside("device-cgroup-rule", &format!("--device-cgroup-rule \"b {number} rm\""), &make, "made"),
        inside("device-cgroup-rule", "", &format!("( {make} ) 2>&1"), "[..]Operation not permitted"),
        refused("gpus", "--gpus all", "could not select device driver"),
    ]
}

fn limit_rows() -> Vec<Row> {
    let (device, number) = block_device();
    let mut rows = vec![
        limit("memory", "-m 64m", ("memory/memory.limit_in_bytes", "67108864"), ("memory.max", "67108864")),
        limit(
            "memory-reservation",
            "--memory-reservation 32m",
            ("memory/memory.soft_limit_in_bytes", "33554432"),
            ("memory.low", "33554432"),
        ),
        limit("pids-limit", "--pids-limit 77", ("pids/pids.max", "77"), ("pids.max", "77")),
        limit("cpus", "--cpus 0.5", ("cpu/cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 100000")),
        limit(
            "cpu-quota",
            "--cpu-quota 20000",
            ("cpu/cpu.cfs_quota_us", "20000"),
            ("cpu.max", "20000 100000"),
        ),
        limit(
            "cpu-period",
            "--cpu-period 50000",
            ("cpu/cpu.cfs_period_us", "50000"),
            ("cpu.max", "max 50000"),
        ),
        limit("cpu-shares", "-c 512", ("cpu/cpu.shares", "512"), ("cpu.weight", "59")),
        inside("cpuset-cpus", "--cpuset-cpus 0", "grep Cpus_allowed_list /proc/self/status", "[..]0"),
        refused("cpuset-cpus", "--cpuset-cpus 8191", "Requested CPUs are not available - requested 8191"),
        // Most machines have one node, and everybody has it.
        refused("cpuset-mems", "--cpuset-mems 99", "Requested memory nodes are not available - requested 99"),
        inside("cpuset-mems", "--cpuset-mems 0", "grep Mems_allowed_list /proc/self/status", "[..]0"),
        outside(
            "cgroup-parent",
            "p=${CORTEN_TEST_ROOT##*/}/parent; id=$(corten run -d --cgroup-parent /$p busybox sleep 1000); \
             grep -q /$p/$id /proc/$(corten inspect -f '{{.State.Pid}}' $id)/cgroup && echo below; \
             corten rm -f $id >/dev/null; find /sys/fs/cgroup -depth -type d -path \"*/${p%/*}*\" -exec rmdir {} +",
            "below",
        ),
        inside("cgroupns", "--cgroupns private", "cut -d: -f3 /proc/self/cgroup | sort -u", "/"),
        elsewhere("cgroup-parent", crate::sharing::limits_of_a_cgroup_parent_hold_for_its_containers),
        inside(
            "cgroupns",
            "--cgroupns host",
            "grep -q \"/$(hostname)\" /proc/self/cgroup && echo seen",
            "seen",
        ),
    ];
    let throttle = [
        ("device-read-bps", "1mb", "1048576", "read_bps", "rbps=1048576"),
        ("device-write-bps", "1mb", "1048576", "write_bps", "wbps=1048576"),
        ("device-read-iops", "100", "100", "read_iops", "riops=100"),
        ("device-write-iops", "100", "100", "write_iops", "wiops=100"),
    ];
    for (flag, given, wanted, v1, v2) in throttle {
        let (file, wanted) = if is_v2() {
            ("io.max".to_owned(), format!("{number} [..]{v2}[..]"))
        } else {
            (format!("blkio/blkio.throttle.{v1}_device"), format!("{number} {wanted}"))
        };
        rows.push(inside(
            flag,
            &format!("--{flag} {device}:{given}"),
            &format!("cat /sys/fs/cgroup/{file}"),
            &wanted,
        ));
    }
    rows.extend(rows_of_kernel_features(&device));
    rows
}

/// Limits that only some kernels have: with the feature the effect, without it Docker's words.
fn rows_of_kernel_features(device: &str) -> Vec<Row> {
    let warned = |flag, arguments: &str, words: &str| {
        let script = format!("corten run --rm --network none {arguments} busybox true 2>&1");
        Row { flag, script, wanted: format!("[..]{words}") }
    };
    let mut rows = Vec::new();
    rows.push(if has_control("memory/memory.memsw.limit_in_bytes") || is_v2() {
        limit(
            "memory-swap",
            "-m 64m --memory-swap 96m",
            ("memory/memory.memsw.limit_in_bytes", "100663296"),
            ("memory.swap.max", "33554432"),
        )
    } else {
        warned("memory-swap", "-m 64m --memory-swap 96m", "Memory limited without swap.")
    });
    rows.push(refused(
        "memory-swap",
        "--memory-swap 96m",
        "You should always set the Memory limit when using Memoryswap limit",
    ));
    if is_v2() {
        rows.push(warned("memory-swappiness", "--memory-swappiness 10", "discarded."));
        rows.push(warned("oom-kill-disable", "-m 64m --oom-kill-disable", "discarded."));
    } else {
        rows.push(limit(
            "memory-swappiness",
            "--memory-swappiness 10",
            ("memory/memory.swappiness", "10"),
            ("", ""),
        ));
        let probe = "grep oom_kill_disable /sys/fs/cgroup/memory/memory.oom_control";
        rows.push(inside("oom-kill-disable", "-m 64m --oom-kill-disable", probe, "oom_kill_disable 1"));
    }
    if has_control("cpu/cpu.rt_period_us") {
        let file = ("cpu/cpu.rt_period_us", "500000");
        rows.push(limit("cpu-rt-period", "--cpu-rt-period 500000", file, file));
        // The groups above have no real-time budget to give.
        rows.push(refused("cpu-rt-runtime", "--cpu-rt-runtime 95000", "rt_runtime"));
    } else {
        rows.push(refused("cpu-rt-period", "--cpu-rt-period 500000", "real-time"));
        rows.push(refused("cpu-rt-runtime", "--cpu-rt-runtime 95000", "real-time"));
    }
    rows.extend(weight_rows(device));
    rows
}

/// Weights of block I/O. On v1 Docker knows only the file of kernels before 5.0, and says what it discards.
fn weight_rows(device: &str) -> Vec<Row> {
    let warned = |flag, arguments: &str, words: &str| {
        outside(flag, &format!("corten run --rm --network none {arguments} busybox true 2>&1"), words)
    };
    let mut rows = vec![refused(
        "blkio-weight-device",
        "--blkio-weight-device /dev/null:5",
        "invalid weight for device",
    )];
    let per_device = format!("--blkio-weight-device {device}:300");
    if !is_v2() && !has_control("blkio/blkio.weight") {
        rows.push(warned("blkio-weight", "--blkio-weight 300", "[..]Weight discarded."));
        rows.push(warned("blkio-weight-device", &per_device, "[..]Weight-device discarded."));
        return rows;
    }
    rows.push(refused("blkio-weight", "--blkio-weight 5", "Range of blkio weight is from 10 to 1000"));
    if !is_v2() {
        rows.push(inside(
            "blkio-weight",
            "--blkio-weight 300",
            "cat /sys/fs/cgroup/blkio/blkio.weight",
            "300",
        ));
    }
    rows
}

fn namespace_rows() -> Vec<Row> {
    vec![
        same_namespace("pid", "pid"),
        outside(
            "pid",
            "corten run -d --name one busybox sleep 1000 >/dev/null; \
             corten run --rm --pid container:one busybox ps -o args | grep -c '^sleep 1000'; corten rm -f one >/dev/null",
            "1",
        ),
        same_namespace("ipc", "ipc"),
        outside(
            "ipc",
            "corten run -d --name one --ipc private busybox sleep 1000 >/dev/null; \
             test $(corten exec one readlink /proc/self/ns/ipc) != $(readlink /proc/self/ns/ipc) && echo its own; \
             corten exec one sh -c 'test -d /dev/shm && echo shm'; \
             corten run --rm --ipc container:one busybox true 2>&1 | grep -o 'non-shareable IPC'; \
             corten rm -f one >/dev/null",
            "its own\nshm\nnon-shareable IPC",
        ),
        inside("ipc", "--ipc none", "test -e /dev/shm || echo none", "none"),
        elsewhere("ipc", crate::sharing::containers_share_memory_with_a_donor_that_allows_it),
        same_namespace("uts", "uts"),
        same_namespace("network", "net"),
        inside("network", "--network none", "ls /sys/class/net", "lo"),
        outside(
            "userns",
            "test $(corten run --rm --userns host busybox readlink /proc/self/ns/user) = \
             $(readlink /proc/self/ns/user) && echo the host\\'s",
            "the host's",
        ),
        refused("userns", "--userns private", "invalid USER mode"),
        inside("sysctl", "--sysctl kernel.msgmax=9000", "cat /proc/sys/kernel/msgmax", "9000"),
        inside(
            "sysctl",
            "--sysctl net.ipv4.ip_unprivileged_port_start=7",
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
            "7",
        ),
    ]
}

fn network_rows() -> Vec<Row> {
    let only = "user specified IP address is supported on user defined networks only";
    vec![
        inside(
            "add-host",
            "--add-host db:10.0.0.1",
            "grep -w db /etc/hosts | tr \"\\t\" \" \"",
            "10.0.0.1 db",
        ),
        inside("dns", "--dns 10.1.2.3", "grep ^nameserver /etc/resolv.conf", "nameserver 10.1.2.3"),
        inside("dns-option", "--dns-option ndots:3", "grep ^options /etc/resolv.conf", "options ndots:3"),
        inside(
            "dns-search",
            "--dns-search example.test",
            "grep ^search /etc/resolv.conf",
            "search example.test",
        ),
        refused("ip", "--ip 1.2.3.4", only),
        refused("ip6", "--ip6 2001:db8::1", only),
        refused(
            "network-alias",
            "--network-alias x",
            "network-scoped aliases are only supported for user-defined networks",
        ),
        refused("link", "--link nobody", "links are not there yet"),
        refused("link-local-ip", "--link-local-ip 169.254.1.1", "no network to set it on"),
        refused("mac-address", "--mac-address 02:42:ac:11:00:02", "no network to set it on"),
        refused("publish", "-p 80", "published ports are not there yet"),
        refused("publish-all", "-P", "published ports are not there yet"),
    ]
}

fn restart_and_health_rows() -> Vec<Row> {
    use crate::health::{
        a_check_that_takes_too_long_is_killed_with_what_it_started as too_long,
        a_container_is_healthy_when_its_check_succeeds_and_unhealthy_when_it_fails_too_often as healthy,
    };
    let flags =
        ["health-cmd", "health-interval", "health-retries", "health-start-period", "health-start-interval"];
    let mut rows: Vec<_> = flags.into_iter().map(|flag| elsewhere(flag, healthy)).collect();
    rows.extend([
        elsewhere("health-timeout", too_long),
        recorded(
            "no-healthcheck",
            "--no-healthcheck",
            "{{json .Config.Healthcheck}}",
            "{\"Test\":[\"NONE\"]}",
        ),
        outside(
            "restart",
            "corten run -d --name job --restart on-failure:2 busybox false >/dev/null; \
             for i in $(seq 100); do n=$(corten inspect -f '{{.RestartCount}} {{.State.Status}}' job); \
             test \"$n\" = '2 exited' && break; sleep 0.1; done; echo $n; corten rm job >/dev/null",
            "2 exited",
        ),
    ]);
    rows
}

fn log_rows() -> Vec<Row> {
    vec![
        outside(
            "log-driver",
            "corten run --name one --log-driver none busybox echo shown; corten logs one 2>&1; corten rm one >/dev/null",
            "shown\n[..]configured logging driver does not support reading",
        ),
        refused("log-driver", "--log-driver nope", "nope"),
        outside(
            "log-opt",
            "corten run --name one --log-opt max-size=10k --log-opt max-file=2 busybox seq 5000 >/dev/null; \
             ls $(corten inspect -f '{{.LogPath}}' one)* | wc -l; corten rm one >/dev/null",
            "2",
        ),
    ]
}

fn rows() -> Vec<Row> {
    let groups = [
        process_rows,
        identity_rows,
        file_rows,
        limit_rows,
        namespace_rows,
        network_rows,
        restart_and_health_rows,
        log_rows,
    ];
    groups.into_iter().flat_map(|rows| rows()).collect()
}

/// Names of the flags that a help text lists.
fn listed(help: &str) -> BTreeSet<String> {
    let flag = |line: &str| {
        let line = line.trim_start();
        // `-m, --memory bytes`
        let long = line.split_once(", ").filter(|(short, _)| short.len() == 2).map_or(line, |(_, long)| long);
        let name: String =
            long.strip_prefix("--")?.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        (!name.is_empty()).then_some(name)
    };
    help.lines().filter_map(flag).filter(|name| name != "help").collect()
}

#[test]
fn every_flag_of_run_has_its_effect() {
    let host = Host::with_busybox();
    let flags = listed(&host.run("corten run --help").exits(0).stdout());
    let rows = rows();
    let mut wrong: Vec<_> = flags
        .iter()
        .filter(|flag| !rows.iter().any(|row| row.flag == *flag))
        .map(|flag| format!("--{flag} is accepted, but no row shows what it does"))
        .collect();
    for row in &rows {
        let output = host.run(&row.script);
        if !pattern::matches(&row.wanted, &output.stdout()) {
            wrong.push(format!(
                "--{}: {}\n  wanted: {:?}\n  got:    {:?} {:?}",
                row.flag,
                row.script,
                row.wanted,
                output.stdout(),
                output.stderr()
            ));
        }
        if !flags.contains(row.flag) {
            wrong.push(format!("--{} has a row, but `run --help` does not list it", row.flag));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Docker's help does not list it any more, and its daemon discards the value; here that is also said.
#[test]
fn a_kernel_memory_limit_is_discarded_with_a_word() {
    let host = Host::with_busybox();
    let words = "WARNING: --kernel-memory has no effect";
    let run = "corten run --network none --name job --kernel-memory 64m -d busybox sleep 1000";
    host.run(run).exits(0).stderr_has(words);
    host.run("corten update --kernel-memory 64m job").exits(0).stderr_has(words);
    host.run("corten rm -f job").exits(0);
}

#[test]
fn create_has_the_flags_of_run() {
    let host = Host::new();
    let of = |command: &str| listed(&host.run(&format!("corten {command} --help")).exits(0).stdout());
    let (run, create) = (of("run"), of("create"));
    let only_run = ["detach", "detach-keys", "sig-proxy"].map(str::to_owned).into();
    assert_eq!(run.difference(&create).cloned().collect::<BTreeSet<_>>(), only_run);
    assert_eq!(create.difference(&run).count(), 0);
}

#[test]
fn signals_reach_the_container_unless_told_otherwise() {
    use rustix::process::Signal;
    let host = Host::with_busybox();
    let script = "trap \"echo got it; exit 3\" USR1; trap \"echo USR2; exit 4\" USR2; echo ready; \
                  while :; do sleep 0.05; done";
    let mut job = host.spawn(&format!("corten run --rm busybox sh -c '{script}'"));
    job.expect("ready\n");
    job.signal(Signal::USR1);
    job.expect("got it\n");
    assert_eq!(job.exit_code(), 3);

    let mut job = host.spawn(&format!("corten run --name alone --sig-proxy=false busybox sh -c '{script}'"));
    job.expect("ready\n");
    job.signal(Signal::USR1);
    host.run("corten kill -s USR2 alone").exits(0);
    host.run("corten wait alone").prints("4");
    host.run("corten logs alone").prints("ready\nUSR2");
}
