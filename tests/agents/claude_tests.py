"""Claude Code itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import json
import re

import demo
from mesh import always, check, eventually, same
from messages import typeable

KEYS_REST_S = 1.5      # a dialog that has just opened takes no key


def started(bench, *options, rules=()):
    mesh = bench.mesh()
    model = demo.Model(mesh, rules)
    try:
        return mesh, demo.start(mesh, model, "claude", *options), model
    except BaseException:
        ended(model)
        raise


def ended(model):
    model.process.kill()
    model.process.wait()


def conversation(mesh, name):
    """The id in its status file."""
    folder = mesh.home / "agents" / name / "home" / ".claude" / "sessions"
    return [json.loads(path.read_text())["sessionId"] for path in folder.glob("*.json")]


def test_claude_works_and_is_asked(bench):
    """One life: idle, busy, permission, approve, deny, a question, a person's answer."""
    mesh, name, model = started(bench, "--permissions", "ask")
    try:
        mesh.expect(0, "nudge", name, "SLOW: 4")
        bench.measured("busy seen", mesh.until_status(name, "busy", limit_s=10), 2, "s")
        mesh.until_status(name, "idle", limit_s=30)

        mesh.expect(0, "nudge", name, "RUN: echo made > made.txt")
        eventually(20, lambda: "Do you want to proceed?" in mesh.screen(name), "the dialog opens")
        bench.measured("permission seen after the dialog", mesh.until_status(name, "waiting_permission"), demo.PERMISSION_LIMIT_S,
                       "s")
        check("echo made > made.txt" in json.dumps(mesh.json("explain", name)), "explain tells what is asked")
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        check(not (mesh.workdir / "made.txt").exists(), "nothing ran before the answer")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        eventually(20, lambda: "Allowed by PermissionRequest hook" in mesh.screen(name), "by the hook, not by a key")
        mesh.until_status(name, "idle")

        mesh.expect(0, "nudge", name, "RUN: echo made > denied.txt")
        mesh.until_status(name, "waiting_permission")
        mesh.expect(0, "deny", name, "--reason", "not today")
        mesh.until_status(name, "idle")
        eventually(20, lambda: "not today" in mesh.screen(name), "the reason is told")
        check(not (mesh.workdir / "denied.txt").exists(), "the denied command did not run")

        mesh.expect(0, "nudge", name, "RUN: echo made > person.txt")
        mesh.until_status(name, "waiting_permission")
        eventually(20, lambda: "❯ 1. Yes" in mesh.screen(name), "the dialog is painted")
        always(KEYS_REST_S, lambda: "❯ 1. Yes" in mesh.screen(name), "the dialog waits for a person")
        mesh.press(name, "1")
        eventually(20, (mesh.workdir / "person.txt").exists, "a person's own answer is taken")
        mesh.until_status(name, "idle")
        hooks = "ps -eo args | grep -c '[h]ook claude --wait$' || true"
        eventually(10, lambda: mesh.engine.execute(mesh.container(name)["Id"], "sh", "-c", hooks)[1].strip() == "0",
                   "no hook waits any longer")

        mesh.expect(0, "nudge", name, "ASK: which colour?")
        mesh.until_status(name, "waiting_question")
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        mesh.press(name, "Escape")
        mesh.until_status(name, "idle")
        heard = [text for text in model.heard() if text != "ASK: which colour?"]
        same(sorted(set(heard)), sorted(["SLOW: 4"] + [f"RUN: echo made > {f}.txt" for f in ("made", "denied", "person")]),
             "what reached the model")
    finally:
        ended(model)


