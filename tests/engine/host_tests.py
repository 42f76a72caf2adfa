"""Agents without a sandbox: the same states, messages, reports and promises, and no engine anywhere."""
import json
import os
import pathlib
import signal
import time

from mesh import always, check, eventually, is_alive, same, seconds_of
from restart_tests import crash_of

QUICK = '[watchdog]\nbackoff_first = "200ms"\nbackoff_max = "2s"\n'
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
# Children that leave the group, ignore TERM and are nobody's.
STUBBORN = "sh -c 'setsid sh -c \"trap : TERM; while :; do sleep 1; done\" & sleep 0.1' ;"


def words(mesh, name, options="", before="", *more):
    agent = mesh.program.parent / "tests/fakes/fake_agent"
    command = f"{before} exec {agent} --record {mesh.place}/{name}.jsonl --titles {options}"
    return ("start", name, "--no-sandbox", "--runner", "custom", "--command", command, *more)


def start(mesh, name, options="", before=""):
    mesh.expect(0, *words(mesh, name, options, before))
    mesh.until_status(name, "idle")
    return name


def runs(mesh, name):
    """Folder of each run of the agent, newest last."""
    found = []
    for path in (mesh.home / "host").glob("host-*/run.json"):
        row = json.loads(path.read_text())
        if row["agent"] == name:
            found.append((row["run"], path.parent))
    return [folder for _, folder in sorted(found)]


def agent_pid(mesh, name):
    found = runs(mesh, name)
    started = found[-1] / "started.json" if found else None
    return json.loads(started.read_text())["pid"] if started and started.exists() else None


def holder_pid(mesh, name):
    folder = str(runs(mesh, name)[-1])
    for pid in mesh.processes("hold"):
        if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2].decode() == folder:
            return pid
    return None


def of_run(run_id):
    """Every process that the run started: they carry its id."""
    mark = f"AGENTMESH_HOST_RUN={run_id}".encode()
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if is_alive(pid)]


def messages(mesh, name):
    lines = pathlib.Path(mesh.place, f"{name}.jsonl").read_text().splitlines()
    return [entry["text"] for entry in map(json.loads, lines) if entry["kind"] == "message"]


def until_new_agent(mesh, name, old, limit_s=20):
    def other():
        pid = agent_pid(mesh, name)
        return pid if pid not in (None, old) and is_alive(pid) else None
    return eventually(limit_s, other, f"a new run of {name}")


