"""Promise 25: what was stopped stays stopped, and the daemon ends when it is told to."""
import os
import signal
import time

from mesh import always, check, eventually, is_alive, same


def gone(mesh, name):
    return not mesh.containers(name) and f"agentmesh-{name}" not in mesh.sessions()


def being_started(mesh, name, options):
    """The command that starts it, once the daemon has taken it."""
    child = mesh.spawn(*mesh.start_words(name, options))
    eventually(10, lambda: any(agent["name"] == name for agent in mesh.json("list", "--all")), "start was taken")
    return child


def test_stop_is_final(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--fork-children 3")
    pids = mesh.engine.processes(mesh.container(name)["Id"])
    begun = time.monotonic()
    mesh.expect(0, "stop", name)
    bench.measured("stop of an agent that obeys", time.monotonic() - begun, 5, "s")
    check(gone(mesh, name), "its container or session is there after stop")
    same([pid for pid in pids if is_alive(pid)], [], "processes")
    same(list(mesh.processes("pane")), [], "relays")
    stopped = mesh.agent(name)
    same((stopped["status"], stopped["reason"], stopped["exit"]["reason"]),
         ("stopped", "stopped by user", "stopped_by_user"), "status, reason and exit reason")
    same(stopped["exit"]["code"], 143, "exit code of a program that obeys SIGTERM")
    mesh.kill_daemon()
    same(mesh.agent(name)["status"], "stopped", "status after a daemon's restart")
    always(bench.count(10, 60), lambda: gone(mesh, name), "gone")
    same(mesh.json("crashes", name), [], "crash reports")


def test_stop_while_it_starts(bench):
    mesh = bench.mesh()
    for number in range(bench.count(6, 20)):
        name = mesh.name(f"n{number}")
        child = being_started(mesh, name, "--start-after 3000")
        time.sleep(bench.random.uniform(0.0, 0.3))  # a random moment of the start
        mesh.expect(0, "stop", name)
        check(gone(mesh, name), "its container or session is there after stop")
        check(child.wait(30) != 0, "start of an agent that was stopped meanwhile exits 0")
        child.stdout.close()
    always(10, lambda: not mesh.containers() and not mesh.sessions(), "nothing came back")


def test_stop_by_force_while_it_starts(bench):
    """Whatever moment of the start it meets, it is not the graceful stop of 10 s."""
    mesh = bench.mesh()
    for number in range(bench.count(4, 12)):
        name = mesh.name(f"f{number}")
        child = being_started(mesh, name, "--ignore-term --start-after 3000")
        time.sleep(bench.random.uniform(0.0, 0.5))
        begun = time.monotonic()
        mesh.expect(0, "stop", name, "--force")
        bench.measured("stop --force during the start", time.monotonic() - begun, 5, "s")
        check(gone(mesh, name), "its container or session is there after stop")
        child.wait(30)
        child.stdout.close()


def test_stop_of_an_agent_that_ignores_it(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--ignore-term")
    begun = time.monotonic()
    mesh.expect(0, "stop", name, "--timeout", "1s")
    bench.measured("stop --timeout 1s", time.monotonic() - begun, 6, "s")
    check(gone(mesh, name), "its container or session is there after stop")
    same(mesh.agent(name)["exit"]["code"], 137, "exit code of a program that was asked, and then killed")
    name = mesh.start(mesh.name("b"), "--ignore-term")
    begun = time.monotonic()
    mesh.expect(0, "stop", name, "--force")
    bench.measured("stop --force", time.monotonic() - begun, 5, "s")
    check(gone(mesh, name), "its container or session is there after stop")


def test_down_leaves_agents_and_ends_soon(bench):
    mesh = bench.mesh()
    name = mesh.start_titled(mesh.name())
    before = mesh.started_at([name])
    pid = mesh.daemon()
    begun = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    eventually(10, lambda: not is_alive(pid), "the daemon ends by SIGTERM")
    bench.measured("daemon's end by SIGTERM", time.monotonic() - begun, 5, "s")
    same(mesh.started_at([name]), before, "StartedAt")
    check(f"agentmesh-{name}" in mesh.sessions(), "its session ended with the daemon")
    mesh.until_status(name, "idle")
    mesh.expect(0, "down")
    eventually(5, lambda: mesh.daemon() is None, "the daemon has ended after down")
    same(mesh.started_at([name]), before, "StartedAt")
    done = mesh.start(mesh.name("done"))
    mesh.press(done, "C-d")
    mesh.until_status(done, "stopped")
    same(mesh.json("down", "--agents")["stopped_agents"], 1, "agents that were stopped, one being done before")
    eventually(5, lambda: not mesh.containers(), "no container after down --agents")
    same(mesh.agent(done)["exit"]["reason"], "done", "exit reason of the one that was done")
