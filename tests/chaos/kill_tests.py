"""Promises 1, 2 and 14: agents outlive the daemon and the tmux server, whenever those are killed."""
import os
import re
import signal
import sqlite3
import time

from mesh import check, eventually, same, seconds_of
from relay import Relay

STARTING = 3


def wanted_in_journal(mesh):
    """Names whose start the journal has accepted. The daemon must be dead."""
    with sqlite3.connect(mesh.home / "state.db") as journal:
        rows = journal.execute("SELECT name, json_extract(record, '$.wanted') FROM agents").fetchall()
    journal.close()
    return {name for name, wanted in rows if wanted == "running"}


def adoption_seconds(mesh, names):
    """From the last start of the daemon until it had adopted each of the names."""
    def adopted():
        events = mesh.events()
        begun = [row for row in events if row["name"] == "daemon_started"][-1]
        seen = {row["agent"]: row["at"] for row in events if row["seq"] > begun["seq"] and row["name"] == "adopted"}
        return all(name in seen for name in names) and \
            max(seconds_of(seen[name]) for name in names) - seconds_of(begun["at"])
    return eventually(10, adopted, f"adopted: {names}")[0]


def seconds_to_list(mesh):
    """How long the engine alone needs for the list that the next daemon asks for."""
    begun = time.monotonic()
    mesh.engine.list()
    return time.monotonic() - begun


def test_daemon_killed(bench):
    mesh = bench.mesh("[watchdog]\nmax_starting = 8\n")
    steady = [mesh.name(f"s{index}") for index in range(bench.count(12, 50))]
    mesh.start_all(steady[:-3])
    for name in steady[-3:]:
        mesh.start_titled(name)
    before = mesh.started_at(steady)
    kills = int(os.environ.get("AGENTMESH_KILLS", bench.count(6, 200)))
    adopted, listing, interrupted = [], [], 0
    for round_number in range(kills):
        fresh = [mesh.name(f"r{round_number}n{index}") for index in range(STARTING)]
        children = [mesh.spawn(*mesh.start_words(name, "--titles")) for name in fresh]
        time.sleep(bench.random.uniform(0.0, 0.6))  # the random moment itself
        mesh.kill_daemon()
        for child in children:
            child.communicate(timeout=30)
        listing.append(seconds_to_list(mesh))
        accepted = wanted_in_journal(mesh) - set(steady)
        interrupted += len(accepted)
        listed = {agent["name"] for agent in mesh.json("list")}
        same(sorted(listed), sorted(accepted | set(steady)), "list after the kill")
        adopted.append(adoption_seconds(mesh, steady))
        eventually(30, lambda: mesh.all_run_once(accepted | set(steady)), "every wanted agent runs, once")
        same(mesh.started_at(steady), before, "StartedAt of the agents that ran")
        if accepted:
            mesh.expect(0, "stop", "--force", *sorted(accepted))
        eventually(10, lambda: len(mesh.containers()) == len(steady), "only the steady agents are left")
    bench.measured(f"agents lost or started twice over {kills} kills", 0, 0, "agents")
    bench.notes.append(f"starts that were interrupted: {interrupted}")
    bench.notes.append(f"median until {len(steady)} agents are adopted: {sorted(adopted)[kills // 2]:.2f} s; of the "
                       f"engine's own list: {sorted(listing)[kills // 2]:.3f} s, the slowest {max(listing):.3f} s")
    bench.measured("the slowest", max(adopted), 2, "s")
    for name in steady[-3:]:
        mesh.until_status(name, "idle")
        mesh.expect(0, "nudge", name, "still there?")
        same(mesh.messages(name)[1:], ["still there?"], "messages")


