"""What programs do with docker-py, against the engine at $DOCKER_HOST. Every step says what it expects; the first that
does not hold ends it. `scripts/docker-py.sh` runs it."""

import io
import sys
import tarfile
import threading
import time

import docker
from docker import errors

client = docker.from_env(timeout=30)
IMAGE = "docker-py-test:1"


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, expected {wanted!r}")
    print("ok", what)


def refused(what, kind, run):
    try:
        run()
    except kind:
        print("ok", what)
    else:
        sys.exit(f"{what}: was not refused")


def wait_until(what, condition):
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: did not come true")
        time.sleep(0.02)
    print("ok", what)


def system():
    expect("ping", client.ping(), True)
    expect("version", client.version()["Os"], "linux")
    expect("info", client.info()["OSType"], "linux")


def images(archive):
    client.api.import_image(archive, repository="docker-py-test", tag="1")
    image = client.images.get(IMAGE)
    expect("image tags", image.tags, [IMAGE])
    expect("image list", [i.id for i in client.images.list(name="docker-py-test")], [image.id])
    expect("tag", image.tag("docker-py-test", "2"), True)
    expect("history", len(image.history()), 1)
    client.images.remove("docker-py-test:2")
    saved = b"".join(image.save(named=True))
    client.images.remove(IMAGE)
    refused("no such image", errors.ImageNotFound, lambda: client.images.get(IMAGE))
    expect("load", [i.tags for i in client.images.load(saved)], [[IMAGE]])


def run():
    def once(*args, **more):
        return client.containers.run(IMAGE, *args, network_mode="none", **more)

    expect("run", once(["echo", "hi"], remove=True), b"hi\n")
    expect("run stderr", once("sh -c 'echo out; echo err >&2'", remove=True, stdout=False, stderr=True), b"err\n")
    expect("environment", once("sh -c 'echo $A'", remove=True, environment={"A": "b c"}), b"b c\n")
    refused("exit code", errors.ContainerError, lambda: once("false", remove=True))
    refused("missing program", errors.APIError, lambda: once("nosuch", remove=True))
    refused("missing image", errors.APIError, lambda: client.containers.create("docker-py-nosuch:1", "true"))


def containers():
    container = client.containers.run(
        IMAGE, ["sleep", "1000"], detach=True, name="docker-py", network_mode="none", labels={"of": "docker-py"},
        mem_limit="64m", ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)],
        mounts=[docker.types.Mount("/mnt", "/usr", type="bind", read_only=True)],
    )
    try:
        expect("status", client.containers.get("docker-py").status, "running")
        expect("list", [c.name for c in client.containers.list(filters={"label": "of=docker-py"})], ["docker-py"])
        expect("memory", container.attrs["HostConfig"]["Memory"], 64 << 20)
        execs(container)
        container.pause()
        container.reload()
        expect("pause", container.status, "paused")
        container.unpause()
        expect("top", container.top()["Processes"][0][-1], "sleep 1000")
        expect("stats", container.stats(stream=False)["memory_stats"]["limit"], 64 << 20)
        container.rename("docker-py-2")
        container.update(cpu_shares=300)
        container.reload()
        expect("update", (container.name, container.attrs["HostConfig"]["CpuShares"]), ("docker-py-2", 300))
        files(container)
        container.restart(timeout=0)
        container.reload()
        expect("restart", container.status, "running")
        container.kill()
        expect("wait", container.wait()["StatusCode"], 137)
        refused("kill again", errors.APIError, container.kill)
    finally:
        container.remove(force=True)
    refused("no such container", errors.NotFound, lambda: client.containers.get("docker-py"))


def execs(container):
    expect("exec", tuple(container.exec_run("echo hi")), (0, b"hi\n"))
    expect("exec code", container.exec_run("sh -c 'exit 7'").exit_code, 7)
    both = container.exec_run("sh -c 'echo out; echo err >&2'", demux=True)
    expect("exec demux", both.output, (b"out\n", b"err\n"))
    expect("exec stream", b"".join(container.exec_run("seq 1000", stream=True).output).count(b"\n"), 1000)
    expect("exec user", container.exec_run("id -u", user="1").output, b"1\n")
    expect("exec workdir", container.exec_run("pwd", workdir="/tmp").output, b"/tmp\n")
    expect("exec tty", container.exec_run("tty", tty=True).output, b"/dev/pts/0\r\n")
    socket = container.exec_run("cat", stdin=True, socket=True).output
    socket._sock.sendall(b"typed\n")
    frame = b""
    while len(frame) < 14:
        frame += socket.read(14 - len(frame))
    expect("exec socket", frame, b"\x01\0\0\0\0\0\0\x06typed\n")
    socket.close()


def files(container):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("put")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    expect("put", container.put_archive("/tmp", archive.getvalue()), True)
    expect("put content", container.exec_run("cat /tmp/put").output, b"abc")
    stream, stat = container.get_archive("/tmp/put")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        expect("get", (stat["size"], tar.extractfile("put").read()), (3, b"abc"))
    expect("diff", {"Path": "/tmp/put", "Kind": 1} in container.diff(), True)
    image = container.commit("docker-py-test", "committed")
    client.images.remove(image.id)


def streams():
    container = client.containers.create(IMAGE, "sh -c 'read a; echo got $a; echo more >&2'", stdin_open=True,
                                         network_mode="none", name="docker-py-streams")
    try:
        socket = container.attach_socket(params={"stdin": 1, "stream": 1})
        container.start()
        socket._sock.sendall(b"it\n")
        expect("wait for the end", container.wait()["StatusCode"], 0)
        socket.close()
        expect("logs", container.logs(stderr=False), b"got it\n")
        expect("logs tail", container.logs(tail=1), b"more\n")
        expect("logs stream", b"".join(container.logs(stream=True, follow=True)), b"got it\nmore\n")
        expect("timestamps", container.logs(stderr=False, timestamps=True)[:2], b"20")
    finally:
        container.remove(force=True)
    container = client.containers.create(IMAGE, "seq 1 2000", network_mode="none", name="docker-py-attach")
    try:
        output = container.attach(stream=True, logs=True, stdout=True)
        container.start()
        expect("attach", b"".join(output).count(b"\n"), 2000)
    finally:
        container.remove(force=True)


def events():
    seen = []
    stream = client.events(decode=True, filters={"container": "docker-py-events"})
    reader = threading.Thread(target=lambda: seen.extend(event["Action"] for event in stream), daemon=True)
    reader.start()
    container = client.containers.create(IMAGE, "true", name="docker-py-events", network_mode="none")
    container.start()
    container.wait()
    container.remove()
    wait_until("events", lambda: seen[:1] == ["create"] and seen[-1:] == ["destroy"])
    stream.close()
    reader.join(10)
    expect("events end", reader.is_alive(), False)


def main():
    with open(sys.argv[1], "rb") as archive:
        data = archive.read()
    system()
    images(data)
    try:
        run()
        containers()
        streams()
        events()
    finally:
        client.images.remove(IMAGE, force=True)
    print("docker-py: everything holds")


main()