def test_claude_resumes(bench):
    """docker kill, also before the first message: the same conversation, with what was said in it."""
    mesh, name, model = started(bench)
    try:
        first = conversation(mesh, name)
        same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "kill")
        eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == 1, "it is restarted")
        mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
        same(conversation(mesh, name), first, "the conversation before its first message")
        mesh.expect(0, "nudge", name, "remember the number 4711")
        mesh.until_status(name, "idle")
        same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "kill")
        eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == 2, "it is restarted again")
        mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
        same(conversation(mesh, name), first, "the conversation")
        before = max(request["messages"] for request in model.requests())
        mesh.expect(0, "nudge", name, "which number was it?")
        mesh.until_status(name, "idle")
        last = [request for request in model.requests() if request["user"] == "which number was it?"][-1]
        check(last["messages"] > before, f"the model got {last['messages']} messages, {before} before the kill")
        same(model.heard().count("remember the number 4711"), 1, "how often the first message was sent")
    finally:
        ended(model)


def test_claude_daemon_restart_keeps_a_prompt(bench):
    """A prompt that was open when the daemon died is answered through its hook by the next one."""
    mesh, name, model = started(bench, "--permissions", "ask")
    try:
        mesh.expect(0, "nudge", name, "RUN: echo made > made.txt")
        mesh.until_status(name, "waiting_permission")
        mesh.kill_daemon()
        mesh.until_status(name, "waiting_permission")
        eventually(15, lambda: "echo made > made.txt" in json.dumps(mesh.json("explain", name)), "its hook told again")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        eventually(20, lambda: "Allowed by PermissionRequest hook" in mesh.screen(name), "by the hook")
    finally:
        ended(model)


def test_claude_limit_and_login(bench):
    """A usage limit holds until its time, and is over when it works again; a refused key is a missing login."""
    limit = [{"when": "LIMIT", "status": 429, "retry_after": 15, "times": 1}]
    mesh, name, model = started(bench, rules=limit)
    try:
        mesh.expect(0, "nudge", name, "LIMIT")
        mesh.until_status(name, "rate_limited", limit_s=12)
        refused = next(request["time"] for request in model.requests() if request["action"] == "status")
        check("retrying in" in json.dumps(mesh.json("explain", name)), "explain tells of the limit")
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        mesh.until_status(name, "idle", limit_s=60)
        answered = max(request["time"] for request in model.requests() if request["user"] == "LIMIT")
        check(answered - refused >= 14, f"it waited {answered - refused:.1f} s of 15")
        same(model.heard().count("go on"), 0, "messages during the limit")
    finally:
        ended(model)


def as_claude_hears(text):
    """What is left of a message: the control characters are ours not to type; the rest Claude Code does to any paste: it
    takes out joiners, makes a tab four spaces, and puts a mark around a long one."""
    text = re.sub(r"</?pasted_content[^>]*>", "", text)
    return typeable(text).replace("\u200d", "").replace("\t", "    ").strip()


def test_claude_messages(bench):
    """Random messages reach the model once and unchanged."""
    mesh, name, model = started(bench, rules=demo.SHORT_ANSWERS)
    try:
        demo.check_messages(bench, mesh, model, name, plain=as_claude_hears)
    finally:
        ended(model)


def below_the_logo(screen):
    """The logo at the top moves by itself."""
    return screen.split("/workspace", 1)[-1]


def test_claude_dialogs_are_not_typed_into(bench):
    """Nudges against an open permission prompt and an open question."""
    mesh, name, model = started(bench, "--permissions", "ask")
    try:
        for message, status in (("RUN: rm -rf /workspace/x", "waiting_permission"), ("ASK: sure?", "waiting_question")):
            mesh.expect(0, "nudge", name, message)
            mesh.until_status(name, status)
            eventually(10, lambda: "Esc to cancel" in mesh.screen(name), "the dialog is shown")
            shown = below_the_logo(mesh.screen(name))
            for _ in range(250 if bench.full else 5):
                mesh.refused(6, "not delivered", "nudge", name, "please go on")
            same(below_the_logo(mesh.screen(name)), shown, f"the screen while {status}")
            mesh.press(name, "Escape")
            mesh.until_status(name, "idle")
        same(model.heard().count("please go on"), 0, "nudges that reached the model")
    finally:
        ended(model)
