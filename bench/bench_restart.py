"""From an agent's crash to its next run: the engine's own times of its `die` and of the following `start`. With a delay
of 0 what is left is the crash report, the old container's removal, create and start. Beside it: create and start of the
very same container on one persistent connection, from the request to the engine's `start`."""

import threading
import time

from bench_crash import up
from bench_list import keep
from bench_start import body_of
from measure import Samples, eventually, interleave, show, verdict
from sockets import EventLines, Peer

ROUNDS = 20
LIMIT_RATIO = 1.15


class Times:
    """The engine's times of `die` and `start`, in nanoseconds, of one agent's containers and of ours by hand."""

    def __init__(self, socket):
        self.at = {}
        self.lines = EventLines(socket, {"type": ["container"], "event": ["start", "die"]})
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                events = self.lines.read()
            except OSError:
                return
            for event in events:
                self.at[(event["Action"], event["Actor"]["ID"])] = event["timeNano"]

    def of(self, action, container):
        return eventually(10, f"{action} of {container[:12]}", lambda: self.at.get((action, container)))


def run(lab):
    daemon, engine = lab.daemon(), Peer(lab.engine_path)
    times = Times(lab.engine_path)
    name = f"{lab.mark}-restart"
    lab.start(name, daemon)
    body = body_of(engine.call("GET", f"/containers/{lab.container_of(name)}/json"))
    ours, raw = Samples("agentmesh, crash to the next run"), Samples("raw create + start, one connection")

    def crash(number):
        old = up(lab, daemon, engine, name)
        time.sleep(0.5)
        engine.call("POST", f"/containers/{old}/kill?signal=USR1")
        new = eventually(30, "the next run", lambda: next_run(lab, daemon, engine, name, old))
        keep(ours, number, (times.of("start", new) - times.of("die", old)) / 1e6)

    def by_hand(number):
        begin = time.time_ns()
        made = engine.call("POST", f"/containers/create?name={lab.mark}-raw{number + 1}", body)
        try:
            engine.call("POST", f"/containers/{made['Id']}/start")
            keep(raw, number, (times.of("start", made["Id"]) - begin) / 1e6)
        finally:
            engine.call("DELETE", f"/containers/{made['Id']}?force=1&v=1")

    interleave(ROUNDS, crash, by_hand)
    lab.stop(name, daemon)
    show("restart: to the engine's start event", [ours, raw])
    verdict("restart", "crash to the next run, as a multiple of raw create + start", ours.median / raw.median, LIMIT_RATIO)


def next_run(lab, daemon, engine, name, old):
    new = up(lab, daemon, engine, name)
    return new if new != old else None
