"""Promise 15: a hub that is away changes nothing for the agents, and is told everything when it is back."""
import json
import signal
import socket
import subprocess
import urllib.request

from mesh import always, eventually, same, seconds_of
from relay import Relay

AWAY_STATES = 3  # changes of state of each agent while the hub is away


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Hub:
    """`agentmesh hub` as a process of its own."""

    def __init__(self, mesh, folder):
        self.mesh, self.data, self.port = mesh, folder, free_port()
        self.process = None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        environment = {name: text for name, text in self.mesh.environment.items() if name != "AGENTMESH_HOME"}
        self.process = subprocess.Popen(
            [str(self.mesh.program), "hub", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(20, self.answers, "the hub answers")

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, path):
        key = (self.data / "hub.key").read_text().strip()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def answers(self):
        try:
            return self.ask("/v1/agents") is not None
        except OSError:
            return False

    def statuses(self):
        return {agent["name"]: agent["status"] for agent in self.ask("/v1/agents?limit=100")["agents"]}


def connections(mesh):
    return [seconds_of(row["at"]) for row in mesh.events(name="hub_connected")]


def configure(mesh, hub, port):
    (mesh.home / "config.toml").write_text(
        f'[watchdog]\nmax_starting = 8\n[hub]\nurl = "http://127.0.0.1:{port}"\nkey = "file:{hub.data}/hub.key"\n')


def test_hub_away(bench):
    mesh = bench.mesh()
    hub = bench.keep(Hub(mesh, mesh.place / "hub"))
    configure(mesh, hub, hub.port)
    worker = mesh.start(mesh.name("worker"), "--busy 8000")
    names = [worker, *mesh.start_all([mesh.name(f"a{index}") for index in range(bench.count(7, 49))])]
    eventually(20, lambda: hub.statuses() == {name: "idle" for name in names}, "the hub knows all")
    item = mesh.json("send", worker, "--title", "done while the hub is away")["id"]
    eventually(20, lambda: any(item in text for text in mesh.messages(worker)), "the assignment was delivered")
    before = mesh.started_at(names)

    hub.end()
    eventually(20, lambda: not mesh.json("status")["hub"]["connected"], "it is seen that the hub is away")
    for number in range(AWAY_STATES):
        for name in names[1:]:
            mesh.expect(0, "nudge", name, f"round {number}", "--wait", "20s")
    mesh.until_status(worker, "idle")
    asks, stops = names[1::4], names[2::4]
    for name in asks:
        mesh.expect(0, "nudge", name, "ASK for something", "--wait", "20s")
    mesh.expect(0, "stop", *stops)
    stay = [name for name in names if name not in stops]
    same(mesh.started_at(stay), {name: before[name] for name in stay}, "container and StartedAt of each agent")

    known = len(connections(mesh))
    hub.start()
    eventually(90, lambda: connections(mesh)[known:], "the daemon is connected again")
    right = {agent["name"]: agent["status"] for agent in mesh.json("list", "--all")}

    def equal():
        return hub.statuses() == right and hub.ask(f"/v1/inbox/{item}")["state"] == "done" and \
            mesh.json("status")["hub"]["connected"]
    bench.measured(f"equal after the connection, {len(names)} agents", eventually(30, equal, "the hub knows all")[1], 10, "s")
    same(sorted({right[name] for name in asks}), ["waiting_permission"], "status of those that ask")
    same(mesh.started_at(stay), {name: before[name] for name in stay}, "container and StartedAt of each agent")
    fresh = mesh.json("send", worker, "--title", "afterwards")["id"]
    eventually(20, lambda: sum(fresh in text for text in mesh.messages(worker)) == 1, "a new assignment arrives once")
    same(sum(item in text for text in mesh.messages(worker)), 1, "deliveries of the old one")


def test_expired_and_delivered(bench):
    """The hub, which the host's reports do not reach, gives up what was delivered: the host goes on, and is believed."""
    mesh = bench.mesh()
    hub = bench.keep(Hub(mesh, mesh.place / "hub"))
    mute = False
    relay = bench.keep(Relay(("127.0.0.1", free_port()), ("127.0.0.1", hub.port),
                             before=lambda request: mute and request == "POST /sync"))
    configure(mesh, hub, relay.path[1])
    name = mesh.start(mesh.name(), "--busy 600000")
    eventually(20, lambda: hub.statuses() == {name: "idle"}, "the hub knows it")
    mute = True
    item = mesh.json("send", name, "--title", "a long work", "--ttl", "4s")["id"]
    eventually(20, lambda: mesh.events(name, "assignment_delivered"), "delivered")
    eventually(20, lambda: hub.ask(f"/v1/inbox/{item}")["state"] == "expired", "the hub has given it up")
    always(1, lambda: mesh.agent(name)["inbox"] == {"pending": 0, "delivered": 1}, "the host keeps it")
    mute = False
    eventually(20, lambda: hub.ask(f"/v1/inbox/{item}")["state"] == "delivered", "the hub knows that it was delivered")
    same(mesh.events(name, "assignment_failed"), [], "declared as failed")
    same(sum(item in text for text in mesh.messages(name)), 1, "deliveries")
