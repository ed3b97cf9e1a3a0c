"""Many idle containers in every engine at once: what they cost, and what is slower because of them."""
import os
import statistics
import time

from engines import Failed
from figures import interleaved

IDLE = int(os.environ.get("IDLE", 500))
MARKS = sorted({mark for mark in (100, 500) if mark < IDLE} | {IDLE})
ROUNDS = 20


def bench_idle(found, table, while_there):
    """Starts IDLE containers in each engine, calls `while_there`, and removes them."""
    rows, memory = {}, {}
    for engine in found:
        engine.do("run", "--rm", "--network", "none", "busybox", "true")
        memory[engine.name] = {0: pss(engine)}
        spent = 0
        for number in range(1, IDLE + 1):
            spent += engine.do("run", "-d", "--network", "none", "busybox", "sleep", "infinity")["ns"]
            if number in MARKS:
                memory[engine.name][number] = pss(engine)
        rows[engine.name] = [spent / 1e9]
        if len(engine.do("ps", "-q")["out"].split()) != IDLE:
            raise Failed(f"{engine.name}: not all containers run")
    for engine in found:
        rows[engine.name].append(idle_switches(engine))
    questions(found, table)
    while_there()
    restart(found, table)
    for engine in found:
        before = time.monotonic()
        engine.remove_all()
        rows[engine.name].append(time.monotonic() - before)
    show(found, table, rows, memory)


def pss(engine):
    """kB of the daemon's processes, and of those that there is one of per container."""
    return [engine.ask(pss=programs)["kb"] for programs in (engine.daemons, engine.keepers)]


def show(found, table, rows, memory):
    print(f"\n{IDLE} idle containers")
    print(f"  {'':14} {'start':>9} {'remove':>9} {'kB each':>9} {'switches':>9}   kB of daemon + supervisors")
    for engine in found:
        started, switches, removed = rows[engine.name]
        marks = memory[engine.name]
        each = (sum(marks[IDLE]) - sum(marks[0])) / IDLE
        table.raw[f"idle {engine.name}"] = dict(start=started, remove=removed, kb=each, switches=switches, pss=marks)
        at = ", ".join(f"{mark}: {daemon} + {keepers}" for mark, (daemon, keepers) in marks.items())
        print(f"  {engine.name:14} {started:7.2f} s {removed:7.2f} s {each:9.1f} {switches:9d}   {at}")


def idle_switches(engine):
    """Context switches of an idle engine in ten seconds, by threads that were there all the time: a thread that has
    left takes its count along. Before that, what follows the last request gets twelve seconds to be over."""
    programs = engine.daemons + engine.keepers
    time.sleep(12)
    first = engine.ask(switches=programs)["tasks"]
    time.sleep(10)
    last = engine.ask(switches=programs)["tasks"]
    return sum(count - first[task] for task, count in last.items() if task in first)


def questions(found, table):
    """`ps` of all and `inspect` of one."""
    one = {engine.name: engine.do("ps", "-q")["out"].split()[IDLE // 2] for engine in found}
    for title, args in (("ps", lambda name: ["ps"]), ("ps -q", lambda name: ["ps", "-q"]),
                        ("inspect ID", lambda name: ["inspect", one[name]])):
        table.show(f"{title} with {IDLE} containers",
                   interleaved({e.name: lambda e=e, args=args: e.do(*args(e.name))["ns"] for e in found}, ROUNDS))


def restart(found, table):
    """Corten's daemon killed and started again, until it lists all of them: the peers' containers die with it, or they
    have no daemon."""
    for engine in found:
        if engine.name != "corten":
            continue
        times = []
        for _ in range(5):
            answer = engine.ask(restart=engine.client + ["ps", "-q"])
            if answer["lines"] != IDLE:
                raise Failed(f"after a restart {answer['lines']} of {IDLE} containers run")
            times.append(answer["ns"])
        table.raw["restart corten"] = times
        print(f"\ndaemon killed and started again with {IDLE} containers: {statistics.median(times) / 1e6:.0f} ms until "
              "`ps -q` lists all of them")
