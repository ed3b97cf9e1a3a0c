#!/usr/bin/env python3
"""Runs inside one engine's namespaces and does what bench.py asks: one JSON line in, one out.

{"argv": […]}        runs it; {"ns": wall time, "status": exit code, "out": …, "err": …}
{"pipe": […]}        runs it and throws its output away; {"ns": …, "status": …, "bytes": what came}
{"restart": […]}     kills Corten's daemon, starts it again, repeats the command until it ends with 0; {"ns", "lines"}
{"pss": [names]}     {"kb": summed PSS of the processes with these program names in our mount namespace, "n": …}
{"switches": [names]} {"tasks": {thread: its context switches so far}}
"""
import json
import os
import signal
import sys
import time


def run(argv):
    out, err = (os.memfd_create(name) for name in ("out", "err"))
    null = os.open("/dev/null", os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
    start = time.monotonic_ns()
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    end = time.monotonic_ns()
    answer = {"ns": end - start, "status": os.waitstatus_to_exitcode(status)}
    for name, fd in (("out", out), ("err", err)):
        answer[name] = os.pread(fd, 1 << 20, 0).decode(errors="replace")
    for fd in (out, err, null):
        os.close(fd)
    return answer


def pipe(argv):
    ours, theirs = os.pipe()
    start, count = time.monotonic_ns(), 0
    pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 1)])
    os.close(theirs)
    while block := os.read(ours, 1 << 20):
        count += len(block)
    _, status = os.waitpid(pid, 0)
    os.close(ours)
    return {"ns": time.monotonic_ns() - start, "status": os.waitstatus_to_exitcode(status), "bytes": count}


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            ended = file.read().rpartition(")")[2].split()[0] == "Z"
        return not ended or len(os.listdir(f"/proc/{pid}/task")) > 1
    except FileNotFoundError:
        return False


def restart(argv):
    directory = os.path.dirname(os.environ["CORTEN_SOCKET"])
    with open(f"{directory}/pid") as file:
        pid = int(file.read())
    with open(f"/proc/{pid}/cmdline") as file:
        daemon = file.read().split("\0")[:-1]
    os.kill(pid, signal.SIGKILL)
    # Its files are closed, the lock on its data among them, when nothing but its exit status is left: no thread either.
    while running(pid):
        time.sleep(0.001)
    start = time.monotonic_ns()
    log = os.open(f"{directory}/daemon.log", os.O_WRONLY | os.O_APPEND)
    os.posix_spawnp(daemon[0], daemon, os.environ, setsid=True,
                    file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)])
    os.close(log)
    while (answer := run(argv))["status"] != 0:
        if time.monotonic_ns() - start > 60e9:
            break
    return {"ns": time.monotonic_ns() - start, "lines": len(answer["out"].split())}


def processes(names):
    mine = os.readlink("/proc/self/ns/mnt")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            program = os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
            with open(f"/proc/{pid}/comm") as file:
                # A program that runs from a detached mount has no path.
                called = {program, file.read().strip()}
            if called & set(names) and os.readlink(f"/proc/{pid}/ns/mnt") == mine:
                yield pid
        except OSError:
            pass


def lines(path, field):
    try:
        with open(path) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(field))
    except OSError:
        return 0


def pss(names):
    found = list(processes(names))
    return {"kb": sum(lines(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in found), "n": len(found)}


def switches(names):
    fields = ("voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:")
    tasks = ((pid, task) for pid in processes(names) for task in os.listdir(f"/proc/{pid}/task"))
    return {"tasks": {task: lines(f"/proc/{pid}/task/{task}/status", fields) for pid, task in tasks}}


ORDERS = {"argv": run, "pipe": pipe, "restart": restart, "pss": pss, "switches": switches}
for order in sys.stdin:
    (kind, what), = json.loads(order).items()
    print(json.dumps(ORDERS[kind](what)), flush=True)
