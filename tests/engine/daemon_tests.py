"""Agents outlive the daemon and the tmux server; what was stopped stays stopped; the journal and the control socket
are their owner's, and a home that cannot be used is refused with a cure."""
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

from mesh import Failed, always, check, eventually, is_alive, same, seconds_of

STEADY = 10
STARTING = 3
OTHER_UID = 65534
KILLS = int(os.environ.get("AGENTMESH_KILLS", "5"))


def started_at(mesh, names):
    return {name: mesh.container(name)["State"]["StartedAt"] for name in names}


def wanted_in_journal(mesh):
    """Names whose start the journal has accepted. The daemon must be dead."""
    with sqlite3.connect(mesh.home / "state.db") as journal:
        rows = journal.execute("SELECT name, json_extract(record, '$.wanted') FROM agents").fetchall()
    journal.close()
    return {name for name, wanted in rows if wanted == "running"}


def all_run_once(mesh, names):
    """One container each, running; more than one is a failure at any moment."""
    runs = {}
    for box in mesh.containers():
        runs.setdefault(box["Config"]["Labels"]["agentmesh.agent"], []).append(box)
    doubled = [name for name, boxes in runs.items() if sum(box["State"]["Running"] for box in boxes) > 1]
    same(doubled, [], "agents that run twice")
    return all(name in runs and runs[name][-1]["State"]["Running"] for name in names)


def adoption_seconds(mesh, names):
    """From the last start of the daemon until it had adopted each of the names."""
    def adopted():
        events = mesh.events()
        begun = [row for row in events if row["name"] == "daemon_started"][-1]
        seen = {row["agent"]: row["at"] for row in events if row["seq"] > begun["seq"] and row["name"] == "adopted"}
        return all(name in seen for name in names) and \
            max(seconds_of(seen[name]) for name in names) - seconds_of(begun["at"])
    return eventually(10, adopted, f"adopted: {names}")[0]


def test_daemon_killed(bench):
    mesh = bench.mesh("[watchdog]\nmax_starting = 8\n")
    steady = [mesh.name(f"s{index}") for index in range(STEADY)]
    children = [mesh.spawn(*mesh.start_words(name)) for name in steady[:-3]]
    for child in children:
        said = child.communicate(timeout=90)[0]
        same(child.returncode, 0, f"exit code of start, which said {said}")
    for name in steady[-3:]:
        mesh.start_titled(name)
    before = started_at(mesh, steady)
    slowest, interrupted = 0.0, 0
    for round_number in range(KILLS if not bench.full else max(KILLS, 200)):
        fresh = [mesh.name(f"r{round_number}n{index}") for index in range(STARTING)]
        children = [mesh.spawn(*mesh.start_words(name, "--titles")) for name in fresh]
        time.sleep(bench.random.uniform(0.0, 0.6))  # the random moment itself
        mesh.kill_daemon()
        for child in children:
            child.communicate(timeout=30)
        accepted = wanted_in_journal(mesh) - set(steady)
        interrupted += len(accepted)
        listed = {agent["name"] for agent in mesh.json("list")}
        same(sorted(listed), sorted(accepted | set(steady)), "list after the kill")
        slowest = max(slowest, adoption_seconds(mesh, steady))
        eventually(30, lambda: all_run_once(mesh, accepted | set(steady)), "every wanted agent runs, once")
        same(started_at(mesh, steady), before, "StartedAt of the agents that ran")
        if accepted:
            mesh.expect(0, "stop", "--force", *sorted(accepted))
        eventually(10, lambda: len(mesh.containers()) == STEADY, "only the steady agents are left")
    bench.measured("adopted after the daemon's start", slowest, 2, "s")
    bench.measured("agents lost or doubled", 0, 0, "agents")
    bench.notes.append(f"starts that were interrupted: {interrupted}")
    for name in steady[-3:]:
        mesh.until_status(name, "idle")
        mesh.expect(0, "nudge", name, "still there?")
        same(mesh.messages(name)[1:], ["still there?"], "messages")


