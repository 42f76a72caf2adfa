"""Every end of an agent is seen at once, named, and answered as its kind asks for: restarted with growing delays up
to the limit, failed at once, or left ended."""
import concurrent.futures
import os
import signal
import sqlite3
import time

from mesh import always, check, eventually, same, seconds_of

QUICK = '[watchdog]\nbackoff_first = "200ms"\nbackoff_max = "2s"\n'


def crash_of(mesh, name, number=1):
    """The crash report of the agent's run `number`."""
    def find():
        return next((crash for crash in mesh.json("crashes", name) if crash["run"] == number), None)
    return eventually(15, find, f"the crash report of run {number} of {name}")[0]


def until_run(mesh, name, number, limit_s=20):
    """The agent's container is that of run `number`, and runs."""
    def runs():
        return any(box["Name"] == f"/agentmesh-{name}-{number}" and box["State"]["Running"]
                   for box in mesh.containers(name))
    return eventually(limit_s, runs, f"run {number} of {name}")[1]


def test_crash_is_seen_named_and_restarted(bench):
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "SAY these are my last words")
    mesh.until_status(name, "idle")
    same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "the engine's kill")
    until_run(mesh, name, 2)
    died = mesh.engine_events(name, "die")[0][1]
    seen = seconds_of(mesh.events(name, "ended")[0]["at"])
    bench.measured("crash seen after the engine's own event", (seen - died) * 1000, 100, "ms")
    crash = crash_of(mesh, name)
    same((crash["exit_code"], crash["signal"], crash["signal_name"], crash["reason"]), (137, 9, "SIGKILL", "killed"),
         "exit code, signal and reason")
    same(crash["restart"], {"number": 1, "limit": 3}, "restart")
    check(any("these are my last words" in line for line in crash["terminal"]),
          f"the terminal's text is not in the report: {crash['terminal'][-10:]}")
    check(crash["next_restart_at"] and crash["container"]["id"] and crash["events"], f"a field is empty: {crash}")
    check(crash["container"]["image_id"].startswith("sha256:") and crash["started_at"], f"a field is empty: {crash}")
    same(crash["stage"], "run", "stage")
    check(crash["usage"]["peak_memory_bytes"] > 100_000, f"nothing was used: {crash['usage']}")
    last = mesh.expect(0, "crashes", name, "--last").stdout
    for word in ("137", "SIGKILL", "killed", "these are my last words", "1 of 3"):
        check(word in last, f"'{word}' is not in `crashes --last`:\n{last}")
    log = (mesh.home / "logs" / f"crash-{name}.log").read_text()
    check("SIGKILL" in log and "these are my last words" in log, f"the crash log says:\n{log}")
    mesh.until_status(name, "idle")
    mesh.expect(0, "nudge", name, "are you back?")
    same(mesh.messages(name)[-1], "are you back?", "a message to the restarted agent")


def test_removed_container_is_named_and_restarted(bench):
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    mesh.engine.remove(mesh.container(name)["Id"])
    took = until_run(mesh, name, 2)
    bench.measured("another run after the removal", took, 10, "s")
    crash = crash_of(mesh, name)
    check(crash["reason"] in ("container_gone", "killed"), f"the reason is {crash['reason']}")
    mesh.until_status(name, "idle")


def test_killed_session_comes_back(bench):
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    before = mesh.container(name)["State"]["StartedAt"]
    same(mesh.tmux("kill-session", "-t", f"=agentmesh-{name}").returncode, 0, "tmux kill-session")
    took = eventually(10, lambda: f"agentmesh-{name}" in mesh.sessions() and "fake-agent is up" in mesh.screen(name),
                      "the session is back and painted")[1]
    bench.measured("session back", took, 3, "s")
    same(mesh.container(name)["State"]["StartedAt"], before, "StartedAt")
    mesh.expect(0, "nudge", name, "still there?")
    same(mesh.messages(name), ["still there?"], "messages")


