"""Numbers and how they are shown: samples of interleaved runs, and one verdict line for each promise."""

import os
import statistics
import subprocess
import time


class CannotMeasure(Exception):
    """Something that the measurement needs is missing or does not work."""


class Samples:
    """Durations of one kind of run, in milliseconds."""

    def __init__(self, name):
        self.name = name
        self.ms = []

    def add(self, ms):
        self.ms.append(ms)

    @property
    def median(self):
        return statistics.median(self.ms)

    def row(self):
        ordered = sorted(self.ms)
        p90 = ordered[int(0.9 * (len(ordered) - 1))]
        return f"  {self.name:<46} {self.median:9.2f} {ordered[0]:9.2f} {p90:9.2f} {ordered[-1]:9.2f} {len(ordered):5d}"


def show(title, samples):
    print(f"\n{title}")
    print(f"  {'milliseconds':<46} {'median':>9} {'min':>9} {'p90':>9} {'max':>9} {'runs':>5}")
    for sample in samples:
        if sample.ms:
            print(sample.row())


def verdict(bench, what, measured, limit, unit=""):
    """The line a reader looks for. A number at the limit is still within it."""
    word = "ok  " if measured <= limit else "OVER"
    print(f"{word} {bench}: {what}: {measured:.2f} / {limit:g}{unit}", flush=True)


def skipped(bench, what, why):
    print(f"skip {bench}: {what}: {why}", flush=True)


def interleave(rounds, *actions):
    """Runs each action once a round, ABAB, so that what disturbs the machine disturbs all of them alike.
    The first round warms caches and does not count: an action is told the round, from -1 on."""
    for number in range(-1, rounds):
        for action in actions:
            action(number)


def run_time(argv, env, output):
    """Wall milliseconds from the call that starts the process to its end, output and errors thrown away."""
    null = os.open("/dev/null", os.O_RDWR)
    sink = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, sink, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=files)
    _, status = os.waitpid(pid, 0)
    took = (time.perf_counter() - begin) * 1000
    os.close(null)
    os.close(sink)
    if status != 0:
        raise CannotMeasure(f"{' '.join(argv)} ended with status {status}")
    return took


def eventually(limit_s, what, condition):
    """The first true value of the condition; asked often, because the answer is awaited."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise CannotMeasure(f"{what}: not within {limit_s} s")
        time.sleep(0.02)


def run_quietly(argv, env=None, limit_s=120):
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s)
    if done.returncode != 0:
        raise CannotMeasure(f"{' '.join(argv[:3])}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout
