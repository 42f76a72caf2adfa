"""From the request to the engine's `start` event: ours against the barest means, and the CLI against docker.

All of them end at the same instant, the time the engine itself gives its `start` event; readiness of the
program inside and what follows (pane, hub) do not count. Each begins just before the request is written or
the process is spawned. The raw side posts the very body of an agent's container, taken from inspect."""

import shutil
import subprocess
import threading
import time

from bench_list import keep
from measure import Samples, eventually, interleave, show, skipped, verdict
from sockets import EventLines, Peer

ROUNDS = 15
LIMIT_RAW = 1.10
LIMIT_DOCKER = 1.0


class Starts:
    """Times of `start` events by the container's name and by the agent's, as the engine tells them."""

    def __init__(self, socket):
        self.at = {}
        self.lines = EventLines(socket, {"type": ["container"], "event": ["start"]})
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                events = self.lines.read()
            except OSError:
                return
            for event in events:
                attributes = event["Actor"]["Attributes"]
                for key in (attributes["name"], attributes.get("agentmesh.agent")):
                    self.at[key] = event["timeNano"]

    def ms_since(self, begin_ns, key):
        return (eventually(10, f"start event of {key}", lambda: self.at.get(key)) - begin_ns) / 1e6


def body_of(details):
    """What an inspected container was created from, without our labels, so that no daemon takes it for its own."""
    config = details["Config"]
    config.pop("Labels")
    config["Labels"] = {f"bench.{i}": "x" * 36 for i in range(4)}
    config["HostConfig"] = details["HostConfig"]
    return config


def docker_flags(config, host):
    flags = ["-d", "-i", "-t", "--init", "--read-only", "--network", host["NetworkMode"], "--user", config["User"]]
    flags += ["--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"])]
    flags += ["--cpus", str(host["NanoCpus"] / 1e9), "--pids-limit", str(host["PidsLimit"]), "--cap-drop", "ALL"]
    for value in config["Env"]:
        flags += ["--env", value]
    for value in host["SecurityOpt"]:
        flags += ["--security-opt", value]
    for target, options in host["Tmpfs"].items():
        flags += ["--tmpfs", f"{target}:{options}"]
    for mount in host["Mounts"]:
        flags += ["--mount", f"type=bind,source={mount['Source']},target={mount['Target']}"]
    return [*flags, "--workdir", config["WorkingDir"], config["Image"], *config["Cmd"]]


def run(lab):
    starts = Starts(lab.engine_path)
    engine = Peer(lab.engine_path)
    daemon = lab.daemon()
    model = f"{lab.mark}-model"
    lab.start(model, daemon)
    body = body_of(engine.call("GET", f"/containers/{lab.container_of(model)}/json"))

    ours, raw = Samples("agentmesh, request on the socket"), Samples("raw create + start, one connection")
    cli, docker = Samples("agentmesh start, whole command"), Samples("docker run -d, whole command")

    def by_request(number):
        name = f"{lab.mark}-r{number + 1}"
        begin = time.time_ns()
        lab.start(name, daemon)
        keep(ours, number, starts.ms_since(begin, name))
        lab.stop(name, daemon)

    def by_hand(number):
        name = f"{lab.mark}-raw{number + 1}"
        begin = time.time_ns()
        made = engine.call("POST", f"/containers/create?name={name}", body)
        try:
            engine.call("POST", f"/containers/{made['Id']}/start")
            keep(raw, number, starts.ms_since(begin, name))
        finally:
            engine.call("DELETE", f"/containers/{made['Id']}?force=1&v=1")

    def by_command(number):
        name = f"{lab.mark}-c{number + 1}"
        words = [lab.program, "start", name, "--runner", "custom", "--command", "exec fake-agent --start-after 300"]
        words += ["--sandbox-image", "agentmesh/test-agent:latest", "--network", "none", "--sandbox-memory", "64m"]
        begin = time.time_ns()
        subprocess.run([*words, "--workdir", lab.workdir], env=lab.env, check=True, stdout=subprocess.DEVNULL)
        lab.agents.append(name)
        keep(cli, number, starts.ms_since(begin, name))
        lab.stop(name, daemon)

    def by_docker(number):
        name = f"{lab.mark}-docker{number + 1}"
        words = ["docker", "-H", f"unix://{lab.engine_path}", "run", "--name", name]
        words += docker_flags(body, body["HostConfig"])
        begin = time.time_ns()
        try:
            subprocess.run(words, env=lab.env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            keep(docker, number, starts.ms_since(begin, name))
        finally:
            engine.call("DELETE", f"/containers/{name}?force=1&v=1")

    actions = [by_request, by_hand, by_command] + ([by_docker] if shutil.which("docker") else [])
    interleave(ROUNDS, *actions)
    lab.stop(model, daemon)
    show("start: to the engine's start event", [ours, raw, cli, docker])
    verdict("start", "request to running, as a multiple of raw create + start", ours.median / raw.median, LIMIT_RAW)
    if docker.ms:
        verdict("start", "command to running, as a multiple of docker run -d", cli.median / docker.median, LIMIT_DOCKER)
    else:
        skipped("start", "docker run -d", "docker is not installed")
