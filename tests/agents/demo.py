"""What the tests of the real agents share: a scripted model on the bridge, an agent that talks to it, and the lives that
each of them must lead."""
import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable

from hub_tests import send, until_state
from mesh import always, check, eventually, same
from messages import random_message, typeable

HERE = pathlib.Path(__file__).resolve().parent
IMAGE = "agentmesh/sandbox:latest"
BRIDGE = "172.17.0.1"  # where containers reach the model
READY_LIMIT_S = 90     # of a busy machine
BUSY_LIMIT_S = 1.1
PERMISSION_LIMIT_S = 1.1
REDUCED_NUDGES, FULL_NUDGES = 5, 250
REDUCED_MESSAGES, FULL_MESSAGES = 6, 100
# Nothing of a message comes back: an echo of a long one looks like a model in a loop.
SHORT_ANSWERS = [{"when": "(?s)^(?!.*^(?:RUN|ASK|SLOW|HANG|STATUS|LIMIT)\\b)", "reply": "read"}]


class Model:
    """scripts/demo-model on a free port, with its log."""

    def __init__(self, mesh, rules=()):
        self.log, self.read, self.known = mesh.place / "model.jsonl", 0, []
        file = mesh.place / "rules.json"
        file.write_text(json.dumps(list(rules)))
        self.process = subprocess.Popen(
            [sys.executable, str(HERE.parents[1] / "scripts" / "demo-model"), "--bind", BRIDGE, "--port", "0",
             "--log", str(self.log), "--rules", str(file), "--delay", "0.1"], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        check(self.url.startswith("http"), "the model does not start")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()

    def requests(self):
        """All so far; the log is read on from where the last look ended."""
        if self.log.exists():
            with self.log.open("rb") as log:
                log.seek(self.read)
                whole = log.read().rpartition(b"\n")[0]
            self.read += len(whole) + 1 if whole else 0
            self.known += [json.loads(line) for line in whole.split(b"\n") if line]
        return self.known

    def heard(self):
        """The messages that reached the model, in order."""
        return [request["user"] for request in self.requests() if request["kind"] == "user"]


@dataclasses.dataclass(frozen=True)
class Runner:
    """One agent program in its own words."""
    name: str
    prompt: str                # its permission prompt shows this
    allow_key: str             # a person's own answer to it
    options: tuple = ()        # of `start`
    question: str = ""         # its question shows this; empty: it asks none
    approved: str = ""         # its screen shows this after `approve`
    denied: tuple = ("", ())   # ... after `deny` with these words
    rest_s: float = 0          # a prompt that has just opened takes no key
    is_over: Callable = lambda mesh, name: True  # nothing is left of a prompt that a person has answered
    still: Callable = str      # the part of its screen that does not move by itself


def start_words(name, model, runner, *options):
    return (name, "--runner", runner.name, "--network", "bridge", "--sandbox-image", IMAGE, "--model-url", model.url,
            *runner.options, *options)


def start(mesh, model, runner, *options):
    """Starts the agent in the sandbox and waits until it is idle."""
    check(mesh.engine.has_image(IMAGE), f"the engine has no {IMAGE}: agentmesh image build")
    name = mesh.name(runner.name)
    mesh.expect(0, "start", *start_words(name, model, runner, *options))
    mesh.until_status(name, "idle", limit_s=READY_LIMIT_S)
    return name


def tell(mesh, model, name, text):
    """A message, its way to the model, and the end of the turn."""
    count = model.heard().count(text)
    mesh.expect(0, "nudge", name, "--", text)
    eventually(20, lambda: model.heard().count(text) > count, f"the model hears '{text[:80]}'")
    mesh.until_status(name, "idle")


def ask(mesh, name, runner, message, status):
    """A message that leads to a dialog; returns when it is shown below the message, and told."""
    mesh.expect(0, "nudge", name, message)
    shown = runner.prompt if status == "waiting_permission" else runner.question
    eventually(30, lambda: shown in mesh.screen(name).rpartition(message)[2], f"'{shown}' is shown below '{message}'")
    mesh.until_status(name, status)


def is_not_typed_into(bench, mesh, model, name, still):
    """Nudges against what is open: refused, and nothing of it moves."""
    shown, status = still(mesh.screen(name)), mesh.agent(name)["status"]
    nudges = bench.count(REDUCED_NUDGES, FULL_NUDGES)
    for _ in range(nudges):
        mesh.refused(6, "not delivered", "nudge", name, "please go on")
    same(still(mesh.screen(name)), shown, f"the screen while {status}")
    same((mesh.agent(name)["status"], model.heard().count("please go on")), (status, 0), "state, and nudges that got through")
    bench.notes.append(f"{nudges} nudges while {status}: 0 typed")


def works_and_is_asked(bench, runner):
    """One life: idle, busy, permission, approve, deny, a person's own answer, a question; nudges against both dialogs."""
    mesh = bench.mesh()
    with Model(mesh) as model:
        name = start(mesh, model, runner, "--permissions", "ask")
        mesh.expect(0, "nudge", name, "SLOW: 4")
        eventually(20, lambda: "SLOW: 4" in model.heard(), "the model works")
        bench.measured("busy seen after the model has begun", mesh.until_status(name, "busy"), BUSY_LIMIT_S, "s")
        mesh.until_status(name, "idle", limit_s=30)

        mesh.expect(0, "nudge", name, "RUN: touch made.txt")
        eventually(30, lambda: runner.prompt in mesh.screen(name), "the dialog opens")
        bench.measured("permission seen after the dialog", mesh.until_status(name, "waiting_permission"),
                       PERMISSION_LIMIT_S, "s")
        check("touch made.txt" in json.dumps(mesh.json("explain", name)), "explain tells what is asked")
        is_not_typed_into(bench, mesh, model, name, runner.still)
        check(not (mesh.workdir / "made.txt").exists(), "nothing ran before the answer")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        eventually(20, lambda: runner.approved in mesh.screen(name), f"'{runner.approved}' is shown")
        mesh.until_status(name, "idle")

        shown, words = runner.denied
        ask(mesh, name, runner, "RUN: touch denied.txt", "waiting_permission")
        mesh.expect(0, "deny", name, *words)
        mesh.until_status(name, "idle")
        eventually(20, lambda: shown in mesh.screen(name), f"'{shown}' is shown")
        check(not (mesh.workdir / "denied.txt").exists(), "the denied command did not run")

        ask(mesh, name, runner, "RUN: touch person.txt", "waiting_permission")
        always(runner.rest_s, lambda: runner.prompt in mesh.screen(name), "the dialog waits for a person")
        mesh.press(name, runner.allow_key)
        eventually(20, (mesh.workdir / "person.txt").exists, "a person's own answer is taken")
        mesh.until_status(name, "idle")
        eventually(10, lambda: runner.is_over(mesh, name), "nothing waits for an answer any longer")
        same({text for text in model.heard()}, {"SLOW: 4"} | {f"RUN: touch {f}.txt" for f in ("made", "denied", "person")},
             "what reached the model")
        if not runner.question:
            return
        ask(mesh, name, runner, "ASK: which colour?", "waiting_question")
        is_not_typed_into(bench, mesh, model, name, runner.still)
        mesh.press(name, "Escape")
        mesh.until_status(name, "idle")


def session(mesh, name):
    return mesh.json("explain", name)["session_id"]


def kill(mesh, name, restarts):
    """docker kill, and its next run."""
    same(mesh.engine.kill(mesh.container(name)["Id"]), 204, "kill")
    eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == restarts, "it is restarted")
    mesh.until_status(name, "idle", limit_s=READY_LIMIT_S)


