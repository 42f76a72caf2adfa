"""Promises 1 and 25 for agents without a sandbox: the daemon may be killed at any moment of their starts and stops."""
import os
import pathlib
import signal
import time

from host_tests import QUICK, agent_pid, of_run, runs, words
from kill_tests import wanted_in_journal
from mesh import always, eventually, is_alive, same

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
STARTING = 3


def held(mesh):
    """The folders that have a holder, one for each holder."""
    found = []
    for pid in mesh.processes("hold"):
        try:
            found.append(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2].decode())
        except (OSError, IndexError):
            continue  # it ended meanwhile
    return sorted(found)


def run_once(mesh, names):
    """One run of each name and no other, with one holder and a living agent."""
    folders = [runs(mesh, name) for name in names]
    return all(len(found) == 1 for found in folders) and held(mesh) == sorted(str(found[0]) for found in folders) \
        and all(is_alive(agent_pid(mesh, name) or 0) for name in names)


def test_host_daemon_killed(bench):
    mesh = bench.mesh(QUICK + "max_starting = 8\n", **NO_ENGINE)
    steady = [mesh.name(f"s{index}") for index in range(4)]
    for name in steady:
        mesh.expect(0, *words(mesh, name))
    before = {name: agent_pid(mesh, name) for name in steady}
    kills, interrupted = int(os.environ.get("AGENTMESH_KILLS", bench.count(8, 200))), 0
    for round_number in range(kills):
        fresh = [mesh.name(f"r{round_number}n{index}") for index in range(STARTING)]
        children = [mesh.spawn(*words(mesh, name)) for name in fresh]
        time.sleep(bench.random.uniform(0.0, 0.3))  # the random moment itself
        mesh.kill_daemon()
        for child in children:
            child.communicate(timeout=30)
        accepted = wanted_in_journal(mesh) - set(steady)
        interrupted += len(accepted)
        mesh.json("list")
        eventually(30, lambda: run_once(mesh, sorted(accepted | set(steady))), "every wanted agent runs, once")
        same({name: agent_pid(mesh, name) for name in steady}, before, "pids of the agents that ran")
        ids = [found.name for name in accepted for found in runs(mesh, name)]
        if accepted:
            stopping = mesh.spawn("stop", *sorted(accepted))
            time.sleep(bench.random.uniform(0.0, 0.1))
            mesh.kill_daemon()
            stopping.communicate(timeout=30)
            mesh.json("list")
            mesh.expect(0, "stop", *sorted(accepted))
        eventually(10, lambda: run_once(mesh, steady), "only the steady agents are left")
        same([pid for run_id in ids for pid in of_run(run_id)], [], "processes of the stopped runs")
    bench.measured(f"agents lost, doubled or left behind over {2 * kills} kills", 0, 0, "agents")
    bench.notes.append(f"starts that were interrupted: {interrupted}")
    mesh.expect(0, "stop", *steady)
    same(([pid for pid in before.values() if is_alive(pid)], held(mesh), list((mesh.home / "host").iterdir())),
         ([], [], []), "agents, holders and folders after the stop")


def test_host_holders_killed_while_the_daemon_is_away(bench):
    """Everything that was there is killed at once: each wanted agent runs again, once, and nothing of the old is left."""
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    names = [mesh.name(f"a{index}") for index in range(3)]
    for name in names:
        mesh.expect(0, *words(mesh, name, "--fork-children 2"))
    old = [runs(mesh, name)[-1].name for name in names]
    mesh.kill_daemon()
    for pid in mesh.processes("hold"):
        os.kill(pid, signal.SIGKILL)
    mesh.json("list")
    eventually(20, lambda: run_once(mesh, names), "every wanted agent runs again, once")
    same([pid for run_id in old for pid in of_run(run_id)], [], "processes of the old runs")
    mesh.expect(0, "stop", *names)
    always(1, lambda: not held(mesh), "nothing comes back")