def test_a_persons_pane_in_the_session_is_left_alone(bench):
    """What a person opens beside the agent (C-b %) is not typed into, not respawned, and keeps nothing from coming back."""
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    session = f"=agentmesh-{name}:"
    ours = mesh.tmux("display-message", "-p", "-t", session, "#{pane_id}").stdout.strip()
    opened = mesh.tmux("split-window", "-P", "-F", "#{pane_id} #{pane_pid}", "-t", session, "exec cat").stdout.split()
    same(len(opened), 2, "pane and process of the person's pane")

    def left_alone():
        looked = mesh.tmux("display-message", "-p", "-t", opened[0], "#{pane_id} #{pane_pid} #{pane_dead}").stdout.split()
        typed = mesh.tmux("capture-pane", "-p", "-t", opened[0]).stdout.strip()
        same((looked, typed), ([*opened, "0"], ""), "the person's pane: pane, process, dead; text")

    mesh.expect(0, "nudge", name, "touch /tmp/x; id")
    mesh.engine.remove(mesh.container(name)["Id"])
    until_run(mesh, name, 2)
    mesh.until_status(name, "idle")
    eventually(10, lambda: mesh.tmux("display-message", "-p", "-t", ours, "#{pane_dead}").stdout.strip() == "0",
               "the agent's pane lives again")
    mesh.expect(0, "nudge", name, "after the restart")
    left_alone()
    mesh.tmux("kill-pane", "-t", ours)
    eventually(10, lambda: len(list(mesh.relays())) == 1, "the agent's pane is opened again")
    eventually(10, lambda: mesh.run("nudge", name, "after its pane was closed").returncode == 0, "a nudge arrives")
    same(mesh.messages(name), ["touch /tmp/x; id", "after the restart", "after its pane was closed"], "messages")
    left_alone()
    mesh.expect(0, "stop", name)
    left_alone()


def test_a_tmux_server_of_another_home_is_refused(bench):
    """And `down --agents` there ends nothing here."""
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    other = bench.mesh(QUICK, AGENTMESH_TMUX_SOCKET=mesh.environment["AGENTMESH_TMUX_SOCKET"])
    other.refused(5, f"belongs to the agents of {mesh.home}.*AGENTMESH_TMUX_SOCKET", *other.start_words(name))
    other.expect(0, "down", "--agents")
    check(f"agentmesh-{name}" in mesh.sessions(), "the agent's session is still there")
    mesh.expect(0, "nudge", name, "still there?")
    same(mesh.messages(name), ["still there?"], "messages")
    mesh.expect(0, "down", "--agents")
    other.start(other.name())


def test_panes_are_known_again_when_the_way_to_tmux_was_lost(bench):
    """Of an idle agent, whose pane tells nothing new: not only at the next relist, a minute later."""
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    clients = mesh.tmux("list-clients", "-F", "#{client_control_mode} #{client_pid}").stdout.split("\n")
    pids = [int(line.split()[1]) for line in clients if line.startswith("1 ")]
    check(pids, f"no control client: {clients}")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(10, lambda: mesh.events(name="tmux_back"), "the way to tmux is back")

    def taken():
        return mesh.run("nudge", name, "still there?").returncode == 0
    bench.measured("a message after the way to tmux was lost", eventually(20, taken, "a message arrives")[1], 10, "s")


def test_a_state_of_hooks_alone_is_told_to_the_next_daemon(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    mesh.kill_daemon()
    mesh.until_status(name, "idle", limit_s=10)
    mesh.expect(0, "nudge", name, "ASK for something", "--wait", "10s")
    mesh.until_status(name, "waiting_permission")
    mesh.expect(0, "down")
    mesh.until_status(name, "waiting_permission", limit_s=10)
    mesh.refused(6, "permission prompt", "nudge", name, "into the prompt", "--wait", "1s")
    same([entry["kind"] for entry in mesh.record(name)], ["message"], "what it was given")


def test_done_agent_stays_ended(bench):
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    mesh.press(name, "C-d")
    mesh.until_status(name, "stopped")
    same(mesh.agent(name)["exit"]["reason"], "done", "exit reason")
    same(mesh.agent(name)["reason"][:4], "done", "reason")
    mesh.expect(0, "stop", name)
    same(mesh.agent(name)["reason"][:4], "done", "reason after a stop")
    always(3, lambda: not mesh.containers(name), "no container")
    same(len(mesh.engine_events(name, "start")), 1, "starts")


def test_custom_program_that_ends_with_0_is_done(bench):
    """Also in the middle of a turn: what a custom program means by 0 is that it has done its job."""
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "BUSY 600000")
    mesh.press(name, "C-d")
    mesh.until_status(name, "stopped")
    same(mesh.agent(name)["exit"]["reason"], "done", "exit reason")
    always(3, lambda: not mesh.containers(name), "no container")


