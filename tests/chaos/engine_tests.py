"""Promises 3 to 6, 11 and 12: an engine that restarts, hangs, loses events or whose host is short of processes or disk
costs no agent, and the command line answers all the while. Each test has an engine of its own."""
import json
import os
import signal
import subprocess
import time

from mesh import always, check, eventually, same, seconds_of
from private_engine import PrivateEngine, kill_process
from relay import Relay

QUICK = '[watchdog]\nbackoff_first = "200ms"\nmax_starting = 8\n'
ASKED = (("list", "--json"), ("status", "--json"), ("explain",))


def listed(mesh):
    return {agent["name"]: agent["status"] for agent in mesh.json("list")}


def seconds_to_answer(mesh, name):
    """The slowest of the commands that need no engine."""
    slowest = 0.0
    for words in ASKED:
        begun = time.monotonic()
        mesh.expect(0, *words, *([name] if words == ("explain",) else []))
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def p99(values):
    return sorted(values)[int(len(values) * 0.99)]


def test_engine_restart_with_live_restore(bench):
    engine = bench.keep(PrivateEngine(live_restore=True))
    mesh = bench.mesh(QUICK, engine.socket)
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(bench.count(6, 20))])
    before, slowest = mesh.started_at(names), 0.0
    for number in (signal.SIGTERM, signal.SIGKILL) * bench.count(1, 3):
        engine.end(number)
        eventually(10, lambda: not mesh.json("status")["engine"]["reachable"], "it is seen that the engine is away")
        same(sorted(listed(mesh)), sorted(names), "list while the engine is away")
        engine.start()
        right = {name: "idle" for name in names}
        slowest = max(slowest, eventually(10, lambda: mesh.json("status")["engine"]["reachable"] and
                                          listed(mesh) == right, f"list is right again: {listed(mesh)}")[1])
        same(mesh.started_at(names), before, "container and StartedAt of each agent")
    bench.measured("containers restarted", 0, 0, "containers")
    bench.measured("list right after the API is back", slowest, 3, "s")
    for name in names[:3]:
        mesh.expect(0, "nudge", name, "still there?")
        same(mesh.messages(name), ["still there?"], "messages")


def test_engine_restart_without_live_restore(bench):
    engine = bench.keep(PrivateEngine(live_restore=False))
    mesh = bench.mesh(QUICK, engine.socket)
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(bench.count(4, 20))])
    for name in names:
        mesh.expect(0, "nudge", name, f"SAY I am {name}")
    for number in (signal.SIGTERM, signal.SIGKILL):
        before = mesh.started_at(names)
        engine.end(number)
        engine.start()

        def back():
            return mesh.all_run_once(names) and all(status == "idle" for status in listed(mesh).values()) and \
                all(life != before[name] for name, life in mesh.started_at(names).items())
        bench.measured(f"all {len(names)} run again after {number.name}", eventually(90, back, "all run again")[1], 60, "s")
        for name in names:
            check("AGENTMESH_RESUME=1" in mesh.container(name)["Config"]["Env"], f"{name} does not resume")
            same(mesh.agent(name)["restarts"]["count"], 0, "restarts counted: the engine's end is not the agent's fault")
    for name in names[:3]:
        mesh.expect(0, "nudge", name, "still there?")
        same(mesh.messages(name)[-1], "still there?", "the last message")