def test_tmux_killed(bench):
    mesh = bench.mesh()
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(bench.count(5, 20))])
    for name in names:
        mesh.expect(0, "nudge", name, f"SAY words of {name}")
        mesh.until_status(name, "idle")
    before = mesh.started_at(names)
    os.kill(mesh.json("status")["tmux"]["server_pid"], signal.SIGKILL)

    def back():
        return all(f"SAY words of {name}" in mesh.screen(name) for name in names)
    bench.measured(f"{len(names)} panes back and painted", eventually(10, back, "panes back and painted")[1], 3, "s")
    same(mesh.started_at(names), before, "StartedAt")
    for name in names:
        mesh.expect(0, "nudge", name, "still there?")
        same(mesh.messages(name)[-1], "still there?", "the last message")
        check("words of" in mesh.expect(0, "logs", name).stdout, "`logs` has not the text of before")


# The daemon's requests that change something at the engine.
EFFECT = re.compile(r"POST /containers/create|POST /containers/[^/]+/(start|stop|kill)|DELETE /containers/")


class Fate:
    """Kills the daemon at the moment before or after its effect number `index`; without an index it only counts."""

    def __init__(self, mesh):
        self.mesh, self.seen, self.index, self.moment = mesh, [], None, None

    def choose(self, index, moment):
        self.seen, self.index, self.moment = [], index, moment

    def before(self, request):
        if not EFFECT.match(request):
            return False
        self.seen.append(request)
        return self._strikes("before", len(self.seen) - 1)

    def after(self, request):
        """Its answer may come when the next effect was asked for already: a stop's, after the container's end."""
        if not EFFECT.match(request) or request not in self.seen:
            return False
        return self._strikes("after", len(self.seen) - 1 - self.seen[::-1].index(request))

    def _strikes(self, moment, index):
        if moment != self.moment or index != self.index:
            return False
        self.moment = None
        self.mesh.kill_daemon()
        return True


def wanted(mesh, name):
    """What the journal has accepted, as the next daemon says."""
    return any(agent["name"] == name and agent["status"] != "stopped" for agent in mesh.json("list", "--all"))


def live(mesh, name):
    """A start, a crash with its restart, a stop: each asked again only if the journal did not accept it."""
    mesh.run(*mesh.start_words(name))
    if not wanted(mesh, name):
        mesh.expect(0, *mesh.start_words(name))
    eventually(30, lambda: mesh.all_run_once([name]), "it runs, once")
    run = mesh.container(name)
    mesh.engine.kill(run["Id"])

    def next_run():
        mesh.json("list")  # the next daemon, if this one was killed
        return mesh.all_run_once([name]) and mesh.container(name)["Id"] != run["Id"]
    eventually(30, next_run, "the next run, alone")
    mesh.until_status(name, "idle", "unknown")  # what it told while no daemon lived is not known
    mesh.run("stop", name)
    if wanted(mesh, name) and mesh.agent(name)["status"] != "stopping":
        mesh.expect(0, "stop", name)
    eventually(30, lambda: not mesh.containers() and mesh.agent(name)["status"] == "stopped", "it is stopped, and gone")


def test_daemon_killed_at_every_effect(bench):
    mesh = bench.mesh('[watchdog]\nbackoff_first = "200ms"\nstable_after = "1s"\n')
    fate = Fate(mesh)
    relay = bench.keep(Relay(mesh.place / "relay.sock", mesh.engine.path, before=fate.before, after=fate.after))
    mesh.environment["DOCKER_HOST"] = f"unix://{relay.path}"
    fate.choose(None, None)
    live(mesh, mesh.name("whole"))
    effects = list(fate.seen)
    check(len(effects) >= 7, f"create, start, remove, create, start, stop and remove were expected: {effects}")
    points = [(index, moment) for index in range(len(effects)) for moment in ("before", "after")]
    if not bench.full:
        points = bench.random.sample(points, 5)
    for index, moment in points:
        fate.choose(index, moment)
        live(mesh, mesh.name(f"{moment}{index}"))
        same(fate.moment, None, f"the daemon was not killed {moment} effect {index}")
    bench.measured(f"of {len(points)} kills before and after each create, start, stop and remove, lost or doubled", 0, 0,
                   "agents")