def test_restart_by_a_person_is_not_counted(bench):
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    for run in (2, 3, 4, 5):
        mesh.expect(0, "restart", name)
        same(mesh.container(name)["Name"], f"/agentmesh-{name}-{run}", "container")
    same(mesh.agent(name)["restarts"]["count"], 0, "restarts counted")
    same(mesh.json("crashes", name), [], "crash reports")
    first = mesh.spawn("restart", name)  # one while the other is under way
    mesh.expect(0, "restart", name)
    said = first.communicate(timeout=30)[0]
    same(first.returncode, 0, f"exit code of the first, which said {said}")


def test_another_runner_begins_a_conversation_of_its_own(bench):
    """The session id of the runner before it is none of its own: no start may fail for it."""
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    eventually(5, lambda: mesh.json("explain", name)["session_id"] == "fake-session", "the session is learned")
    mesh.expect(0, "stop", name)
    command = mesh.start_words(name)[4:6]
    mesh.run(*[{"custom": "claude"}.get(word, word) for word in mesh.start_words(name) if word not in command])
    same(mesh.agent(name)["exit"]["reason"], "command_not_found", "why a runner that the image does not have ended")


def test_a_conversation_that_cannot_be_named_is_begun_anew(bench):
    """What an agent called itself once, before its id was checked, keeps no run from starting."""
    mesh = bench.mesh(QUICK)
    name = mesh.start(mesh.name())
    eventually(5, lambda: mesh.json("explain", name)["session_id"] == "fake-session", "the session is learned")
    mesh.kill_daemon()
    with sqlite3.connect(mesh.home / "state.db") as journal:
        journal.execute("UPDATE agents SET session_id = ? WHERE name = ?", ("no\nid\x01", name))
    mesh.expect(0, "restart", name)
    mesh.until_status(name, "idle")
    eventually(5, lambda: mesh.json("explain", name)["session_id"] == "fake-session", "the session is learned again")
    same(mesh.json("crashes", name), [], "crash reports")


def test_stuck_agent_is_nudged_then_restarted(bench):
    mesh = bench.mesh(QUICK + 'stuck_after = "2s"\nnudge_wait = "2s"\n')
    name = mesh.start(mesh.name())
    begun = time.time()
    mesh.run("nudge", name, "HANG")
    until_run(mesh, name, 2, limit_s=40)
    crash = crash_of(mesh, name)
    same(crash["reason"], "stuck_after_nudge", "reason")
    bench.measured("stuck to its crash report", seconds_of(crash["at"]) - begun, 30, "s")
    same(mesh.messages(name)[0], "HANG", "the first message")


def test_mass_death_is_checked_and_not_counted(bench):
    """Five agents and more that die together are the host's fault: told once, nothing starts before engine and tmux have
    answered, and no agent's restarts are counted."""
    mesh = bench.mesh(QUICK)
    names = [mesh.name(f"a{index}") for index in range(6)]
    mesh.start_all(names)
    boxes = [mesh.container(name)["Id"] for name in names]
    with concurrent.futures.ThreadPoolExecutor(len(boxes)) as pool:
        same(set(pool.map(mesh.engine.kill, boxes)), {204}, "the engine's kills")
    for name in names:
        until_run(mesh, name, 2, limit_s=60)
        mesh.until_status(name, "idle")
    same(len(mesh.events(name="mass_death")), 1, "events mass_death")
    same(len(mesh.events(name="verified")), 1, "events verified")
    verified = seconds_of(mesh.events(name="verified")[0]["at"])
    held = min(at for name in names for _, at in mesh.engine_events(name, "create")[1:]) - verified
    check(held > -0.01, f"a run began {-held * 1000:.0f} ms before engine and tmux had answered")
    same({name: mesh.agent(name)["restarts"]["count"] for name in names}, dict.fromkeys(names, 0), "restarts that count")
