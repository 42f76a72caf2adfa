"""What the tests of the real agents share: a scripted model on the bridge, and an agent that talks to it."""
import json
import pathlib
import subprocess
import sys

from mesh import check

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


def random_texts(bench, count):
    sys.path.insert(0, str(HERE.parent / "engine"))
    import delivery_tests
    return [delivery_tests.random_message(bench.random, index) for index in range(count)]
