"""A container's end by a signal: our event line on `agentmesh events -f --json` against the engine's on a bare socket.

One thread waits for both, and for nothing else meanwhile, so that neither is read late because of the other."""

import json
import os
import selectors
import subprocess
import time

from bench_list import keep
from measure import CannotMeasure, Samples, eventually, interleave, show, verdict
from sockets import EventLines, Peer, Refused

ROUNDS = 20
LIMIT_MS = 20.0
SIGNALS = ("USR1", "KILL")  # an end like any crash, and one after which the engine is asked: was it memory?
EVENT_LIMIT_S = 10


class OurLines:
    def __init__(self, lab):
        words = [lab.program, "events", "-f", "--json"]
        self.process = subprocess.Popen(words, env=lab.env, stdout=subprocess.PIPE)
        self.pending = b""

    def fileno(self):
        return self.process.stdout.fileno()

    def read(self):
        data = os.read(self.fileno(), 65536)
        if not data:
            raise CannotMeasure("agentmesh events -f ended")
        *lines, self.pending = (self.pending + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def run(lab):
    daemon = lab.daemon()
    engine = Peer(lab.engine_path)
    name = f"{lab.mark}-crash"
    lab.start(name, daemon)
    theirs = EventLines(lab.engine_path, {"event": ["die"], "label": [f"agentmesh.agent={name}"]})
    ours = OurLines(lab)
    both = selectors.DefaultSelector()
    both.register(theirs, selectors.EVENT_READ, theirs)
    both.register(ours, selectors.EVENT_READ, ours)
    samples = {}

    def once(signal):
        bare, whole, lag = samples[signal] = (
            Samples(f"{signal} to the engine's line"),
            Samples(f"{signal} to our line"),
            Samples(f"{signal}: our line after the engine's"),
        )

        def kill(number):
            container = up(lab, daemon, engine, name)
            drain(both)
            begin = time.perf_counter()
            engine.ask("POST", f"/containers/{container}/kill?signal={signal}")
            seen = await_both(both, theirs, ours, name)
            engine.answer()
            keep(lag, number, (seen[ours] - seen[theirs]) * 1000)
            keep(whole, number, (seen[ours] - begin) * 1000)
            keep(bare, number, (seen[theirs] - begin) * 1000)

        return kill

    try:
        interleave(ROUNDS, *map(once, SIGNALS))
    finally:
        ours.close()
        theirs.close()
    lab.stop(name, daemon)
    show("crash: from the kill to the line that says so", [each for three in samples.values() for each in three])
    for signal, (_, _, lag) in samples.items():
        verdict("crash", f"our event later than the engine's, {signal}", lag.median, LIMIT_MS, " ms")


def up(lab, daemon, engine, name):
    """The agent's container, once the run after the last crash is up."""

    def running():
        agent = daemon.call("GET", f"/agents/{name}")
        container = agent["sandbox"]["container_id"]
        if agent["status"] not in ("idle", "unknown") or not container:
            return None
        try:
            return container if engine.call("GET", f"/containers/{container}/json")["State"]["Running"] else None
        except Refused:
            return None

    return eventually(60, f"{name} is up again", running)


def drain(both):
    while ready := both.select(timeout=0.2):
        for key, _ in ready:
            key.data.read()


def await_both(both, theirs, ours, name):
    seen = {}
    deadline = time.monotonic() + EVENT_LIMIT_S
    while len(seen) < 2:
        if time.monotonic() > deadline:
            raise CannotMeasure("the end of the container was not told")
        for key, _ in both.select(timeout=1):
            now = time.perf_counter()
            lines = key.data.read()
            told = key.data is theirs or any(e["agent"] == name and e["name"] == "ended" for e in lines)
            if lines and told:
                seen.setdefault(key.data, now)
    return seen
