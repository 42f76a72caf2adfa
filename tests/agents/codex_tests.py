"""Codex itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import json
import time

import demo
from mesh import check, eventually, same

LIMIT_RULE = [{"when": r"(?m)^LIMIT: *([0-9]+)", "status": 429, "retry_after": r"\1"}]
CODEX = demo.Runner(name="codex", prompt="Would you like to run", allow_key="y", denied=("rejected by user", ()))


def test_codex_works_and_is_asked(bench):
    demo.works_and_is_asked(bench, CODEX)


def test_codex_resumes(bench):
    demo.resumes(bench, CODEX)


def test_codex_turn_ends_without_a_daemon(bench):
    demo.turn_ends_without_a_daemon(bench, CODEX)


def test_codex_daemon_restart_keeps_a_prompt(bench):
    """A prompt that was open when the daemon died is told again and answered by the next one."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, CODEX, "--permissions", "ask")
        mesh.expect(0, "nudge", name, "RUN: touch made.txt")
        mesh.until_status(name, "waiting_permission")
        mesh.kill_daemon()
        mesh.until_status(name, "waiting_permission")
        eventually(15, lambda: "touch made.txt" in json.dumps(mesh.json("explain", name)), "its request came again")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")


def test_codex_limit(bench):
    """A usage limit holds until its time, to the second."""
    mesh = bench.mesh()
    with demo.Model(mesh, LIMIT_RULE) as model:
        name = demo.start(mesh, model, CODEX)
        mesh.expect(0, "nudge", name, "LIMIT: 12")
        mesh.until_status(name, "rate_limited", limit_s=12)
        refused = max(request["time"] for request in model.requests() if request["action"] == "status")
        check("usage limit" in json.dumps(mesh.json("explain", name)), "explain tells of the limit")
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        mesh.until_status(name, "idle", "busy", limit_s=60)
        held = time.time() - refused
        check(11 <= held, f"it held for {held:.1f} s of 12")
        mesh.expect(0, "nudge", name, "and now")
        same(model.heard().count("go on"), 0, "messages during the limit")


def test_codex_messages(bench):
    """Random messages reach the model once and unchanged; a draft stays; what begins with a sign is no command."""
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, CODEX)
        mesh.press(name, *"draft")
        signs = ["/new", "!touch bang", "# hash", "@file and so on"]
        demo.check_messages(bench, mesh, model, name, demo.random_messages(bench) + signs, plain=str)
        check("› draft" in mesh.screen(name), "the half-typed draft is still there")


def test_codex_question_is_not_typed_into(bench):
    """Nudges against a question, which it asks in its plan mode alone."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, CODEX)
        eventually(10, lambda: "? for shortcuts" in mesh.screen(name), "its composer takes keys")
        mesh.press(name, "BTab")
        eventually(10, lambda: "Plan mode" in mesh.screen(name), "it is in plan mode")
        mesh.press(name, "ASK: sure?")
        eventually(10, lambda: "› ASK: sure?" in mesh.screen(name), "the message is in its composer")
        mesh.press(name, "Enter")
        mesh.until_status(name, "waiting_question")
        eventually(10, lambda: "enter to submit answer" in mesh.screen(name), "the question is shown")
        demo.is_not_typed_into(bench, mesh, model, name, str)
        mesh.press(name, "Escape")
        mesh.until_status(name, "idle")


def test_codex_server_comes_back(bench):
    """Its server dies: the state is not lost for long, and messages arrive again."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, CODEX)
        mesh.expect(0, "nudge", name, "before")
        mesh.until_status(name, "idle")
        same(mesh.engine.execute(mesh.container(name)["Id"], "pkill", "-f", "^(node|/usr).*app-server")[0], 0, "pkill")
        eventually(60, lambda: mesh.run("nudge", name, "after").returncode == 0, "a message arrives again")
        eventually(20, lambda: model.heard() == ["before", "after"], "what reached the model")