def test_engine_hung_for_a_minute(bench):
    engine = bench.keep(PrivateEngine(live_restore=True))
    mesh = bench.mesh(QUICK + '[engine]\ndeadline = "5s"\n', engine.socket)
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(bench.count(4, 20))])
    before = mesh.started_at(names)
    victim, fresh = names[0], mesh.name("fresh")
    main_process = mesh.container(victim)["State"]["Pid"]
    engine.signal(signal.SIGSTOP)
    try:
        begun, took = time.monotonic(), []
        kill_process(main_process)
        asked = mesh.spawn(*mesh.start_words(fresh))
        while time.monotonic() - begun < bench.count(15, 60):
            took.append(seconds_to_answer(mesh, names[1]))
            time.sleep(0.05)
        # A terminal's bytes pass through the engine: whether this arrives cannot be known now.
        mesh.expect(124, "nudge", names[1], "whenever the engine goes on")
    finally:
        engine.signal(signal.SIGCONT)
    asked.communicate(timeout=90)
    bench.measured(f"list, status, explain while it hangs, p99 of {len(took)}", p99(took) * 1000, 100, "ms")
    wanted = [name for name, agent in ((agent["name"], agent) for agent in mesh.json("list", "--all"))
              if agent["status"] not in ("stopped", "failed")]
    check(set(names) <= set(wanted), f"an agent was given up: {wanted}")
    eventually(60, lambda: mesh.all_run_once(wanted), "exactly one run of each agent")
    always(5, lambda: mesh.all_run_once(wanted), "exactly one run of each agent")
    after = mesh.started_at(names)
    same({name for name in names if after[name] != before[name]}, {victim}, "agents with another run")
    starts = {name: len(mesh.engine_events(name, "start")) for name in wanted}
    same(starts, {name: 2 if name == victim else 1 for name in wanted}, "starts")
    bench.measured("runs repeated blindly", 0, 0, "runs")
    eventually(10, lambda: mesh.messages(names[1]), "the message arrived")
    same(mesh.messages(names[1]), ["whenever the engine goes on"], "messages")


RELIST_S = 3


def test_lost_engine_events(bench):
    engine = bench.keep(PrivateEngine(live_restore=True))
    words = (b'"die"', b'"oom"', b'"destroy"', b'"stop"', b'"kill"')
    relay = bench.keep(Relay(engine.place / "relay.sock", engine.socket,
                             loses=lambda line: any(word in line for word in words)))
    mesh = bench.mesh(QUICK + f'relist = "{RELIST_S}s"\n', engine.socket, DOCKER_HOST=f"unix://{relay.path}")
    slowest = 0.0
    name = mesh.start(mesh.name())
    for _ in range(bench.count(3, 10)):
        box = mesh.container(name)
        begun = time.time()
        mesh.engine.kill(box["Id"])

        def seen():
            ends = [row for row in mesh.events(name, "ended") if seconds_of(row["at"]) >= begun]
            return ends and seconds_of(ends[0]["at"]) - begun
        # Its pane ends too: that or the relist, whichever tells first.
        slowest = max(slowest, eventually(3 * RELIST_S, seen, "its end is seen although no event told")[0])
        eventually(20, lambda: mesh.all_run_once([name]) and box["Id"] not in [now["Id"] for now in mesh.containers(name)],
                   "it runs again")
        mesh.until_status(name, "idle")
        mesh.expect(0, "restart", name)  # by a person: the count of restarts begins anew
        mesh.until_status(name, "idle")
    bench.measured("an end without its events is seen", slowest, RELIST_S + 1, "s (a relist and a listing)")


def tmux_clients(mesh):
    """The daemon's: nobody else is attached."""
    return [int(pid) for pid in mesh.tmux("list-clients", "-F", "#{client_pid}").stdout.split()]


def painted(mesh, name):
    return f"agentmesh-{name}" in mesh.sessions() and "fake-agent is up" in mesh.screen(name)


def test_lost_tmux_events(bench):
    """Each session ends while the daemon has no client that could tell it, and is held so that it has no other."""
    mesh = bench.mesh(QUICK + f'relist = "{RELIST_S}s"\n')
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(3)])
    for name in names:
        eventually(10, lambda: painted(mesh, name), "its first session, which may come after its state")
    before, slowest, pid = mesh.started_at(names), 0.0, mesh.daemon()
    for name in names:
        clients = tmux_clients(mesh)
        check(clients, "the daemon has no tmux client, and opened a session")
        os.kill(pid, signal.SIGSTOP)
        try:
            for client in clients:
                os.kill(client, signal.SIGKILL)
            eventually(5, lambda: not tmux_clients(mesh), "tmux has seen that its client is gone")
            same(mesh.tmux("kill-session", "-t", f"=agentmesh-{name}").returncode, 0, "tmux kill-session")
        finally:
            os.kill(pid, signal.SIGCONT)
        slowest = max(slowest, eventually(3 * RELIST_S, lambda: painted(mesh, name), "its session is back, painted")[1])
    bench.measured("a session whose end nobody told is back", slowest, RELIST_S, "s")
    check(len(mesh.events(name="tmux_back")) >= len(names), "the daemon never lost its way to tmux")
    same((mesh.started_at(names), mesh.daemon()), (before, pid), "container and StartedAt of each, and the daemon")


PIDS = 512


def bombs_box(mesh, name, memory):
    """Starts a fork bomb with so much memory. (the child that starts it, its container)"""
    words = list(mesh.start_words(name))
    words[words.index("--command") + 1] = "perl -e 'fork while 1'"
    words[words.index("--sandbox-memory") + 1] = memory
    asked = mesh.spawn(*words)
    return asked, eventually(30, lambda: mesh.containers(name), "the bomb's container")[0][0]


def full_of(mesh, box):
    """How many processes it has, once those are all it may."""
    return eventually(60, lambda: len(mesh.engine.processes(box["Id"])) >= PIDS - 12 and
                      len(mesh.engine.processes(box["Id"])), "the bomb has reached its limit of processes")[0]


def seconds_of_raw_kill(mesh, box):
    """A twin of the bomb, and how long the engine alone needs to kill and to remove it."""
    host = {key: box["HostConfig"][key] for key in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit", "NetworkMode")}
    made = mesh.engine.call("POST", "/containers/create", {
        "Image": box["Image"], "Entrypoint": [], "Cmd": ["perl", "-e", "fork while 1"], "HostConfig": host})[1]
    twin = {"Id": json.loads(made)["Id"]}
    same(mesh.engine.call("POST", f"/containers/{twin['Id']}/start")[0], 204, "start of the twin")
    full_of(mesh, twin)
    begun = time.monotonic()
    mesh.engine.kill(twin["Id"])
    mesh.engine.remove(twin["Id"])
    return time.monotonic() - begun


def test_fork_bomb(bench):
    engine = bench.keep(PrivateEngine(live_restore=True))
    mesh = bench.mesh(QUICK, engine.socket)
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(3)])
    bomb = mesh.name("bomb")
    asked, box = bombs_box(mesh, bomb, "256m")  # its processes are the limit, not its memory
    counted = full_of(mesh, box)
    took = []
    for index in range(bench.count(150, 1000)):
        begun = time.monotonic()
        mesh.expect(0, "list", "--json")
        took.append(time.monotonic() - begun)
    bench.measured(f"list beside {counted} processes of a bomb, p99 of {len(took)}", p99(took) * 1000, 200, "ms")
    for name in names:
        mesh.expect(0, "nudge", name, "still there?")
        same(mesh.messages(name), ["still there?"], "messages")
    begun = time.monotonic()
    mesh.expect(0, "stop", "--force", bomb)
    ours, raw = time.monotonic() - begun, seconds_of_raw_kill(mesh, box)
    bench.notes.append(f"stop --force of the bomb: {ours:.2f} s; the engine alone, of its twin: {raw:.2f} s")
    bench.measured("stop --force of the bomb, more than the engine alone", max(0, ours - raw), 10, "s")
    asked.communicate(timeout=90)


def test_fork_bomb_without_memory(bench):
    """Its processes are killed for memory by the hundred, its main process among them: stopped at a random moment.

    They overdraw their share of the processors so far that none of them runs long enough to die of its SIGKILL."""
    engine = bench.keep(PrivateEngine(live_restore=True))
    mesh = bench.mesh(QUICK + "max_restarts = 1000\n", engine.socket)
    slowest = 0.0
    for number in range(bench.count(3, 20)):
        name = mesh.name(f"bomb{number}")
        asked, _ = bombs_box(mesh, name, "64m")
        time.sleep(bench.random.uniform(0.0, 5.0))  # the random moment itself
        begun = time.monotonic()
        mesh.expect(0, "stop", "--force", name)
        slowest = max(slowest, time.monotonic() - begun)
        check(not mesh.containers(name), "its container is there after stop")
        asked.communicate(timeout=90)
    log = "".join(path.read_text(errors="replace") for path in mesh.home.glob("logs/daemon*"))
    bench.notes.append(f"kills that had the processor limit lifted: {log.count('it is given all processors')}")
    bench.measured("the slowest stop --force of a bomb without memory", slowest, 10, "s")


class SmallDisk:
    """A file system of its own for a folder; fill() leaves no byte of it."""

    def __init__(self, folder, size):
        self.folder, self.ballast = folder, folder / "ballast"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def fill(self):
        with self.ballast.open("ab", buffering=0) as file:
            for block in (1 << 20, 4096, 1):
                try:
                    while file.write(b"x" * block) == block:
                        pass
                except OSError:
                    continue

    def free(self):
        self.ballast.unlink()


def unjournaled(mesh):
    """Containers of ours of which the journal knows no row."""
    known = {agent["name"] for agent in mesh.json("list", "--all")}
    return [box["Name"] for box in mesh.containers() if box["Config"]["Labels"]["agentmesh.agent"] not in known]


def test_disk_full(bench):
    engine = bench.keep(PrivateEngine(live_restore=True))
    mesh = bench.mesh("", engine.socket)
    disk = bench.keep(SmallDisk(mesh.home, "24m"))
    (mesh.home / "config.toml").write_text(QUICK)
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(bench.count(4, 20))])
    before = mesh.started_at(names)
    for round_number in range(bench.count(1, 5)):
        filler = mesh.start(mesh.name(f"s{round_number}"))
        disk.fill()
        pid = mesh.daemon()
        for index in range(3):
            done = mesh.run(*mesh.start_words(mesh.name(f"r{round_number}n{index}")))
            check(done.returncode == 1 and "full" in done.stderr, f"exit {done.returncode}: {done.stderr}")
        done = mesh.run("restart", names[0])
        check(done.returncode == 1 and "full" in done.stderr, f"restart: exit {done.returncode}: {done.stderr}")
        same(unjournaled(mesh), [], "containers without a row")
        mesh.expect(0, "stop", "--force", filler)
        same(mesh.containers(filler), [], "containers of an agent that was stopped on a full disk")
        mesh.kill_daemon()  # and one that starts on a full disk adopts what runs, or says why not
        done = mesh.run("list", "--json")
        check(done.returncode == 0 or "full" in done.stderr, f"list: exit {done.returncode}: {done.stderr}")
        same(mesh.started_at(names), before, "container and StartedAt of each agent")
        disk.free()
        fresh, begun = mesh.name(f"f{round_number}"), time.monotonic()

        def starts():
            return mesh.run(*mesh.start_words(fresh)).returncode in (0, 4)
        eventually(20, starts, "a start succeeds again")
        mesh.until_status(fresh, "idle")
        bench.measured("normal after there is space again", time.monotonic() - begun, 10, "s")
        check(mesh.daemon() != pid, "the daemon was not restarted by this test")
        check((mesh.home / "state.reserve").exists(), "no room is kept for the next stop")
        eventually(10, lambda: not mesh.containers(filler), "what was stopped stays stopped")
        mesh.expect(0, "stop", "--force", fresh)
    bench.measured("containers without a row", len(unjournaled(mesh)), 0, "containers")
    same(mesh.started_at(names), before, "container and StartedAt of each agent")
    for name in names[:3]:
        mesh.until_status(name, "idle", "unknown")