def resumes(bench, runner):
    """docker kill, also before the first message: the same conversation, with what was said in it."""
    mesh = bench.mesh()
    with Model(mesh, SHORT_ANSWERS) as model:
        name = start(mesh, model, runner)
        known = session(mesh, name)
        kill(mesh, name, 1)
        tell(mesh, model, name, "remember the number 4711")
        first = eventually(10, lambda: session(mesh, name), "its conversation is known")[0]
        check(known in ("", None, first), f"the conversation before its first message: {known}, then {first}")
        kill(mesh, name, 2)
        tell(mesh, model, name, "which number was it?")
        same(session(mesh, name), first, "the conversation")
        sizes = {request["user"]: request["messages"] for request in model.requests() if request["kind"] == "user"}
        check(sizes["which number was it?"] > sizes["remember the number 4711"], f"the model got the history: {sizes}")
        same(model.heard().count("remember the number 4711"), 1, "how often the first message was sent")
        mesh.expect(0, "nudge", name, "RUN: touch resumed.txt")
        eventually(20, (mesh.workdir / "resumed.txt").exists, "a command runs without being asked for")


def turn_ends_without_a_daemon(bench, runner):
    """The daemon is killed while an assignment's turn runs, and the turn ends: the next daemon finds out how."""
    mesh = bench.mesh()
    with Model(mesh) as model:
        name = start(mesh, model, runner)
        eventually(10, lambda: mesh.agent(name)["hub"]["registered"], "registered at the hub")
        item = send(mesh, name, "work", "--body", "SLOW: 8")
        until_state(mesh, item, "delivered")
        mesh.kill_daemon()
        check("as asked" not in words_of(mesh, name), "the turn runs still")
        eventually(30, lambda: "as asked" in words_of(mesh, name), "the turn ends")
        always(2, lambda: mesh.daemon() is None, "no daemon runs")
        bench.measured("done after the next daemon began", until_state(mesh, item, "done"), 10, "s")
        same(sum(item in message for message in model.heard()), 1, "how often the assignment reached the model")
        same(len(mesh.events(name, "assignment_done")), 1, "how often it was done")


def words_of(mesh, name):
    """What its terminal shows, wherever its lines are broken."""
    return " ".join(mesh.screen(name).split())


def random_messages(bench):
    return [random_message(bench.random, index) for index in range(bench.count(REDUCED_MESSAGES, FULL_MESSAGES))]


def check_messages(bench, mesh, model, name, sent, plain=str.strip):
    """One after the other: each reaches the model once and unchanged. `plain` takes away what the program itself does to a
    message, from both sides."""
    for index, text in enumerate(sent):
        mesh.expect(0, "nudge", name, "--wait", "60s", "--", text)
        eventually(60, lambda: len(model.heard()) > index, f"message {index + 1} reaches the model")
        mesh.until_status(name, "idle", limit_s=60)
    got = [plain(text) for text in model.heard()]
    wrong = [(a, b) for a, b in zip(sent, got) if b not in (plain(a), plain(typeable(a)))]
    check(not wrong and len(got) == len(sent), f"{len(sent)} sent, {len(got)} came; the first that differs: "
          f"{[(a[:80], a[-20:], len(a), b[:80], b[-20:], len(b)) for a, b in wrong[:1]]}")
    bench.measured(f"of {len(sent)} messages, lost, doubled or altered", len(wrong), 0, "messages")
