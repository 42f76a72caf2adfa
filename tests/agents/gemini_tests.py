"""Gemini CLI itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import datetime
import re

import demo
from mesh import check, eventually, same, seconds_of
from messages import typeable

GEMINI = demo.Runner(name="gemini", prompt="Allow execution of", allow_key="1", question="Esc to cancel")
LIMIT_JITTER_S = 30
# "@" and a path of nothing but "/", "." and "..".
FOLDER = re.compile(r"(?<!\\)@(?P<path>(?:\\?/|\\\.|\.(?=[^ \t\n\r]))+)(?=[ \t\n\r,;!?()\[\]{}]|\.(?:[ \t\n\r]|\Z)|\Z)")


def names_folder(text):
    return any(all(len(part) <= 2 for part in found["path"].replace("\\", "").split("/"))
               for found in FOLDER.finditer(text))


def test_gemini_works_and_is_asked(bench):
    demo.works_and_is_asked(bench, GEMINI)


def test_gemini_resumes(bench):
    demo.resumes(bench, GEMINI)


def test_gemini_limit(bench):
    """A usage limit is told with the minute of its end, and held until then; nothing is typed into its dialog, and when
    the limit is over a new run goes on with the conversation."""
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
        session = mesh.json("explain", name)["session_id"]
        held = max(0, told - datetime.datetime.now(datetime.timezone.utc).timestamp())
        eventually(held + LIMIT_JITTER_S + demo.READY_LIMIT_S,
                   lambda: "Please continue with your current task." in model.heard(), "it goes on")
        mesh.until_status(name, "idle", limit_s=30)
        same(mesh.json("explain", name)["session_id"], session, "the conversation")
        same(mesh.agent(name)["restarts"]["count"], 0, "restarts that count")


def test_gemini_login(bench):
    """A refused key is a missing login."""
    mesh = bench.mesh()
    with demo.Model(mesh) as model:
        name = demo.start(mesh, model, GEMINI)
        mesh.expect(0, "nudge", name, "STATUS: 401")
        mesh.until_status(name, "auth_required", limit_s=20)


def test_gemini_messages(bench):
    """Random messages reach the model once and unchanged; one that names a folder is refused."""
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, GEMINI)
        sent = demo.random_messages(bench)
        folders = [text for text in sent if names_folder(typeable(text).strip())]
        for text in (*folders, "look at @/, then", "m@.!", "m@../"):
            mesh.refused(2, "for a folder to read", "nudge", name, "--", text)
        bench.notes.append(f"{len(folders)} of {len(sent)} name a folder and were refused")
        demo.check_messages(bench, mesh, model, name, [text for text in sent if text not in folders])
