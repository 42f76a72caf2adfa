"""A verified nudge to an idle fake agent against the barest typing: `tmux send-keys` twice by fork, unverified.

Ours ends with the answer `delivered`, which the agent's own change of state proves. Theirs ends when the agent has
written the message down, seen by looking at its record without a pause. Ours waits 150 ms between the paste and Enter,
because real agents drop an Enter that comes sooner; that wait is in the limit."""

import os
import subprocess
import time

from bench_list import keep
from measure import CannotMeasure, Samples, eventually, interleave, show, verdict

ROUNDS = 40
WAIT_MS = 150.0
LIMIT_RATIO = 1.0
ARRIVAL_LIMIT_S = 10
COMMAND = "exec fake-agent --busy 1"


def run(lab):
    daemon = lab.daemon()
    name = f"{lab.mark}-nudge"
    lab.start(name, daemon, COMMAND)
    eventually(30, f"{name} is idle", lambda: status(daemon, name) == "idle")
    record = os.path.join(lab.home, "agents", name, "home", "fake-agent.jsonl")
    pane = eventually(30, f"the pane of {name}", lambda: daemon.call("GET", f"/agents/{name}")["tmux"]["pane"])
    ours, bare = Samples("agentmesh nudge, request on the socket, verified"), Samples("tmux send-keys twice by fork")

    def by_request(number):
        quiet(daemon, name)
        begin = time.perf_counter()
        answer = daemon.call("POST", f"/agents/{name}/nudge", {"message": f"message {number}"})
        keep(ours, number, (time.perf_counter() - begin) * 1000)
        if answer["result"] != "delivered":
            raise CannotMeasure(f"a nudge was not delivered: {answer}")

    def by_hand(number):
        quiet(daemon, name)
        before = size(record)
        begin = time.perf_counter()
        for keys in (["-l", f"message {number}"], ["Enter"]):
            subprocess.run(["tmux", "-L", lab.tmux, "send-keys", "-t", pane, *keys], check=True)
        while size(record) == before:
            if time.perf_counter() - begin > ARRIVAL_LIMIT_S:
                raise CannotMeasure("what tmux typed did not arrive")
        keep(bare, number, (time.perf_counter() - begin) * 1000)

    interleave(ROUNDS, by_request, by_hand)
    lab.stop(name, daemon)
    show("nudge: from the request to the message in the agent", [ours, bare])
    without_wait = ours.median - WAIT_MS
    verdict("nudge", "without its wait, as a multiple of two forks", without_wait / bare.median, LIMIT_RATIO)


def status(daemon, name):
    return daemon.call("GET", f"/agents/{name}")["status"]


def quiet(daemon, name):
    eventually(10, f"{name} is idle", lambda: status(daemon, name) == "idle")
    time.sleep(0.05)


def size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
