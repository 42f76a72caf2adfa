"""From an agent's crash to its next run: the engine's own times of its `die` and of the following `start`. With a delay
of 0 what is left is the crash report, the old container's removal, create and start. Beside it: create and start of the
very same container on one persistent connection, from the request to the engine's `start`."""

import time

from bench_crash import up
from bench_list import keep
from engine_times import EngineTimes, body_of, raw_start
from measure import Samples, eventually, interleave, show, verdict
from sockets import Peer

ROUNDS = 40
LIMIT_RATIO = 1.15


def run(lab):
    daemon, engine = lab.daemon(), Peer(lab.engine_path)
    times = EngineTimes(lab.engine_path, "start", "die")
    name = f"{lab.mark}-restart"
    lab.start(name, daemon)
    body = body_of(engine.call("GET", f"/containers/{lab.container_of(name)}/json"))
    ours, raw = Samples("agentmesh, crash to the next run"), Samples("raw create + start, one connection")

    def crash(number):
        old = up(lab, daemon, engine, name)
        time.sleep(0.5)
        before = times.of("start", name)
        engine.call("POST", f"/containers/{old}/kill?signal=USR1")
        # The daemon is not asked meanwhile: the other side has nobody beside it either.
        started = eventually(30, "the next run", lambda: later(times.of("start", name), before))
        keep(ours, number, (started - times.of("die", old)) / 1e6)

    def by_hand(number):
        keep(raw, number, raw_start(engine, times, f"{lab.mark}-raw{number + 1}", body))

    interleave(ROUNDS, crash, by_hand)
    lab.stop(name, daemon)
    show("restart: to the engine's start event", [ours, raw])
    verdict("restart", "crash to the next run, as a multiple of raw create + start", ours.median / raw.median, LIMIT_RATIO)


def later(at, before):
    return at if at > before else None
