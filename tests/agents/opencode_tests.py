"""opencode itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import json

import demo
from mesh import check, eventually, same

MODEL = ("--model", "demo/scripted")


def conversation(mesh, name):
    return mesh.json("explain", name)["session_id"]


def test_opencode_works_and_is_asked(bench):
    """One life: idle, busy, permission, approve, deny, a question."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, "opencode", "--permissions", "ask", *MODEL)
        mesh.expect(0, "nudge", name, "SLOW: 4")
        bench.measured("busy seen", mesh.until_status(name, "busy", limit_s=10), 2, "s")
        mesh.until_status(name, "idle", limit_s=30)

        mesh.expect(0, "nudge", name, "RUN: echo made > made.txt")
        eventually(30, lambda: "Permission required" in mesh.screen(name), "the dialog opens")
        bench.measured("permission seen after the dialog", mesh.until_status(name, "waiting_permission"),
                       demo.PERMISSION_LIMIT_S, "s")
        check("echo made > made.txt" in json.dumps(mesh.json("explain", name)), "explain tells what is asked")
        check(not (mesh.workdir / "made.txt").exists(), "nothing ran before the answer")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        mesh.until_status(name, "idle")

        mesh.expect(0, "nudge", name, "RUN: echo made > denied.txt")
        mesh.until_status(name, "waiting_permission")
        mesh.expect(0, "deny", name)
        mesh.until_status(name, "idle")
        check(not (mesh.workdir / "denied.txt").exists(), "the denied command did not run")

        mesh.expect(0, "nudge", name, "ASK: which colour?")
        mesh.until_status(name, "waiting_question")


def test_opencode_resumes(bench):
    """docker kill: the same conversation, with what was said in it."""
    if not bench.full:
        return bench.notes.append("only in full")
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, "opencode", *MODEL)
        mesh.expect(0, "nudge", name, "remember the number 4711")
        mesh.until_status(name, "idle")
        first = conversation(mesh, name)
        same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "kill")
        eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == 1, "it is restarted")
        mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
        same(conversation(mesh, name), first, "the conversation")
        mesh.expect(0, "nudge", name, "which number was it?")
        mesh.until_status(name, "idle")
        sizes = {request["user"]: request["messages"] for request in model.requests() if request["kind"] == "user"}
        check(sizes["which number was it?"] > sizes["remember the number 4711"], f"the model got the history: {sizes}")
        same(model.heard().count("remember the number 4711"), 1, "how often the first message was sent")


def test_opencode_limit(bench):
    """A usage limit is held until its time, and nothing is sent meanwhile."""
    if not bench.full:
        return bench.notes.append("only in full")
    mesh = bench.mesh()
    with demo.Model(mesh, [{"when": "LIMIT", "status": 429, "retry_after": 60}]) as model:
        name = demo.start(mesh, model, "opencode", *MODEL)
        mesh.expect(0, "nudge", name, "LIMIT")
        mesh.until_status(name, "rate_limited", limit_s=20)
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        same(model.heard().count("go on"), 0, "messages during the limit")


def test_opencode_messages(bench):
    """Random messages reach the model once and unchanged."""
    if not bench.full:
        return bench.notes.append("only in full")
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, "opencode", *MODEL)
        demo.check_messages(bench, mesh, model, name)


def test_opencode_dialogs_are_not_answered_by_messages(bench):
    """Nudges against an open permission prompt and an open question."""
    if not bench.full:
        return bench.notes.append("only in full")
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, "opencode", "--permissions", "ask", *MODEL)
        for message, status in (("RUN: rm -rf /workspace/x", "waiting_permission"), ("ASK: sure?", "waiting_question")):
            mesh.expect(0, "nudge", name, message)
            mesh.until_status(name, status)
            for _ in range(250 if bench.full else 5):
                mesh.refused(6, "not delivered", "nudge", name, "please go on")
            same(mesh.agent(name)["status"], status, "the prompt stays open")
            if status == "waiting_permission":
                mesh.expect(0, "deny", name)
                mesh.until_status(name, "idle")
        same(model.heard().count("please go on"), 0, "nudges that reached the model")
