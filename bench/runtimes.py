"""`corten-runtime run` of a bundle against crun and runc."""
import json
import os
import shutil
import subprocess

from engines import BIN, PEERS, PEERS_THERE, WORK, Worker, share
from figures import interleaved

CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
        "CAP_AUDIT_WRITE"]



def bench_runtime(table):
    bundle = f"{WORK}/bundle"
    os.makedirs(f"{bundle}/rootfs")
    subprocess.run(["tar", "-C", f"{bundle}/rootfs", "-xf", f"{WORK}/busybox.tar"], check=True)
    with open(f"{bundle}/config.json", "w") as file:
        json.dump(specification(), file)
    runtimes = {}
    if os.access(f"{BIN}/corten-runtime", os.X_OK):
        runtimes["corten-runtime"] = share(f"{BIN}/corten-runtime")
    for name in ("crun", "runc"):
        if PEERS_THERE or shutil.which(name):
            runtimes[name] = name
    # All three in the same place: the peers' tree, where there is one.
    worker = Worker("runtime", [PEERS, "exec", "--"] if PEERS_THERE else ["unshare", "-mn", "--"])
    try:
        def once(program):
            return worker.run(program, "--root", f"{WORK}/state", "run", "--bundle", bundle, "bench")["ns"]
        table.show("RUNTIME run (a bundle with `true`)",
                   interleaved({name: lambda p=program: once(p) for name, program in runtimes.items()}))
    finally:
        worker.end()


def specification():
    """What an engine would give its runtime: all namespaces, masks, capabilities; no limits."""
    caps = {kind: CAPS for kind in ("bounding", "effective", "permitted")}
    hidden = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2", "hostname": "bench", "root": {"path": "rootfs"},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/", "capabilities": caps,
                    "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "noNewPrivileges": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": hidden},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*hidden, "mode=1777"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": hidden},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*hidden, "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "cgroupsPath": "/corten-bench-runtime",
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }
