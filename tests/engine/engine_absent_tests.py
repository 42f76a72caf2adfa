"""An engine that is away or hangs is a state that is told, with a cure; the command line answers all the same."""
import contextlib
import socket
import threading
import time

from mesh import check, same

QUICK = '[engine]\ndeadline = "1s"\n'


@contextlib.contextmanager
def hung_engine(path):
    """A socket that takes every connection and never answers."""
    taken = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(64)

        def take():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])
        threading.Thread(target=take, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in taken:
                connection.close()


def fastest(mesh, times, *words):
    """The median of the seconds that the command takes."""
    took = []
    for _ in range(times):
        begun = time.monotonic()
        mesh.expect(0, *words)
        took.append(time.monotonic() - begun)
    return sorted(took)[times // 2]


def test_engine_absent(bench):
    mesh = bench.mesh(QUICK, DOCKER_HOST="unix:///nonexistent/docker.sock")
    mesh.refused(5, r"/nonexistent/docker\.sock.*\(.+\)$", *mesh.start_words(mesh.name()))
    same(mesh.json("list", "--all"), [], "agents")
    same(mesh.json("status")["engine"]["reachable"], False, "engine.reachable")
    findings = mesh.run("doctor", "--json")
    same(findings.returncode, 1, "exit code of doctor")
    check("engine" in findings.stdout, f"doctor does not name the engine: {findings.stdout}")


def test_engine_hung(bench):
    mesh = bench.mesh(QUICK)
    with hung_engine(mesh.place / "engine.sock"):
        mesh.environment["DOCKER_HOST"] = f"unix://{mesh.place}/engine.sock"
        mesh.expect(0, "up")
        bench.measured("list, median of 11", fastest(mesh, 11, "list", "--json") * 1000, 100, "ms")
        begun = time.monotonic()
        done = mesh.run(*mesh.start_words(mesh.name()))
        bench.measured("start's answer", time.monotonic() - begun, 3, "s")
        check(done.returncode in (5, 124), f"exit {done.returncode}: {done.stderr}")
        check(len(done.stderr.splitlines()) == 1 and "engine" in done.stderr, f"not one line: {done.stderr}")
        same(mesh.json("status")["engine"]["reachable"], False, "engine.reachable")
        same(mesh.json("list", "--all"), [], "agents")
        mesh.expect(0, "down")


def test_engine_comes_late(bench):
    """A daemon that was started without the engine uses it as soon as it is there."""
    mesh = bench.mesh(QUICK)
    link = mesh.place / "late.sock"
    mesh.environment["DOCKER_HOST"] = f"unix://{link}"
    mesh.refused(5, "late", *mesh.start_words(mesh.name()))
    link.symlink_to(mesh.engine.path)
    name = mesh.start(mesh.name())
    link.unlink()
    same([agent["name"] for agent in mesh.json("list")], [name], "agents")
    link.symlink_to(mesh.engine.path)
    mesh.expect(0, "stop", name)