def test_tmux_killed(bench):
    mesh = bench.mesh()
    names = [mesh.start(mesh.name(f"a{index}")) for index in range(3)]
    for name in names:
        mesh.expect(0, "nudge", name, f"SAY words of {name}")
        mesh.until_status(name, "idle")
    before = started_at(mesh, names)
    os.kill(mesh.json("status")["tmux"]["server_pid"], signal.SIGKILL)

    def back():
        return all(f"SAY words of {name}" in mesh.screen(name) for name in names)
    bench.measured("panes back and painted", eventually(10, back, "panes back and painted")[1], 3, "s")
    same(started_at(mesh, names), before, "StartedAt")
    for name in names:
        mesh.expect(0, "nudge", name, "still there?")
        same(mesh.messages(name)[-1], "still there?", "the last message")
        check("words of" in mesh.expect(0, "logs", name).stdout, "`logs` has not the text of before")


def gone(mesh, name):
    return not mesh.containers(name) and f"agentmesh-{name}" not in mesh.sessions()


def test_stop_is_final(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--fork-children 3")
    pids = mesh.engine.processes(mesh.container(name)["Id"])
    begun = time.monotonic()
    mesh.expect(0, "stop", name)
    bench.measured("stop of an agent that obeys", time.monotonic() - begun, 5, "s")
    check(gone(mesh, name), "its container or session is there after stop")
    same([pid for pid in pids if is_alive(pid)], [], "processes")
    same(list(mesh.processes("pane")), [], "relays")
    stopped = mesh.agent(name)
    same((stopped["status"], stopped["reason"], stopped["exit"]["reason"]),
         ("stopped", "stopped by user", "stopped_by_user"), "status, reason and exit reason")
    mesh.kill_daemon()
    same(mesh.agent(name)["status"], "stopped", "status after a daemon's restart")
    always(60 if bench.full else 10, lambda: gone(mesh, name), "gone")
    same(mesh.json("crashes", name), [], "crash reports")


def test_stop_while_it_starts(bench):
    mesh = bench.mesh()
    for number in range(20 if bench.full else 6):
        name = mesh.name(f"n{number}")
        child = mesh.spawn(*mesh.start_words(name, "--start-after 3000"))
        eventually(10, lambda: any(agent["name"] == name for agent in mesh.json("list", "--all")), "start was taken")
        time.sleep(bench.random.uniform(0.0, 0.3))  # a random moment of the start
        mesh.expect(0, "stop", name)
        check(gone(mesh, name), "its container or session is there after stop")
        check(child.wait(30) != 0, "start of an agent that was stopped meanwhile exits 0")
        child.stdout.close()
    always(10, lambda: not mesh.containers() and not mesh.sessions(), "nothing came back")


def test_stop_of_an_agent_that_ignores_it(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--ignore-term")
    begun = time.monotonic()
    mesh.expect(0, "stop", name, "--timeout", "1s")
    bench.measured("stop --timeout 1s", time.monotonic() - begun, 6, "s")
    check(gone(mesh, name), "its container or session is there after stop")
    name = mesh.start(mesh.name("b"), "--ignore-term")
    begun = time.monotonic()
    mesh.expect(0, "stop", name, "--force")
    bench.measured("stop --force", time.monotonic() - begun, 5, "s")
    check(gone(mesh, name), "its container or session is there after stop")


def test_down_leaves_agents_and_ends_soon(bench):
    mesh = bench.mesh()
    name = mesh.start_titled(mesh.name())
    before = started_at(mesh, [name])
    pid = mesh.daemon()
    begun = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    eventually(10, lambda: not is_alive(pid), "the daemon ends by SIGTERM")
    bench.measured("daemon's end by SIGTERM", time.monotonic() - begun, 5, "s")
    same(started_at(mesh, [name]), before, "StartedAt")
    check(f"agentmesh-{name}" in mesh.sessions(), "its session ended with the daemon")
    mesh.until_status(name, "idle")
    mesh.expect(0, "down")
    same(mesh.daemon(), None, "daemon after down")
    same(started_at(mesh, [name]), before, "StartedAt")
    mesh.expect(0, "down", "--agents")
    eventually(5, lambda: not mesh.containers(), "no container after down --agents")


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
