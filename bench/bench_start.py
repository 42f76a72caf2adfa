"""From the request to the engine's `start` event: ours against the barest means, and the CLI against docker.

All of them end at the same instant, the time the engine itself gives its `start` event; readiness of the
program inside and what follows (pane, hub) do not count. Each begins just before the request is written or
the process is spawned. The raw side posts the very body of an agent's container, taken from inspect."""

import shutil
import subprocess
import time

from bench_list import keep
from engine_times import EngineTimes, body_of, raw_start
from measure import Samples, interleave, show, skipped, verdict
from sockets import Peer

ROUNDS = 15
LIMIT_RAW = 1.10
LIMIT_DOCKER = 1.0


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
    starts = EngineTimes(lab.engine_path, "start")
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
        keep(raw, number, raw_start(engine, starts, f"{lab.mark}-raw{number + 1}", body))

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
