"""Claude Code itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import json
import re

import demo
from mesh import check, eventually, same
from messages import typeable

ONBOARDED = {"hasCompletedOnboarding": True, "hasSeenAutoDefaultNotice": True}


def as_claude_hears(text):
    """What is left of a message: the control characters are ours not to type; the rest Claude Code does to any paste: it
    takes out joiners, makes a tab four spaces, and puts a mark around a long one."""
    text = re.sub(r"</?pasted_content[^>]*>", "", text)
    return typeable(text).replace("\u200d", "").replace("\t", "    ").strip()


def still(screen):
    """The logo at the top moves by itself, and a bullet blinks."""
    return screen.split("/workspace", 1)[-1].replace("●", " ")


def no_hook_waits(mesh, name):
    count = "ps -eo args | grep -c '[h]ook claude --wait$' || true"
    return mesh.engine.execute(mesh.container(name)["Id"], "sh", "-c", count)[1].strip() == "0"


CLAUDE = demo.Runner(name="claude", prompt="Do you want to proceed?", allow_key="1", question="Esc to cancel", rest_s=1.5,
                     approved="Allowed by PermissionRequest hook", denied=("not today", ("--reason", "not today")),
                     is_over=no_hook_waits, still=still)


def test_claude_works_and_is_asked(bench):
    demo.works_and_is_asked(bench, CLAUDE)


def test_claude_resumes(bench):
    demo.resumes(bench, CLAUDE)


def test_claude_daemon_restart_keeps_a_prompt(bench):
    """A prompt that was open when the daemon died is answered through its hook by the next one."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, CLAUDE, "--permissions", "ask")
        mesh.expect(0, "nudge", name, "RUN: touch made.txt")
        mesh.until_status(name, "waiting_permission")
        mesh.kill_daemon()
        mesh.until_status(name, "waiting_permission")
        eventually(15, lambda: "Bash: touch made.txt" in json.dumps(mesh.json("explain", name)), "its hook told again")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        eventually(20, lambda: CLAUDE.approved in mesh.screen(name), "by the hook")


def test_claude_limit(bench):
    """A usage limit holds until its time, and is over when it works again."""
    mesh = bench.mesh()
    with demo.Model(mesh, [{"when": "LIMIT", "status": 429, "retry_after": 15, "times": 1}]) as model:
        name = demo.start(mesh, model, CLAUDE)
        mesh.expect(0, "nudge", name, "LIMIT")
        mesh.until_status(name, "rate_limited", limit_s=12)
        refused = next(request["time"] for request in model.requests() if request["action"] == "status")
        check("retrying in" in json.dumps(mesh.json("explain", name)), "explain tells of the limit")
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        mesh.until_status(name, "idle", limit_s=60)
        answered = max(request["time"] for request in model.requests() if request["user"] == "LIMIT")
        check(answered - refused >= 14, f"it waited {answered - refused:.1f} s of 15")
        same(model.heard().count("go on"), 0, "messages during the limit")


def test_claude_login(bench):
    """A refused key is a missing login."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, CLAUDE, "--env", "CLAUDE_CODE_MAX_RETRIES=1")  # else it tries for minutes
        mesh.expect(0, "nudge", name, "STATUS: 401")
        mesh.until_status(name, "auth_required", limit_s=20)
        mesh.refused(6, "not delivered", "nudge", name, "go on")


def test_claude_messages(bench):
    """Random messages reach the model once and unchanged, also those that end in a backslash, which before Enter would be a
    new line."""
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, CLAUDE)
        backslashes = ["one \\", "two\n\\\\", "\\"]
        demo.check_messages(bench, mesh, model, name, demo.random_messages(bench) + backslashes, plain=as_claude_hears)


def test_claude_trust_is_not_typed_into(bench):
    """Nudges against the dialog that asks whether its folder is trusted."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = mesh.name("claude")
        home = mesh.home / "agents" / name / "home"
        home.mkdir(parents=True, mode=0o700)
        (home / ".claude.json").write_text(json.dumps(ONBOARDED))
        mesh.run("start", *demo.start_words(name, model, CLAUDE, "--permissions", "ask"))
        mesh.until_status(name, "waiting_question", limit_s=demo.READY_LIMIT_S)
        eventually(10, lambda: "trust this folder" in mesh.screen(name), "the dialog is shown")
        demo.is_not_typed_into(bench, mesh, model, name, str)
