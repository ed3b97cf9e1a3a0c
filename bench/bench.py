#!/usr/bin/env python3
"""Measures Corten against Docker and Podman. README.md beside this file says how; run.sh starts it."""
import os
import signal
import subprocess
import sys

from engines import TOP, WORK, Failed, engines
from figures import N, Table, interleaved
from idle import IDLE, bench_idle
from runtimes import bench_runtime

RUN = ("run", "--rm", "--network", "none", "busybox", "true")
SECTIONS = ["run", "exec", "start", "runtime", "stream", "idle", "run-idle"]
BIG = 256 << 20
LINE = b"a line of a log as programs write them: a time, a level, a few words and some numbers, 0123456789 0123\n"


def bench_run(found, table, title="run --rm --network none busybox true"):
    table.show(title, interleaved({e.name: lambda e=e: e.do(*RUN)["ns"] for e in found}))


def bench_exec(found, table):
    for engine in found:
        engine.do("run", "-d", "--network", "none", "--name", "bench-exec", "busybox", "sleep", "infinity")
    table.show("exec CONTAINER true",
               interleaved({e.name: lambda e=e: e.do("exec", "bench-exec", "true")["ns"] for e in found}))
    for engine in found:
        engine.remove_all()


def bench_start(found, table):
    """`start` of a container that exists; that it has ended again is waited for outside the measured time."""
    def once(engine):
        spent = engine.do("start", "bench-start")["ns"]
        engine.do("wait", "bench-start")
        return spent
    for engine in found:
        engine.do("create", "--network", "none", "--name", "bench-start", "busybox", "true")
    table.show("start CONTAINER", interleaved({e.name: lambda e=e: once(e) for e in found}))
    for engine in found:
        engine.remove_all()


def bench_stream(found, table):
    """What a container writes: into a pipe of the client's, and into its log."""
    big = f"{WORK}/big"
    with open(big, "wb") as file:
        file.write(LINE * (BIG // len(LINE)))
    size, rounds = os.path.getsize(big), max(3, N // 40)
    cat = ("--network", "none", "-v", f"{big}:/big:ro", "busybox", "cat", "/big")

    def pipe(engine):
        answer = engine.ask(pipe=[*engine.client, "run", "--rm", *cat])
        if answer["bytes"] != size:
            raise Failed(f"{engine.name}: {answer['bytes']} of {size} bytes came")
        return answer["ns"]

    def log(engine):
        spent = engine.do("run", "-d", "--name", "bench-log", *cat)["ns"] + engine.do("wait", "bench-log")["ns"]
        engine.do("rm", "bench-log")
        return spent
    for title, once in (("run busybox cat FILE into a pipe", pipe), ("run -d busybox cat FILE, and wait", log)):
        times = interleaved({e.name: lambda e=e, once=once: once(e) for e in found}, rounds)
        table.show(f"{title}, {size >> 20} MB", times)
        print("  MB/s: " + ", ".join(f"{name} {size / 1e6 / (sorted(spent)[len(spent) // 2] / 1e9):.0f}"
                                     for name, spent in times.items()))
    os.remove(big)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(open("/proc/meminfo").readline().split()[1]) / 1e6
    print(f"{model}, {os.cpu_count()} CPUs, {memory:.0f} GB, Linux {os.uname().release}, "
          f"load {' '.join(f'{x:.1f}' for x in os.getloadavg())}, N={N}")


def main(wanted):
    unknown = set(wanted) - set(SECTIONS)
    if unknown:
        raise Failed(f"unknown: {' '.join(sorted(unknown))} ({', '.join(SECTIONS)})")
    wanted = wanted or SECTIONS
    machine()
    subprocess.run([f"{TOP}/scripts/busybox-rootfs.sh", f"{WORK}/busybox.tar"], check=True)
    table, found = Table(), []
    try:
        if set(wanted) - {"runtime"}:
            found = engines()
            for engine in found:
                engine.do("import", f"{WORK}/busybox.tar", "busybox")
                print(engine.do("--version")["out"].strip())
        for name, section in (("run", bench_run), ("exec", bench_exec), ("start", bench_start),
                              ("stream", bench_stream)):
            if name in wanted:
                section(found, table)
        if "runtime" in wanted:
            bench_runtime(table)
        if {"idle", "run-idle"} & set(wanted):
            title = f"the same with {IDLE} idle containers in each engine"
            bench_idle(found, table, lambda: "run-idle" in wanted and bench_run(found, table, title))
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


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    main(sys.argv[1:])
except Failed as error:
    sys.exit(f"bench: {error}")
except KeyboardInterrupt:
    sys.exit(130)
