"""What a hundred agents that each print ten lines a second cost the daemon. What tmux, the relays and the engine pay
for showing them is shown beside it: a daemon that read every pane would pay as much."""

import subprocess
import time

from measure import eventually, verdict
from processes import cpu_seconds

AGENTS = 100
SETTLE_S = 10
WATCH_S = 30
LIMIT_CPU_PERCENT = 10.0
COMMAND = "exec fake-agent --loop --titles"  # a line each 100 ms


def run(lab):
    lab.grow(AGENTS, COMMAND)
    eventually(60, "every pane is open", lambda: len(panes(lab)) >= AGENTS)
    time.sleep(SETTLE_S)
    rows = panes(lab)
    watched = {
        "agentmesh daemon": {lab.daemon_pid},
        "tmux server": {int(server) for server, _ in rows},
        "pane relays": {int(relay) for _, relay in rows},
    }
    before = {name: sum(map(cpu_seconds, pids)) for name, pids in watched.items()}
    begin = time.monotonic()
    time.sleep(WATCH_S)
    passed = time.monotonic() - begin
    print(f"\nbusy: {AGENTS} agents, 10 lines a second each, {passed:.0f} s")
    print(f"  {'':<28} {'processes':>9} {'CPU % of a core':>16}")
    percent = {}
    for name, pids in watched.items():
        percent[name] = 100 * (sum(map(cpu_seconds, pids)) - before[name]) / passed
        print(f"  {name:<28} {len(pids):9d} {percent[name]:16.2f}")
    verdict("busy", "CPU of the daemon", percent["agentmesh daemon"], LIMIT_CPU_PERCENT, " % of a core")


def panes(lab):
    words = ["tmux", "-L", lab.tmux, "list-panes", "-a", "-f", "#{m:agentmesh-*,#{session_name}}"]
    words += ["-F", "#{pid} #{pane_pid}"]
    answer = subprocess.run(words, capture_output=True, text=True)
    return [line.split() for line in answer.stdout.splitlines()]
