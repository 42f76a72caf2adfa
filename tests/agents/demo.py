"""What the tests of the real agents share: a scripted model on the bridge, and an agent that talks to it."""
import json
import pathlib
import subprocess
import sys

from mesh import check
from messages import random_message, typeable

HERE = pathlib.Path(__file__).resolve().parent
IMAGE = "agentmesh/sandbox:latest"
BRIDGE = "172.17.0.1"  # where containers reach the model
READY_LIMIT_S = 90     # of a busy machine
PERMISSION_LIMIT_S = 1.1
# Nothing of a message comes back: an echo of a long one looks like a model in a loop.
SHORT_ANSWERS = [{"when": "(?s)^(?!.*^(?:RUN|ASK|SLOW|HANG|STATUS|LIMIT)\\b)", "reply": "read"}]


class Model:
    """scripts/demo-model on a free port, with its log."""

    def __init__(self, mesh, rules=()):
        self.log = mesh.place / "model.jsonl"
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
        lines = self.log.read_text().split("\n") if self.log.exists() else []
        return [json.loads(line) for line in lines if line]

    def heard(self):
        """The messages that reached the model, in order."""
        return [request["user"] for request in self.requests() if request["kind"] == "user"]


def start(mesh, model, runner, *options):
    """Starts the agent in the sandbox and waits until it is idle."""
    check(mesh.engine.has_image(IMAGE), f"the engine has no {IMAGE}: agentmesh image build")
    name = mesh.name(runner)
    mesh.expect(0, "start", name, "--runner", runner, "--network", "bridge", "--sandbox-image", IMAGE,
                "--model-url", model.url, *options)
    mesh.until_status(name, "idle", limit_s=READY_LIMIT_S)
    return name


def check_messages(bench, mesh, model, name, sent=None, plain=str.strip):
    """6 random messages, 100 in full, one after the other: each reaches the model once and unchanged. `plain` takes away
    what the program itself adds to a message, from both sides."""
    sent = sent or [random_message(bench.random, index) for index in range(100 if bench.full else 6)]
    for text in sent:
        mesh.expect(0, "nudge", name, "--wait", "60s", "--", text)
        mesh.until_status(name, "idle", limit_s=60)
    got = [plain(text) for text in model.heard()]
    wrong = [(a, b) for a, b in zip(sent, got) if b not in (plain(a), plain(typeable(a)))]
    check(not wrong and len(got) == len(sent), f"{len(sent)} sent, {len(got)} came; the first that differs: "
          f"{[(a[:80], a[-20:], len(a), b[:80], b[-20:], len(b)) for a, b in wrong[:1]]}")
    bench.measured(f"of {len(sent)} messages, lost, doubled or altered", len(wrong), 0, "messages")