def test_host_agent_needs_no_engine(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = mesh.name()
    begun = time.monotonic()
    start(mesh, name)
    bench.measured("start to idle, the daemon's start with it", time.monotonic() - begun, 10, "s")
    same(mesh.agent(name)["sandbox"], None, "sandbox")
    mesh.expect(0, "nudge", name, "one\ntwo; @three")
    same(messages(mesh, name), ["one\ntwo; @three"], "messages")
    eventually(5, lambda: "you: one" in mesh.expect(0, "logs", name).stdout, "the terminal's text is in logs")
    pid, run_id = agent_pid(mesh, name), runs(mesh, name)[-1].name
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    same((int(stat[2]), int(stat[3]), int(stat[5])), (pid, pid, pid), "group, session and foreground group")
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    limits = [line.split()[:5] for line in limits.splitlines()]
    check(["Max", "core", "file", "size", "0"] in limits, f"core limit: {limits}")
    check(["Max", "open", "files", "16384", "16384"] in limits, f"open files: {limits}")
    mesh.expect(0, "restart", name)
    mesh.until_status(name, "idle")
    check(agent_pid(mesh, name) != pid and not of_run(run_id), "the old run is still there")
    run_id = runs(mesh, name)[-1].name
    mesh.expect(0, "stop", name)
    same((runs(mesh, name), of_run(run_id), mesh.sessions()), ([], [], set()), "what is left after stop")
    finding = next(f for f in json.loads(mesh.run("doctor", "--json").stdout) if f["check"] == "host")
    same(finding["status"], "ok", "doctor's finding without host agents")


def test_host_doctor_warns(bench):
    mesh = bench.mesh(QUICK)
    name = start(mesh, mesh.name())
    finding = next(f for f in json.loads(mesh.run("doctor", "--json").stdout) if f["check"] == "host")
    same(finding["status"], "warning", "doctor's finding")
    check(name in finding["what"] and finding["cure"], f"it says: {finding}")
    check("on the host" in mesh.expect(0, "status", name).stdout, "status does not say where it runs")


def test_host_environment(bench):
    mesh = bench.mesh(QUICK, CANARY_OF_THE_SHELL="leaked", **NO_ENGINE)
    name = start(mesh, mesh.name())
    variables = pathlib.Path(f"/proc/{agent_pid(mesh, name)}/environ").read_text().split("\0")
    given = dict(line.split("=", 1) for line in variables if line)
    same(given["HOME"], mesh.environment["HOME"], "HOME")
    same(given["AGENTMESH_AGENT"], name, "AGENTMESH_AGENT")
    same(given["AGENTMESH_HOOK"], f"{mesh.home}/agents/{name}/run/hook.sock", "AGENTMESH_HOOK")
    same(os.path.realpath(given["AGENTMESH_PROGRAM"]), os.path.realpath(mesh.program), "AGENTMESH_PROGRAM")
    for absent in ("CANARY_OF_THE_SHELL", "AGENTMESH_HOME", "DOCKER_HOST"):
        check(absent not in given, f"{absent} was handed on")


def test_host_crash_is_named_and_restarted(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name())
    mesh.expect(0, "nudge", name, "SAY these are my last words")
    mesh.until_status(name, "idle")
    pid = agent_pid(mesh, name)
    at = time.time()
    os.kill(pid, signal.SIGSEGV)
    until_new_agent(mesh, name, pid)
    crash = crash_of(mesh, name)
    same((crash["exit_code"], crash["signal_name"], crash["reason"], crash["container"]),
         (139, "SIGSEGV", "killed", None), "the report")
    check(crash["usage"]["peak_memory_bytes"] > 100_000 and crash["usage"]["cpu_ms"] >= 0, f"usage: {crash['usage']}")
    check(any("these are my last words" in line for line in crash["terminal"]), f"terminal: {crash['terminal'][-5:]}")
    mesh.until_status(name, "idle")
    bench.measured("crash seen", (seconds_of(mesh.events(name, "ended")[0]["at"]) - at) * 1000, 500, "ms")
    mesh.run("nudge", name, "CRASH 7")
    same(crash_of(mesh, name, 2)["exit_code"], 7, "exit code of the second crash")
    mesh.until_status(name, "idle")


def test_host_zero_after_a_limit_is_done(bench):
    """A custom program that has told a usage limit and ends with 0 is not started again when that is over."""
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name, go_on = mesh.name(), mesh.place / "go-on"
    program = mesh.place / "limited.py"
    program.write_text(f"""import os, socket, time
hook = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
hook.sendto(b'{{"event":"rate_limited","until":"2100-01-01T00:00:00Z"}}', os.environ["AGENTMESH_HOOK"])
while not os.path.exists("{go_on}"):
    time.sleep(0.05)
""")
    mesh.expect(0, "start", name, "--no-sandbox", "--runner", "custom", "--command", f"exec python3 {program}")
    mesh.until_status(name, "rate_limited")
    go_on.touch()
    mesh.until_status(name, "stopped")
    same(mesh.agent(name)["exit"]["reason"], "done", "reason")


def test_host_missing_program_fails_at_once(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = mesh.name()
    done = mesh.run("start", name, "--no-sandbox", "--runner", "opencode", "--command", "/nonexistent/opencode")
    check(done.returncode != 0, "it started")
    mesh.until_status(name, "failed")
    same(mesh.agent(name)["exit"]["reason"], "command_not_found", "reason")


def test_host_outlives_the_daemon(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name())
    pid = agent_pid(mesh, name)
    for _ in range(int(os.environ.get("AGENTMESH_KILLS", "3"))):
        mesh.kill_daemon()
        mesh.expect(0, "list")
        mesh.until_status(name, "idle")
    same((agent_pid(mesh, name), mesh.agent(name)["restarts"]["count"]), (pid, 0), "pid and restarts")
    mesh.expect(0, "nudge", name, "still there?")
    same(messages(mesh, name)[-1], "still there?", "a message after the daemon's return")


def test_host_end_while_the_daemon_was_away(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name())
    pid, folder = agent_pid(mesh, name), runs(mesh, name)[-1]
    mesh.kill_daemon()
    os.kill(pid, signal.SIGTERM)
    eventually(10, lambda: (folder / "exit.json").exists(), "the exit is written")
    mesh.expect(0, "list")
    crash = crash_of(mesh, name)
    check(crash["exit_code"] in (143, 0) and crash["reason"] in ("killed", "exited"), f"the report: {crash}")
    until_new_agent(mesh, name, pid)
    mesh.until_status(name, "idle")


def test_host_stop_is_durable(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name(), "--ignore-term", STUBBORN)
    run_id = runs(mesh, name)[-1].name
    check(len(of_run(run_id)) >= 2, "the stubborn child runs")
    stopping = mesh.spawn("stop", name, "--timeout", "3s")
    eventually(5, lambda: mesh.agent(name)["status"] == "stopping", "it is stopping")
    mesh.kill_daemon()
    stopping.wait(60)
    mesh.expect(0, "list")
    mesh.until_status(name, "stopped")
    same((of_run(run_id), runs(mesh, name)), ([], []), "what is left")
    always(2, lambda: not runs(mesh, name), "nothing comes back")


def test_host_stop_ends_every_child(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name(), "--ignore-term --fork-children 5", STUBBORN)
    run_id = runs(mesh, name)[-1].name
    check(len(of_run(run_id)) >= 7, f"only {len(of_run(run_id))} processes")
    begun = time.monotonic()
    mesh.expect(0, "stop", name, "--timeout", "1s")
    bench.measured("stop of one that ignores TERM for 1 s", time.monotonic() - begun, 4, "s")
    same(of_run(run_id), [], "processes after stop")


def test_host_agents_end_leaves_no_child(bench):
    mesh = bench.mesh('[watchdog]\nmax_restarts = 0\n', **NO_ENGINE)
    name = start(mesh, mesh.name(), "--fork-children 3", STUBBORN)
    run_id = runs(mesh, name)[-1].name
    os.kill(agent_pid(mesh, name), signal.SIGKILL)
    mesh.until_status(name, "failed")
    same(of_run(run_id), [], "processes after the agent's end")


def test_host_tmux_server_killed(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name())
    mesh.expect(0, "nudge", name, "SAY before the kill")
    pid = agent_pid(mesh, name)
    mesh.tmux("kill-server")
    _, took = eventually(10, lambda: f"agentmesh-{name}" in mesh.sessions(), "the pane is back")
    bench.measured("pane back", took, 3, "s")
    eventually(10, lambda: "before the kill" in mesh.screen(name), "the old text is shown again")
    mesh.until_status(name, "idle")
    mesh.expect(0, "nudge", name, "after the kill")
    same((agent_pid(mesh, name), messages(mesh, name)[-1]), (pid, "after the kill"), "pid and message")


def test_host_holder_killed(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name(), "--fork-children 2", STUBBORN)
    pid, holder, run_id = agent_pid(mesh, name), holder_pid(mesh, name), runs(mesh, name)[-1].name
    os.kill(holder, signal.SIGKILL)
    eventually(5, lambda: not is_alive(pid), "the agent ends with its holder")
    until_new_agent(mesh, name, pid)
    same(of_run(run_id), [], "processes of the run whose holder was killed")
    crash = crash_of(mesh, name)
    same((crash["exit_code"], crash["reason"], crash["usage"]), (137, "killed", None), "the report")
    mesh.until_status(name, "idle")


def test_host_hung_holder_is_killed(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name())
    pid, holder = agent_pid(mesh, name), holder_pid(mesh, name)
    os.kill(holder, signal.SIGSTOP)
    mesh.expect(0, "stop", name, "--force", limit_s=120)
    check(not is_alive(pid) and not is_alive(holder), "agent or holder is still there")


def test_host_stop_ends_the_wait_of_a_restart(bench):
    """Whoever waits for an agent that is stopped meanwhile is told at once."""
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name(), "--ignore-term")
    waiting = [mesh.spawn("restart", name) for _ in range(3)]
    eventually(10, lambda: mesh.agent(name)["status"] == "restarting", "it restarts")
    mesh.expect(0, "stop", name, "--force")
    begun = time.monotonic()
    for child in waiting:
        said = child.communicate(timeout=60)[0]
        same(child.returncode, 4, f"exit code of a restart, which said {said}")
        check("was stopped meanwhile" in said, f"a restart said {said}")
    bench.measured("restarts answered after the stop", time.monotonic() - begun, 3, "s")
    same(mesh.agent(name)["status"], "stopped", "status")


def test_host_agents_are_stopped_together(bench):
    """Several take as long as the slowest, and are told in the order that was given."""
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    names = [start(mesh, mesh.name(short), "--ignore-term") for short in ("c", "a", "b", "d")]
    begun = time.monotonic()
    done = mesh.expect(3, "stop", *names[:2], "nobody", names[2], "--timeout", "4s")
    bench.measured("stop of three that ignore TERM for 4 s", time.monotonic() - begun, 8, "s")
    same(done.stdout, "".join(f"{name} is stopped\n" for name in names[:3]), "what it says")
    check("no agent 'nobody'" in done.stderr, f"standard error: {done.stderr}")
    stopped = json.loads(mesh.expect(0, "stop", "--all", "--force", "--json").stdout)
    same([(agent["name"], agent["status"]) for agent in stopped], [(names[3], "stopped")], "stop --all --json")


def test_host_logs_tail_is_a_number(bench):
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name())
    for wrong in ("5x", "5 ", "5.0", "x", "0", "5001", "99999999999999999999"):
        mesh.refused(2, "not a number from 1 to 5000", "logs", name, "--tail", wrong)
    check("fake-agent is up" in mesh.expect(0, "logs", name, "--tail", "5").stdout, "the terminal's last lines")


