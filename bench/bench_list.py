"""`agentmesh list --json` with a hundred agents, as a whole process, against curl fetching the same bytes."""

import os
import shutil

from measure import CannotMeasure, Samples, interleave, run_time, show, verdict

AGENTS = 100
ROUNDS = 60
LIMIT_RATIO = 1.0
LIMIT_MS = 8.0


def run(lab):
    lab.grow(AGENTS)
    url = ["--unix-socket", lab.socket, "http://x/v1/agents"]
    kinds = [
        ("agentmesh list --json", [lab.program, "list", "--json"]),
        ("curl of the same bytes", ["curl", "-s", *url]),
        ("tmux ls", ["tmux", "-L", lab.tmux, "ls"]),
        ("node -e 0", ["node", "-e", "0"]),
    ]
    output = os.path.join(lab.folder, "output")
    samples = []
    actions = []
    for name, argv in kinds:
        path = shutil.which(argv[0])
        if not path:
            continue
        sample = Samples(name)
        samples.append(sample)
        actions.append(lambda number, s=sample, a=[path, *argv[1:]]: keep(s, number, run_time(a, lab.env, output)))
    if not any(sample.name.startswith("curl") for sample in samples):
        raise CannotMeasure("curl is not installed")
    same = lab.cli("list", "--json")
    interleave(ROUNDS, *actions)
    show(f"list: {AGENTS} agents, {len(same)} bytes, whole process", samples)
    ours, curl = samples[0], samples[1]
    verdict("list", "wall time as a multiple of curl's", ours.median / curl.median, LIMIT_RATIO)
    verdict("list", "wall time", ours.median, LIMIT_MS, " ms")


def keep(sample, number, ms):
    if number >= 0:
        sample.add(ms)
