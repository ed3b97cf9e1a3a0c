#!/usr/bin/env python3
"""Measures Corten against Docker and Podman. README.md beside this file says how; run.sh starts it."""
import atexit
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
PEERS = os.path.join(os.path.dirname(TOP), "shared", "peers", "peers.sh")
BIN = os.environ.get("CORTEN_BIN", os.path.join(TOP, "bin"))
N = int(os.environ.get("N", 200))
IDLE = int(os.environ.get("IDLE", 500))
WARM_UP = 5
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
        "CAP_AUDIT_WRITE"]


class Failed(Exception):
    pass


class Worker:
    """A worker.py inside an engine's namespaces."""

    def __init__(self, name, argv, programs=(), env=None):
        self.name, self.programs = name, list(programs)
        self.process = subprocess.Popen([*argv, "python3", share(f"{HERE}/worker.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})

    def ask(self, **order):
        line = ""
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            raise Failed(f"{self.name}: its worker ended")
        return json.loads(line)

    def run(self, *argv):
        answer = self.ask(argv=argv)
        if answer["status"] != 0:
            raise Failed(f"{self.name}: `{' '.join(argv)}` ended with {answer['status']}: {answer['err'].strip()}")
        return answer

    def end(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()


class Engine(Worker):
    """An engine with a client of its own: docker, podman, corten."""

    def __init__(self, name, client, argv, programs, env=None):
        super().__init__(name, argv, programs, env)
        self.client = client

    def do(self, *args):
        return self.run(*self.client, *args)

    def remove_all(self):
        ids = self.do("ps", "-aq")["out"].split()
        # Podman, unlike the others, would first wait ten seconds for each to stop.
        now = ["-t", "0"] if self.name == "podman" else []
        return self.do("rm", "-f", *now, *ids)["ns"] if ids else 0


def share(program):
    """A copy of the file where every worker sees it: the bench directory in /tmp."""
    copy = os.path.join(WORK, os.path.basename(program))
    if not os.path.exists(copy):
        shutil.copy2(program, copy)
    return copy


def engines():
    found = []
    if os.access(f"{BIN}/corten", os.X_OK):
        found.append(Engine("corten", ["corten"], [f"{TOP}/scripts/private-daemon.sh", BIN],
                            ["corten", "corten-shim", "corten-ready"]))
    daemons = ["dockerd", "containerd", "containerd-shim-runc-v2", "docker-proxy"]
    if PEERS_THERE:
        directory = f"{WORK}/docker"
        socket = subprocess.run([PEERS, "dockerd", directory], stdout=subprocess.PIPE, text=True)
        atexit.register(subprocess.run, [PEERS, "stop", directory])
        if socket.returncode == 0:
            found.append(Engine("docker", ["docker"], [PEERS, "tool", directory, "--"], daemons))
        found.append(Engine("podman", podman(), [PEERS, "exec", "--"], ["conmon"]))
    else:
        if shutil.which("docker") and subprocess.run(["docker", "version"], capture_output=True).returncode == 0:
            found.append(Engine("docker", ["docker"], [], daemons))
        if shutil.which("podman"):
            found.append(Engine("podman", podman(), [], ["conmon"]))
    for name in ("corten", "docker", "podman"):
        if name not in (engine.name for engine in found):
            print(f"(no {name} here)")
    return found


def podman():
    # Stores of its own, so that the machine's are not touched.
    return ["podman", "--root", f"{WORK}/podman/root", "--runroot", f"{WORK}/podman/run", "--runtime", "crun"]


# ---------------------------------------------------------------- figures
class Table:
    """Rows of engines × what was measured."""

    def __init__(self):
        self.raw = {}

    def show(self, title, times):
        self.raw[title] = times
        print(f"\n{title}  (ms, {len(next(iter(times.values())))} rounds)")
        print(f"  {'':14} {'median':>9} {'p95':>9} {'min':>9}   against each")
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, values in times.items():
            values = sorted(values)
            p95 = values[math.ceil(0.95 * len(values)) - 1]
            ratios = [f"{medians[name] / other:.3f} of {peer}" for peer, other in medians.items() if peer != name]
            figures = " ".join(f"{value / 1e6:9.2f}" for value in (medians[name], p95, values[0]))
            print(f"  {name:14} {figures}   {', '.join(ratios)}")

    def save(self, path):
        with open(path, "w") as file:
            json.dump(self.raw, file)


def interleaved(rounds):
    """rounds: name → function that does one and gives its nanoseconds."""
    times, names = {name: [] for name in rounds}, list(rounds)
    for number in range(-WARM_UP, N):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            spent = rounds[name]()
            if number >= 0:
                times[name].append(spent)
    return times


RUN = ("run", "--rm", "--network", "none", "busybox", "true")


def bench_run(found, table, title="run --rm --network none busybox true"):
    table.show(title, interleaved({e.name: lambda e=e: e.do(*RUN)["ns"] for e in found}))


def bench_exec(found, table):
    for engine in found:
        engine.do("run", "-d", "--network", "none", "--name", "bench-exec", "busybox", "sleep", "infinity")
    table.show("exec CONTAINER true",
               interleaved({e.name: lambda e=e: e.do("exec", "bench-exec", "true")["ns"] for e in found}))
    for engine in found:
        engine.remove_all()


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


def bench_idle(found, table, with_run):
    rows = {}
    for engine in found:
        engine.do(*RUN)
        before = engine.ask(pss=engine.programs)["kb"]
        start = time.monotonic()
        for _ in range(IDLE):
            engine.do("run", "-d", "--network", "none", "busybox", "sleep", "infinity")
        started = time.monotonic() - start
        listed = engine.do("ps", "-q")
        assert len(listed["out"].split()) == IDLE, f"{engine.name}: not all containers run"
        rows[engine.name] = [started, listed["ns"] / 1e9, (engine.ask(pss=engine.programs)["kb"] - before) / IDLE]
    for engine in found:
        rows[engine.name].append(idle_switches(engine))
    if with_run:
        bench_run(found, table, f"the same with {IDLE} idle containers in each engine")
    print(f"\n{IDLE} idle containers")
    print(f"  {'':14} {'start':>9} {'list':>9} {'remove':>9} {'kB each':>9} {'switches':>9}")
    for engine in found:
        start = time.monotonic()
        engine.remove_all()
        started, listed, each, switches = rows[engine.name]
        removed = time.monotonic() - start
        table.raw[f"idle {engine.name}"] = dict(start=started, list=listed, remove=removed, kb=each, switches=switches)
        print(f"  {engine.name:14} {started:7.2f} s {listed * 1e3:6.1f} ms {removed:7.2f} s {each:9.1f} {switches:9d}")


def idle_switches(engine):
    """Context switches of an idle engine in ten seconds, by threads that were there all the time: a thread that has
    left takes its count along. Before that, what follows the last request gets twelve seconds to be over."""
    time.sleep(12)
    first = engine.ask(switches=engine.programs)["tasks"]
    time.sleep(10)
    last = engine.ask(switches=engine.programs)["tasks"]
    return sum(count - first[task] for task, count in last.items() if task in first)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(open("/proc/meminfo").readline().split()[1]) / 1e6
    print(f"{model}, {os.cpu_count()} CPUs, {memory:.0f} GB, Linux {os.uname().release}, "
          f"load {' '.join(f'{x:.1f}' for x in os.getloadavg())}, N={N}")


def main(wanted):
    unknown = set(wanted) - {"run", "exec", "runtime", "idle", "run-500"}
    if unknown:
        raise Failed(f"unknown: {' '.join(sorted(unknown))} (run, exec, runtime, idle, run-500)")
    wanted = wanted or ["run", "exec", "runtime", "idle", "run-500"]
    machine()
    subprocess.run([f"{TOP}/scripts/busybox-rootfs.sh", f"{WORK}/busybox.tar"], check=True)
    table, found = Table(), []
    try:
        if set(wanted) - {"runtime"}:
            found = engines()
            for engine in found:
                engine.do("import", f"{WORK}/busybox.tar", "busybox")
                print(engine.do("--version")["out"].strip())
        if "run" in wanted:
            bench_run(found, table)
        if "exec" in wanted:
            bench_exec(found, table)
        if "runtime" in wanted:
            bench_runtime(table)
        if {"idle", "run-500"} & set(wanted):
            bench_idle(found, table, "run-500" in wanted)
        if os.environ.get("JSON"):
            table.save(os.environ["JSON"])
    finally:
        for engine in found:
            try:
                engine.remove_all()
                # The peers may be the machine's own: what this brought goes.
                engine.do("rmi", "-f", "busybox")
            except Failed as error:
                print(error, file=sys.stderr)
            engine.end()


WORK = tempfile.mkdtemp(prefix="corten-bench-", dir="/tmp")
PEERS_THERE = os.access(PEERS, os.X_OK) and subprocess.run([PEERS, "versions"], capture_output=True).returncode == 0
atexit.register(shutil.rmtree, WORK, ignore_errors=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    main(sys.argv[1:])
except Failed as error:
    sys.exit(f"bench: {error}")
except KeyboardInterrupt:
    sys.exit(130)
