"""opencode itself, in the sandbox, against a scripted model: its states, its prompts, its end and its messages."""
import demo
from mesh import always, eventually, same

OPENCODE = demo.Runner(name="opencode", options=("--model", "demo/scripted"), prompt="Permission required", allow_key="Enter",
                       question="esc dismiss", rest_s=0.5)
HANGS_S = 7  # past the limit of one answer, before it counts as lost


def test_opencode_works_and_is_asked(bench):
    demo.works_and_is_asked(bench, OPENCODE)


def test_opencode_resumes(bench):
    demo.resumes(bench, OPENCODE)


def test_opencode_turn_ends_without_a_daemon(bench):
    demo.turn_ends_without_a_daemon(bench, OPENCODE)


def test_opencode_limit(bench):
    """A usage limit is held until its time, and nothing is sent meanwhile."""
    mesh = bench.mesh()
    with demo.Model(mesh, [{"when": "LIMIT", "status": 429, "retry_after": 60}]) as model:
        name = demo.start(mesh, model, OPENCODE)
        mesh.expect(0, "nudge", name, "LIMIT")
        mesh.until_status(name, "rate_limited", limit_s=20)
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        same(model.heard().count("go on"), 0, "messages during the limit")


def test_opencode_messages(bench):
    """Random messages reach the model once and unchanged; one that it does not answer for a while waits."""
    mesh = bench.mesh()
    with demo.Model(mesh, demo.SHORT_ANSWERS) as model:
        name = demo.start(mesh, model, OPENCODE)
        demo.check_messages(bench, mesh, model, name, demo.random_messages(bench))

        before, place = len(model.heard()), f"/containers/{mesh.container(name)['Id']}"
        same(mesh.engine.call("POST", f"{place}/pause")[0], 204, "pause")
        nudge = mesh.spawn("nudge", name, "--wait", "60s", "after a while")
        always(HANGS_S, lambda: nudge.poll() is None, "the message waits for an answer")
        same(mesh.engine.call("POST", f"{place}/unpause")[0], 204, "unpause")
        said = nudge.communicate(timeout=60)[0]
        eventually(20, lambda: len(model.heard()) > before, f"it reaches the model; the command said {said}")
        same((nudge.returncode, model.heard()[before:]), (0, ["after a while"]), "what became of it")
