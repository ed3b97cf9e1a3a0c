"""The engines side by side: a worker in each one's namespaces, and its client."""
import atexit
import json
import os
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
PEERS = os.path.join(os.path.dirname(TOP), "shared", "peers", "peers.sh")
PEERS_THERE = os.access(PEERS, os.X_OK) and subprocess.run([PEERS, "versions"], capture_output=True).returncode == 0
BIN = os.environ.get("CORTEN_BIN", os.path.join(TOP, "bin"))
WORK = tempfile.mkdtemp(prefix="corten-bench-", dir="/tmp")
atexit.register(shutil.rmtree, WORK, ignore_errors=True)


class Failed(Exception):
    pass


class Worker:
    """A worker.py inside an engine's namespaces."""

    def __init__(self, name, argv):
        self.name = name
        self.process = subprocess.Popen([*argv, "python3", share(f"{HERE}/worker.py")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

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

    def __init__(self, name, client, argv, daemons, keepers):
        super().__init__(name, argv)
        self.client = client
        # Names of its processes: those of the engine, and those that there is one of per container.
        self.daemons, self.keepers = daemons, keepers

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
    found, wanted = [], os.environ.get("ENGINES", "corten docker podman").split()
    if "corten" in wanted and os.access(f"{BIN}/corten", os.X_OK):
        found.append(Engine("corten", ["corten"], [f"{TOP}/scripts/private-daemon.sh", BIN],
                            ["corten"], ["corten-shim", "corten-ready"]))
    docker = ["dockerd", "containerd"], ["containerd-shim-runc-v2", "docker-proxy"]
    if "docker" in wanted and PEERS_THERE:
        directory = f"{WORK}/docker"
        socket = subprocess.run([PEERS, "dockerd", directory], stdout=subprocess.PIPE, text=True)
        atexit.register(subprocess.run, [PEERS, "stop", directory])
        if socket.returncode == 0:
            found.append(Engine("docker", ["docker"], [PEERS, "tool", directory, "--"], *docker))
    elif "docker" in wanted and shutil.which("docker"):
        if subprocess.run(["docker", "version"], capture_output=True).returncode == 0:
            found.append(Engine("docker", ["docker"], [], *docker))
    if "podman" in wanted and (PEERS_THERE or shutil.which("podman")):
        found.append(Engine("podman", podman(), [PEERS, "exec", "--"] if PEERS_THERE else [], [], ["conmon"]))
    for name in wanted:
        if name not in (engine.name for engine in found):
            print(f"(no {name} here)")
    return found


def podman():
    # Stores of its own, so that the machine's are not touched.
    return ["podman", "--root", f"{WORK}/podman/root", "--runroot", f"{WORK}/podman/run", "--runtime", "crun"]
