"""Codex itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import json
import time

import demo
from mesh import check, eventually, same
from messages import random_message

FULL_NUDGES, NUDGES = 250, 5
FULL_MESSAGES, MESSAGES = 100, 6
LIMIT_RULE = [{"when": r"(?m)^LIMIT: *([0-9]+)", "status": 429, "retry_after": r"\1"}]


def test_codex_works_and_is_asked(bench):
    """One life: idle, busy, permission, approve, deny, a person's own answer; no key is pressed."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, "codex", "--permissions", "ask")
        mesh.expect(0, "nudge", name, "SLOW: 4")
        bench.measured("busy seen", mesh.until_status(name, "busy", limit_s=10), 2, "s")
        mesh.until_status(name, "idle", limit_s=30)

        mesh.expect(0, "nudge", name, "RUN: touch made.txt")
        eventually(20, lambda: "Would you like to run" in mesh.screen(name), "the dialog opens")
        bench.measured("permission seen after the dialog", mesh.until_status(name, "waiting_permission"),
                       demo.PERMISSION_LIMIT_S, "s")
        check("touch made.txt" in json.dumps(mesh.json("explain", name)), "explain tells what is asked")
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        check(not (mesh.workdir / "made.txt").exists(), "nothing ran before the answer")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        mesh.until_status(name, "idle")

        mesh.expect(0, "nudge", name, "RUN: touch denied.txt")
        mesh.until_status(name, "waiting_permission")
        mesh.expect(0, "deny", name)
        mesh.until_status(name, "idle")
        eventually(20, lambda: "rejected by user" in mesh.screen(name), "the model was told")
        check(not (mesh.workdir / "denied.txt").exists(), "the denied command did not run")

        mesh.expect(0, "nudge", name, "RUN: touch person.txt")
        mesh.until_status(name, "waiting_permission")
        eventually(10, lambda: "Would you like to run" in mesh.screen(name), "the dialog opens")
        mesh.press(name, "y")
        eventually(20, (mesh.workdir / "person.txt").exists, "a person's own answer is taken")
        mesh.until_status(name, "idle")
        same(model.heard(), ["SLOW: 4"] + [f"RUN: touch {f}.txt" for f in ("made", "denied", "person")],
             "what reached the model")


def test_codex_resumes(bench):
    """docker kill, also before the first message: the same conversation, with what was said in it."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, "codex")
        for count, message in ((1, "remember the number 4711"), (2, "which number was it?")):
            same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "kill")
            eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == count, "it is restarted")
            mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
            mesh.expect(0, "nudge", name, message)
            mesh.until_status(name, "idle")
            eventually(10, lambda: mesh.json("explain", name)["session_id"], "its conversation is known")
            if count == 1:
                session = mesh.json("explain", name)["session_id"]
        same(mesh.json("explain", name)["session_id"], session, "the conversation")
        first, last = [request for request in model.requests() if request["kind"] == "user"]
        check(last["messages"] > first["messages"], f"{last['messages']} messages, {first['messages']} before the kill")
        mesh.expect(0, "nudge", name, "RUN: touch resumed.txt")
        eventually(20, (mesh.workdir / "resumed.txt").exists, "a command runs without being asked for")


def test_codex_daemon_restart_keeps_a_prompt(bench):
    """A prompt that was open when the daemon died is told again and answered by the next one."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, "codex", "--permissions", "ask")
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
        name = demo.start(mesh, model, "codex")
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
        name = demo.start(mesh, model, "codex")
        mesh.press(name, *"draft")
        signs = ["/new", "!touch bang", "# hash", "@file and so on"]
        sent = [random_message(bench.random, index) for index in range(FULL_MESSAGES if bench.full else MESSAGES)]
        demo.check_messages(bench, mesh, model, name, sent + signs, plain=lambda text: text)
        check("› draft" in mesh.screen(name), "the half-typed draft is still there")


def test_codex_dialogs_are_not_typed_into(bench):
    """Nudges against an open permission prompt."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, "codex", "--permissions", "ask")
        mesh.expect(0, "nudge", name, "RUN: rm -rf /workspace/x")
        mesh.until_status(name, "waiting_permission")
        eventually(10, lambda: "Would you like to run" in mesh.screen(name), "the dialog opens")
        shown = mesh.screen(name)
        for _ in range(FULL_NUDGES if bench.full else NUDGES):
            mesh.refused(6, "not delivered", "nudge", name, "please go on")
        same(mesh.screen(name), shown, "the screen")
        mesh.press(name, "Escape")
        mesh.until_status(name, "idle")
        same(model.heard().count("please go on"), 0, "nudges that reached the model")


def test_codex_server_comes_back(bench):
    """Its server dies: the state is not lost for long, and messages arrive again."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, "codex")
        mesh.expect(0, "nudge", name, "before")
        mesh.until_status(name, "idle")
        same(mesh.engine.execute(mesh.container(name)["Id"], "pkill", "-f", "^(node|/usr).*app-server")[0], 0, "pkill")
        eventually(60, lambda: mesh.run("nudge", name, "after").returncode == 0, "a message arrives again")
        eventually(20, lambda: model.heard() == ["before", "after"], "what reached the model")
