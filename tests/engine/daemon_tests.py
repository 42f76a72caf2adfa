"""The journal and the control socket are their owner's, and a home that cannot be used is refused with a cure."""
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

from mesh import Failed, always, check, eventually, same
from restart_tests import QUICK, until_run

OTHER_UID = 65534


def test_second_daemon_is_refused(bench):
    mesh = bench.mesh()
    mesh.expect(0, "up")
    mesh.refused(4, r"another daemon.*\(.+\)$", "daemon", limit_s=10)


def without_daemon(mesh):
    mesh.expect(0, "up")
    mesh.expect(0, "down")
    eventually(5, lambda: mesh.daemon() is None, "the daemon has ended")


def test_journal_of_a_newer_version(bench):
    mesh = bench.mesh()
    without_daemon(mesh)
    journal = sqlite3.connect(mesh.home / "state.db")
    journal.execute("PRAGMA user_version = 1000")
    journal.close()
    mesh.refused(4, r"version 1000.*\(.+\)$", "list")
    same(mesh.daemon(), None, "daemon")


def test_journal_that_is_damaged(bench):
    mesh = bench.mesh()
    without_daemon(mesh)
    path = mesh.home / "state.db"
    whole = path.read_bytes()
    for damaged in (b"this is not a database" * 1000, whole[:4096] + os.urandom(len(whole) - 4096), whole[:2000]):
        path.write_bytes(damaged)
        mesh.refused(1, r"state\.db.*\(.+\)$", "list")
        same(path.read_bytes(), damaged, "the damaged file, left for the person")
    path.unlink()
    mesh.expect(0, "list")


def test_home_that_is_read_only(bench):
    if os.geteuid() != 0:
        return
    mesh = bench.mesh()
    without_daemon(mesh)
    done = subprocess.run(["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && '
                           'exec "$2" list', "sh", mesh.home, mesh.program], env=mesh.environment,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    same((done.returncode, done.stdout, len(done.stderr.splitlines())), (7, "", 1), f"exit, stdout, lines of an error "
         f"about a read-only home: {done.stderr}")
    check("read-only" in done.stderr.lower() and "(" in done.stderr, f"no cure: {done.stderr}")


def as_other_user(mesh, *words):
    if shutil.which("setpriv") is None:
        raise Failed("setpriv is not installed")
    return subprocess.run(["setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups", *map(str, words)],
                          env=mesh.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          cwd="/")


def test_socket_is_its_owners_only(bench):
    if os.geteuid() != 0:
        return
    mesh = bench.mesh()
    mesh.expect(0, "up")
    same(oct(mesh.home.stat().st_mode & 0o777), "0o700", "mode of the home")
    same(oct((mesh.home / "daemon.sock").stat().st_mode & 0o777), "0o600", "mode of the socket")
    done = as_other_user(mesh, mesh.program, "list")
    same((done.returncode, done.stdout), (7, ""), f"exit and stdout for another user: {done.stderr}")
    # Even where the modes were opened by mistake, the daemon asks the kernel who calls.
    mesh.home.chmod(0o711)
    (mesh.home / "daemon.sock").chmod(0o666)
    talk = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); "
            "s.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); print(s.recv(4096))")
    said = as_other_user(mesh, "/usr/bin/env", "python3", "-c", talk, mesh.home / "daemon.sock")
    check("200" not in said.stdout and "daemon" not in said.stdout, f"another user was answered: {said.stdout}")
    mesh.expect(0, "status")