def test_host_refusals(bench):
    mesh = bench.mesh("[sandbox]\nrequired = true\n", **NO_ENGINE)
    mesh.refused(7, r"sandbox-required", *words(mesh, mesh.name()))
    same(mesh.json("list", "--all"), [], "agents")
    other = bench.mesh(QUICK, **NO_ENGINE)
    other.refused(7, r"open-needs-sandbox", "start", "a", "--no-sandbox", "--permissions", "open")
    other.refused(2, r"--sandbox-memory", *words(other, "a", "", "", "--sandbox-memory", "1g"))
    other.refused(2, r"--network", *words(other, "a", "", "", "--network", "none"))
    other.refused(2, r"workdir", *words(other, "a", "", "", "--workdir", "/nonexistent"))


def test_host_and_sandbox_are_seen_apart(bench):
    """An agent that moves from the host into a sandbox and back leaves nothing where it was."""
    mesh = bench.mesh(QUICK)
    name = start(mesh, mesh.name())
    mesh.expect(0, "stop", name)
    mesh.start(name)
    same(runs(mesh, name), [], "runs on the host")
    check(mesh.agent(name)["sandbox"]["container_id"], "no container")
    mesh.expect(0, "stop", name)
    start(mesh, name)
    same(mesh.containers(name), [], "containers")


def test_host_nothing_leaks(bench):
    """Start and stop again and again: no descriptor, child or folder stays."""
    mesh = bench.mesh(QUICK, **NO_ENGINE)
    name = start(mesh, mesh.name())
    daemon = mesh.daemon()

    def held():
        children = pathlib.Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
        return len(os.listdir(f"/proc/{daemon}/fd")), len(children)
    mesh.expect(0, "stop", name)
    # The tmux client stays; the holder's end is noticed a moment after the stop.
    least = eventually(5, lambda: held() if held()[1] == 1 else None, "only the tmux client is left")[0]
    for _ in range(10):
        start(mesh, name)
        mesh.expect(0, "stop", name)
    eventually(5, lambda: held()[1] == least[1], "no holder is left as a child")
    # A few connections are kept for the next request; one left by each of the ten starts would be more.
    check(held()[0] <= least[0] + 5, f"descriptors: {least[0]} at first, {held()[0]} now")
    same(list((mesh.home / "host").iterdir()), [], "folders")
