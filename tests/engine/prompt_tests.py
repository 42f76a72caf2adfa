"""A program that asks for two things at one time, answered through the whole daemon."""
import contextlib
import json
import subprocess

from host_tests import NO_ENGINE
from mesh import check, eventually, same

# Claude Code as the daemon sees it: a program that a terminal is opened for, and whose hooks speak.
PROGRAM = """#!/bin/sh
echo '{"hook_event_name":"Stop"}' | "$AGENTMESH_PROGRAM" hook claude
exec sleep infinity
"""


def hook(mesh, name, runner, event, *options):
    """The command that an agent on the host runs when something happens, as it runs."""
    variables = mesh.environment | {"AGENTMESH_HOOK": f"{mesh.home}/agents/{name}/run/hook.sock"}
    child = subprocess.Popen([mesh.program, "hook", runner, *options], env=variables, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    with child.stdin:
        child.stdin.write(json.dumps(event))
    return child


def of_call(event, command):
    return {"hook_event_name": event, "tool_name": "Bash", "tool_input": {"command": command}}


@contextlib.contextmanager
def asking(mesh, name, command):
    """A hook that waits for a person to allow the command."""
    child = hook(mesh, name, "claude", of_call("PermissionRequest", command), "--wait")
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def verdict(child):
    same(child.wait(timeout=10), 0, "exit code of a hook that is answered")
    return json.loads(child.stdout.read())["hookSpecificOutput"]["decision"]


def tell(mesh, name, runner, event):
    with hook(mesh, name, runner, event) as child:
        same(child.wait(timeout=10), 0, f"exit code of the hook of {event}")


def waiting(mesh, name):
    """Ids of the prompts whose hooks wait."""
    return {path.name.removeprefix("answer.") for path in (mesh.home / "agents" / name / "run").glob("answer.*")}


def shown(mesh, name):
    told = mesh.json("explain", name)
    return told["status"], told["prompt"], told["reason"]


def test_of_two_prompts_an_answer_is_for_one(bench):
    """For the one it names, or for the first; the other stays open, and is shown next."""
    mesh = bench.mesh(**NO_ENGINE)
    program, name = mesh.place / "claude", mesh.name()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    mesh.expect(0, "start", name, "--no-sandbox", "--runner", "claude", "--command", program)
    mesh.until_status(name, "idle")
    with asking(mesh, name, "touch one") as one:
        first = eventually(10, lambda: mesh.json("explain", name)["prompt"], "the first is told")[0]
        with asking(mesh, name, "touch two") as two:
            second = eventually(10, lambda: waiting(mesh, name) - {first}, "the second waits")[0].pop()
            same(shown(mesh, name), ("waiting_permission", first, "Bash: touch one"), "what is shown of two")
            mesh.refused(4, f"'{second}' is not open", "approve", name, "--prompt", second)
            same((one.poll(), two.poll()), (None, None), "hooks that ended by an answer that was for none")

            mesh.expect(0, "approve", name)
            same(verdict(one), {"behavior": "allow"}, "the answer to the first")
            then = ("waiting_permission", second, "Bash: touch two")
            eventually(10, lambda: shown(mesh, name) == then, "the second is shown")
            mesh.refused(4, f"'{first}' is not open", "approve", name, "--prompt", first)
            mesh.refused(6, "not delivered", "nudge", name, "go on")
            check(two.poll() is None, "the second was answered with the first")

            mesh.expect(0, "deny", name, "--prompt", second, "--reason", "not that one")
            same(verdict(two), {"behavior": "deny", "message": "not that one"}, "the answer to the second")
    tell(mesh, name, "claude", of_call("PostToolUse", "touch one"))
    mesh.until_status(name, "busy")
    tell(mesh, name, "claude", {"hook_event_name": "Stop"})
    mesh.until_status(name, "idle")
    same([row["reason"] for row in mesh.events(name, "approved")], [f"Bash: touch one (prompt {first})"], "approved")
    same([row["reason"] for row in mesh.events(name, "denied")],
         [f"Bash: touch two (prompt {second}): not that one"], "denied")
