"""Promise 15: a hub that is away changes nothing for the agents, and is told everything when it is back."""
import json
import signal
import socket
import subprocess
import time
import urllib.request

from mesh import always, check, eventually, same, seconds_of

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


def mesh_with_hub(bench):
    mesh = bench.mesh()
    hub = bench.keep(Hub(mesh, mesh.place / "hub"))
    (mesh.home / "config.toml").write_text(
        f'[watchdog]\nmax_starting = 8\n[hub]\nurl = "http://127.0.0.1:{hub.port}"\nkey = "file:{hub.data}/hub.key"\n')
    return mesh, hub


def test_hub_away(bench):
    mesh, hub = mesh_with_hub(bench)
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


def test_expired_while_away(bench):
    """The hub gives up what was delivered while it was away, is told so, and takes it; the host goes on."""
    mesh, hub = mesh_with_hub(bench)
    name = mesh.start(mesh.name(), "--busy 600000")
    eventually(20, lambda: hub.statuses() == {name: "idle"}, "the hub knows it")
    mesh.expect(0, "nudge", name, "BUSY 5000")
    sent = mesh.json("send", name, "--title", "a long work", "--ttl", "5s")
    path = f"/v1/inbox/{sent['id']}"
    eventually(5, lambda: hub.ask(path)["state"] == "pushed", "the host has it")
    hub.end()
    eventually(20, lambda: mesh.events(name, "assignment_delivered"), "delivered while the hub is away")
    eventually(10, lambda: time.time() > seconds_of(sent["expires_at"]), "its time has passed")
    hub.start()
    eventually(20, lambda: hub.ask(path)["state"] == "delivered", "the hub knows that it was delivered")
    check(hub.ask(path)["expired_at"], "it never expired")
    always(1, lambda: mesh.agent(name)["inbox"] == {"pending": 0, "delivered": 1}, "the host keeps it")
    same(mesh.events(name, "assignment_failed"), [], "declared as failed")
    same(sum(sent["id"] in text for text in mesh.messages(name)), 1, "deliveries")