def test_socket_survives_nonsense(bench):
    mesh = bench.mesh()
    mesh.expect(0, "up")
    pid = mesh.daemon()
    for nonsense in (b"", b"\0" * 5000, b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/agents HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/agents HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
                     b"POST /v1/agents HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n[[[[[[",
                     b"POST /v1/agents HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{\"name\":1",
                     b"GET /v1/agents/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(mesh.home / "daemon.sock"))
            try:
                client.sendall(nonsense)
                client.shutdown(socket.SHUT_WR)
                answer = client.recv(4096)
            except OSError:
                answer = b""
            check(b" 200 " not in answer.split(b"\r\n")[0], f"{nonsense[:60]} was answered with {answer[:100]}")
    mesh.expect(0, "status")
    same(mesh.daemon(), pid, "the daemon's pid")


def test_a_daemon_that_hangs_keeps_no_command(bench):
    """Nothing comes from it: each command ends with 124 and says what to do. One that goes on answers again."""
    mesh = bench.mesh()
    mesh.expect(0, "up")
    pid = mesh.daemon()
    waiting = ("list",), ("status",), ("list", "--json"), ("stop", "a", "b"), ("events", "-f"), ("up",), ("down",)
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        children = [mesh.spawn(*words) for words in waiting]
        for words, child in zip(waiting, children):
            said = child.communicate(timeout=60)[0]
            same(child.returncode, 124, f"exit code of {words}, which said {said}")
            check(f"pid {pid}" in said and "kill -CONT" in said, f"{words} said {said}")
        bench.measured("all commands ended", time.monotonic() - begun, 30, "s")
    finally:
        os.kill(pid, signal.SIGCONT)
    mesh.expect(0, "list")  # whether it still heeds the shutdown that was asked for or not


def test_a_daemon_that_pauses_is_waited_for(bench):
    mesh = bench.mesh()
    mesh.expect(0, "up")
    pid = mesh.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        child = mesh.spawn("list")
        always(7, lambda: child.poll() is None, "the command waits")
    finally:
        os.kill(pid, signal.SIGCONT)
    same((child.wait(timeout=10), mesh.daemon()), (0, pid), "its exit code and the daemon's pid")


def test_events_before_and_while_one_follows(bench):
    """A slow reader gets the many kept events and what happens meanwhile: each once, in order, and all."""
    mesh = bench.mesh()
    without_daemon(mesh)
    journal = sqlite3.connect(mesh.home / "state.db")
    with journal:
        journal.executemany("INSERT INTO events (at, agent, name, reason) VALUES (0, 'old', 'kept', ?)",
                            [("x" * 200,)] * 6_000)
    journal.close()
    mesh.expect(0, "up")
    follower = mesh.spawn("events", "-f", "--json")
    try:
        first = json.loads(follower.stdout.readline())
        name = mesh.start(mesh.name())
        mesh.expect(0, "stop", name)
        told = [first]
        while told[-1]["name"] != "ended":
            told.append(json.loads(follower.stdout.readline()))
    finally:
        follower.stdout.close()
    numbers = [event["seq"] for event in told]
    same(numbers, list(range(first["seq"], first["seq"] + len(told))), "each event once, in order, none left out")
    mesh.start(mesh.name("b"))
    same(follower.wait(timeout=10), -signal.SIGPIPE, "its end once nobody reads its output")


def test_events_are_followed(bench):
    mesh = bench.mesh()
    mesh.expect(0, "up")
    path = mesh.place / "events"
    with path.open("w") as output:
        follower = mesh.spawn("events", "-f", "--json", stdout=output)

    def told():
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def tells(word):
        eventually(10, lambda: word in [event["name"] for event in told()], f"the event '{word}'")
    try:
        tells("daemon_started")
        name = mesh.start(mesh.name())
        tells("ready")
        mesh.expect(0, "stop", name)
        tells("ended")
    finally:
        follower.terminate()
        follower.wait(timeout=10)
    numbers = [event["seq"] for event in told()]
    same(numbers, sorted(set(numbers)), "each event once, in order")


def test_logs_are_followed(bench):
    """Each line once, over a restart and a crash of the agent, to its stop."""
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "SAY old")
    mesh.expect(0, "nudge", name, "SAY first")
    path = mesh.place / "logs"
    with path.open("w") as output:
        follower = mesh.spawn("logs", "-f", name, "--tail", "5000", stdout=output)

    def told(line):
        return path.read_text().splitlines().count(line)

    def tells(word):
        mesh.until_status(name, "idle")
        mesh.expect(0, "nudge", name, f"SAY {word}")
        eventually(10, lambda: told(f"you: SAY {word}"), f"'{word}' is told")
    try:
        eventually(10, lambda: told("you: SAY first"), "what was there is told")
        tells("second")
        mesh.expect(0, "restart", name)
        tells("third")
        same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "the engine's kill")
        until_run(mesh, name, 3)
        tells("fourth")
        for word in ("old", "first", "second", "third", "fourth"):
            same(told(f"you: SAY {word}"), 1, f"how often '{word}' is told")
        mesh.expect(0, "stop", name)
        same(follower.wait(timeout=10), 0, "exit code when the agent is stopped")
    finally:
        follower.kill()
        follower.wait(timeout=10)
    mesh.refused(3, "has no terminal now", "logs", "-f", name)
    mesh.refused(2, "not a number from 1 to 5000", "logs", "-f", name, "--tail", "0")


def test_followed_logs_start_no_daemon(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    follower = mesh.spawn("logs", "-f", name)
    try:
        check("fake-agent is up" in follower.stdout.readline(), "the terminal's first line")
        mesh.expect(0, "down")
        check(follower.wait(timeout=10) != 0, "exit code 0 when the daemon is gone")
        same(mesh.daemon(), None, "a daemon")
    finally:
        follower.kill()
        follower.communicate(timeout=10)


def test_a_call_has_the_same_name_in_a_sandbox_and_on_a_host(bench):
    """images/hook and `agentmesh hook` are one format: who compares two calls need not know which told them."""
    mesh = bench.mesh()
    path = mesh.place / "hook.sock"
    call = {"b": 'grün " /x', "a": [1, {"z": None}]}
    hook = json.dumps({"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": call})
    told = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(10)
        inside = pathlib.Path(__file__).parents[2] / "images/hook"
        for words in (["/usr/bin/env", "python3", "-IS", inside, "claude"], [mesh.program, "hook", "claude"]):
            subprocess.run(words, input=hook, text=True, check=True, env={**os.environ, "AGENTMESH_HOOK": str(path)})
            told.append(json.loads(receiver.recv(65536))["call"])
    same(told[0], told[1], "the call")
    check(len(told[0]) == 24, f"24 digits: {told}")
