"""What a hundred idle agents cost the host beside themselves: the daemon's memory, CPU and forks, and what
other supervisors need for a hundred idle processes."""

import os
import shutil
import signal
import subprocess
import time

from measure import CannotMeasure, eventually, skipped, verdict
from processes import Births, cpu_seconds, family, memory_mb, proportional_mb

AGENTS = 100
SETTLE_S = 10
WATCH_S = 60
LIMIT_RSS_MB = 20.0
LIMIT_CPU_PERCENT = 0.5
LIMIT_FORKS = 0


def run(lab):
    lab.grow(AGENTS)
    time.sleep(SETTLE_S)
    peers = [s6(lab), supervisord(lab)]
    try:
        measure(lab, [peer for peer in peers if peer])
    finally:
        for peer in peers:
            if peer:
                peer.stop()


def measure(lab, peers):
    watched = {"agentmesh daemon": [lab.daemon_pid]} | {peer.name: peer.pids() for peer in peers}
    before = {name: sum(map(cpu_seconds, pids)) for name, pids in watched.items()}
    births = open_births(lab.daemon_pid)
    begin = time.monotonic()
    if births:
        births.watch(WATCH_S, time.monotonic)
        births.close()
    else:
        time.sleep(WATCH_S)
    passed = time.monotonic() - begin
    percent = {name: 100 * (sum(map(cpu_seconds, pids)) - before[name]) / passed for name, pids in watched.items()}

    print(f"\nidle: {AGENTS} agents, {passed:.0f} s")
    print(f"  {'':<28} {'processes':>9} {'RSS MB':>8} {'private':>8} {'PSS MB':>8} {'CPU % of a core':>16}")
    for name, pids in watched.items():
        rss, private = (sum(memory_mb(pid, field) for pid in pids) for field in ("VmRSS", "RssAnon"))
        pss = sum(map(proportional_mb, pids))
        print(f"  {name:<28} {len(pids):9d} {rss:8.1f} {private:8.1f} {pss:8.1f} {percent[name]:16.3f}")
    relays(lab)

    verdict("idle", "RSS of the daemon", memory_mb(lab.daemon_pid, "VmRSS"), LIMIT_RSS_MB, " MB")
    verdict("idle", "CPU of the daemon", percent["agentmesh daemon"], LIMIT_CPU_PERCENT, " % of a core")
    if births:
        verdict("idle", "forks a minute by the daemon and its children", births.processes * 60 / passed, LIMIT_FORKS)
        print(f"  threads made by them meanwhile: {births.threads}")
    else:
        skipped("idle", "forks a minute", "the kernel's process connector needs CAP_NET_ADMIN")


def relays(lab):
    """The panes: one relay process for each agent under the tmux server. Shown, not limited."""
    answer = subprocess.run(
        ["tmux", "-L", lab.tmux, "list-panes", "-a", "-F", "#{pid} #{pane_pid}"], capture_output=True, text=True
    )
    rows = [line.split() for line in answer.stdout.splitlines()]
    if not rows:
        return
    groups = {"tmux server": {int(rows[0][0])}, "pane relays": {int(row[1]) for row in rows}}
    for name, pids in groups.items():
        pss = sum(map(proportional_mb, pids))
        rss, private = (sum(memory_mb(pid, field) for pid in pids) for field in ("VmRSS", "RssAnon"))
        print(f"  {name:<28} {len(pids):9d} {rss:8.1f} {private:8.1f} {pss:8.1f}")


def open_births(pid):
    try:
        return Births(pid)
    except OSError:
        return None


class Peer:
    def __init__(self, name, starters, all_pids):
        self.name = name
        self.starters = starters
        self.pids = all_pids

    def stop(self):
        for process in self.starters:
            process.send_signal(signal.SIGTERM)
        for process in self.starters:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def s6(lab):
    program = shutil.which("s6-supervise")
    if not program:
        return skipped("idle", "s6-supervise", "not installed (apt-get install s6)")
    started = []
    for number in range(AGENTS):
        folder = os.path.join(lab.folder, f"s6-{number}")
        os.mkdir(folder)
        script = os.path.join(folder, "run")
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexec sleep infinity\n")
        os.chmod(script, 0o755)
        started.append(subprocess.Popen([program, folder], stdin=subprocess.DEVNULL))
    peer = Peer("s6-supervise x 100", started, lambda: [process.pid for process in started])
    settled(peer, lambda: sum(len(family(process.pid)) == 2 for process in started) == AGENTS)
    return peer


def supervisord(lab):
    program = shutil.which("supervisord")
    if not program:
        return skipped("idle", "supervisord", "not installed (apt-get install supervisor)")
    config = os.path.join(lab.folder, "supervisord.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f"[supervisord]\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={lab.folder}/supervisord.pid\n")
        for number in range(AGENTS):
            file.write(f"[program:p{number}]\ncommand=sleep infinity\n")
            file.write("stdout_logfile=NONE\nstderr_logfile=NONE\n")
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([program, "-n", "-c", config], **quiet)
    peer = Peer("supervisord", [process], lambda: [process.pid])
    settled(peer, lambda: len(family(process.pid)) == AGENTS + 1)
    return peer


def settled(peer, condition):
    try:
        eventually(60, f"{peer.name} is up", condition)
    except CannotMeasure:
        peer.stop()
        raise
