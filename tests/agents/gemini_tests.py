"""Gemini CLI itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import datetime
import json

import demo
from mesh import check, eventually, same, seconds_of

GEMINI = demo.Runner(name="gemini", prompt="Allow execution of", allow_key="1", question="Esc to cancel")


def sessions(mesh, name):
    """The conversations' ids in its home."""
    folder = mesh.home / "agents" / name / "home" / ".gemini" / "tmp"
    return {json.loads(path.open().readline())["sessionId"] for path in folder.glob("*/chats/*.jsonl")}


def test_gemini_works_and_is_asked(bench):
    """One life: idle, busy, permission, approve, deny, a person's answer, a question."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, GEMINI, "--permissions", "ask")
        mesh.expect(0, "nudge", name, "SLOW: 4")
        bench.measured("busy seen", mesh.until_status(name, "busy", limit_s=10), 2, "s")
        mesh.until_status(name, "idle", limit_s=30)

        mesh.expect(0, "nudge", name, "RUN: echo made > made.txt")
        eventually(20, lambda: "Allow execution of" in mesh.screen(name), "the dialog opens")
        bench.measured("permission seen after the dialog", mesh.until_status(name, "waiting_permission"),
                       demo.PERMISSION_LIMIT_S, "s")
        check("echo made > made.txt" in json.dumps(mesh.json("explain", name)), "explain tells what is asked")
        check(not (mesh.workdir / "made.txt").exists(), "nothing ran before the answer")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        mesh.until_status(name, "idle")

        mesh.expect(0, "nudge", name, "RUN: echo made > denied.txt")
        mesh.until_status(name, "waiting_permission")
        eventually(20, lambda: "denied.txt" in mesh.screen(name) and "Allow once" in mesh.screen(name), "it shows")
        mesh.expect(0, "deny", name)
        mesh.until_status(name, "idle")
        check(not (mesh.workdir / "denied.txt").exists(), "the denied command did not run")

        mesh.expect(0, "nudge", name, "RUN: echo made > person.txt")
        mesh.until_status(name, "waiting_permission")
        mesh.press(name, "1")
        eventually(20, (mesh.workdir / "person.txt").exists, "a person's own answer is taken")
        mesh.until_status(name, "idle")

        mesh.expect(0, "nudge", name, "ASK: which colour?")
        mesh.until_status(name, "waiting_question")
        mesh.press(name, "Escape")
        mesh.until_status(name, "idle")


def test_gemini_resumes(bench):
    """docker kill, also before the first message: the conversation goes on with what was said in it."""
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, GEMINI)
        same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "kill")
        eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == 1, "it is restarted")
        mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
        mesh.expect(0, "nudge", name, "remember the number 4711")
        mesh.until_status(name, "idle")
        first = mesh.json("explain", name)["session_id"]
        check(first in sessions(mesh, name), "its conversation is in its home")
        same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "kill")
        eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == 2, "it is restarted again")
        mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
        mesh.expect(0, "nudge", name, "which number was it?")
        mesh.until_status(name, "idle")
        sizes = {request["user"]: request["messages"] for request in model.requests() if request["kind"] == "user"}
        same(mesh.json("explain", name)["session_id"], first, "the conversation")
        check(sizes["which number was it?"] > sizes["remember the number 4711"], f"the model got the history: {sizes}")
        same(model.heard().count("remember the number 4711"), 1, "how often the first message was sent")


def test_gemini_limit(bench):
    """A usage limit is told with the minute of its end, and held until then; nothing is typed into its dialog."""
    mesh = bench.mesh()
    limit = [{"when": "LIMIT", "status": 429, "retry_after": 20}]
    with demo.Model(mesh, limit) as model:
        name = demo.start(mesh, model, GEMINI)
        begun = datetime.datetime.now(datetime.timezone.utc).timestamp()
        mesh.expect(0, "nudge", name, "LIMIT")
        mesh.until_status(name, "rate_limited", limit_s=12)
        told = seconds_of(mesh.json("explain", name)["limited_until"])
        check(0 <= told - begun <= 20 + 60 + 15, f"its end is {told - begun:.0f} s away")
        shown = mesh.screen(name)
        for _ in range(20 if bench.full else 3):
            mesh.refused(6, "not delivered", "nudge", name, "go on")
        same(mesh.screen(name), shown, "the screen during the limit")
        same(model.heard().count("go on"), 0, "messages during the limit")


def test_gemini_login(bench):
    """A refused key is a missing login."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, GEMINI)
        mesh.expect(0, "nudge", name, "STATUS: 401")
        mesh.until_status(name, "auth_required", limit_s=20)


def test_gemini_messages(bench):
    """Random messages reach the model once and unchanged."""
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, GEMINI)
        demo.check_messages(bench, mesh, model, name, demo.random_messages(bench))


def test_gemini_dialogs_are_not_typed_into(bench):
    """Nudges against an open permission prompt and an open question."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, GEMINI, "--permissions", "ask")
        dialogs = [("RUN: rm -rf /workspace/x", "waiting_permission"), ("ASK: sure?", "waiting_question")]
        for message, status in dialogs if bench.full else dialogs[:1]:  # a question after a prompt is told as a prompt
            mesh.expect(0, "nudge", name, message)
            mesh.until_status(name, status)
            eventually(10, lambda: "(esc)" in mesh.screen(name) or "Esc to cancel" in mesh.screen(name), "it shows")
            shown = mesh.screen(name)
            for _ in range(250 if bench.full else 5):
                mesh.refused(6, "not delivered", "nudge", name, "please go on")
            same(mesh.screen(name), shown, f"the screen while {status}")
            mesh.press(name, "Escape")
            mesh.until_status(name, "idle")
        same(model.heard().count("please go on"), 0, "nudges that reached the model")
