"""Promises 7 to 10: every end of an agent is answered as its kind asks for, within its bounds."""
import datetime
import json
import socket
import time

from mesh import always, check, eventually, same, seconds_of
from restart_tests import QUICK, crash_of


def test_crash_loop_is_bounded(bench):
    mesh = bench.mesh('[watchdog]\nmax_restarts = 3\nbackoff_first = "400ms"\nbackoff_max = "1s"\n')
    name = mesh.name()
    mesh.run(*mesh.start_words(name, "--start-after 100 --crash-after 300 --exit 7"))
    mesh.until_status(name, "failed", limit_s=30)
    starts = [at for _, at in mesh.engine_events(name, "start")]
    deaths = [at for _, at in mesh.engine_events(name, "die")]
    same(len(starts), 4, "starts for 3 restarts")
    worst = 0.0
    for number, delay in enumerate((0.4, 0.8, 1.0), start=1):
        crash = crash_of(mesh, name, number)
        planned = seconds_of(crash["next_restart_at"]) - seconds_of(mesh.events(name, "ended")[number - 1]["at"])
        worst = max(worst, abs(planned - delay) / delay)
        check(starts[number] - deaths[number - 1] >= 0.75 * delay,
              f"restart {number} came {starts[number] - deaths[number - 1]:.3f} s after the crash, delay {delay} s")
    bench.measured("planned delays off the curve", worst * 100, 25.5, "%")
    late = max(starts[n] - seconds_of(crash_of(mesh, name, n)["next_restart_at"]) for n in (1, 2, 3))
    bench.measured("start after its planned time", late, 5, "s")
    agent = mesh.agent(name)
    check("restart limit" in agent["reason"] and "exit code 7" in agent["reason"], f"the reason is {agent['reason']}")
    same(len(mesh.events(name, "failed")), 1, "events 'failed'")
    always(bench.count(5, 60), lambda: not mesh.containers(name) and mesh.agent(name)["status"] == "failed",
           "failed, and no container")
    mesh.expect(0, "crashes", name, "--last")
    begun = time.monotonic()
    mesh.refused(6, "failed", "nudge", name, "hello")
    bench.measured("nudge of a failed agent refused", time.monotonic() - begun, 2, "s")
    # A person may start it again, and that is not counted.
    mesh.run(*mesh.start_words(name, "--busy 60"))
    mesh.until_status(name, "idle")
    same(mesh.agent(name)["restarts"]["count"], 0, "restarts after a person's start")


def test_permanent_error_is_not_retried(bench):
    mesh = bench.mesh(QUICK)
    name = mesh.name()
    words = list(mesh.start_words(name))
    words[words.index("--command") + 1] = "no-such-program --with options"
    mesh.refused(1, "command not found", *words)
    same(mesh.agent(name)["status"], "failed", "status")
    always(5, lambda: mesh.agent(name)["status"] == "failed", "failed")
    bench.measured("starts", len(mesh.engine_events(name, "start")), 1, "start")
    same(mesh.agent(name)["exit"]["reason"], "command_not_found", "exit reason")
    check(any("not found" in line for line in crash_of(mesh, name)["terminal"]), "the shell's message is not reported")


def named_out_of_memory(bench, options, field, reason):
    mesh = bench.mesh(QUICK)
    name = mesh.name()
    mesh.run(*mesh.start_words(name, options))
    crash = crash_of(mesh, name)
    same((crash["reason"], crash["out_of_memory"][field]), (reason, True), f"reason and out_of_memory.{field}")
    died = mesh.engine_events(name, "die")[0][1]
    bench.measured("named after the end", seconds_of(crash["at"]) - died, 2, "s")
    return mesh, name


def test_out_of_memory_of_the_main_process(bench):
    mesh, name = named_out_of_memory(bench, "--start-after 1500 --eat-memory 200000000", "main", "out_of_memory")
    mesh.expect(0, "stop", name, "--force")


def test_out_of_memory_of_a_child(bench):
    mesh, name = named_out_of_memory(bench, "--eat-memory-child 200000000 --crash-after 3000 --exit 4", "child",
                                     "out_of_memory_child")
    oom = [at for _, at in mesh.engine_events(name, "oom")][0]
    seen = seconds_of(mesh.events(name, "oom")[0]["at"])
    bench.measured("child's end for memory told after the engine's own event", seen - oom, 2, "s")
    mesh.expect(0, "stop", name, "--force")


def tell(mesh, name, **sign):
    """One datagram on the agent's hook socket, as the agent itself sends it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hook:
        hook.sendto(json.dumps(sign).encode(), str(mesh.home / "agents" / name / "run" / "hook.sock"))


def test_usage_limit_spends_no_budget(bench):
    mesh = bench.mesh(QUICK)
    names = mesh.start_all([mesh.name(f"a{index}") for index in range(bench.count(2, 10))])
    over = time.time() + bench.count(8, 40)
    until = datetime.datetime.fromtimestamp(over, datetime.timezone.utc).isoformat(timespec="milliseconds")
    for name in names:
        tell(mesh, name, event="rate_limited", until=until.replace("+00:00", "Z"), detail="the limit of this test")
        mesh.until_status(name, "rate_limited")
        mesh.refused(6, "limit", "nudge", name, "hello")
        mesh.engine.kill(mesh.container(name)["Id"])
    for name in names:
        crash_of(mesh, name)
        mesh.until_status(name, "rate_limited")
        same(mesh.agent(name)["exit"]["reason"], "usage_limit", "exit reason")
    late, early = 0.0, 0.0
    for name in names:
        eventually(75, lambda: len(mesh.engine_events(name, "start")) == 2, f"{name} is started again")
        started = mesh.engine_events(name, "start")[1][1]
        late, early = max(late, started - over), max(early, over - started)
        mesh.until_status(name, "idle")
        same(mesh.agent(name)["restarts"]["count"], 0, "restarts counted")
        same(mesh.messages(name), [], "messages")
    bench.measured("started before the limit was over", max(early, 0), 0, "s")
    bench.measured("started after the limit was over", late, 60, "s")
    bench.measured("budget spent", 0, 0, "restarts")
