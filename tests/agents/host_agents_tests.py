"""The real agents without a sandbox, as their user runs them, against a scripted model: states, prompts, messages, the
daemon's end, stop. An agent that is not in PATH is left out, and that is said."""
import json
import os
import shutil

import demo
from host_tests import agent_pid, of_run, runs
from mesh import check, eventually, is_alive, same


class User:
    """A person's home, where the agents have been used before."""

    def __init__(self, mesh):
        self.home = mesh.place / "person"
        claude = {"hasCompletedOnboarding": True, "hasSeenAutoDefaultNotice": True,
                  "projects": {str(mesh.workdir): {"hasTrustDialogAccepted": True}}}
        self.write(".claude.json", json.dumps(claude))
        self.write(".codex/config.toml", f'[projects."{mesh.workdir}"]\ntrust_level = "trusted"\n')
        self.write(".gemini/trustedFolders.json", json.dumps({str(mesh.workdir): "TRUST_FOLDER"}))
        self.write(".gemini/settings.json", json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}))
        mesh.environment["HOME"] = str(self.home)

    def write(self, path, text):
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def say(mesh, name, text, proofs):
    """Without hooks a turn may be over before its title was seen: then the program says that it does not know."""
    answer = mesh.run("nudge", name, text)
    check(answer.returncode == 0 or not proofs and answer.returncode == 124, f"nudge: {answer.stderr}")


def life(bench, runner, *options, hooks=True):
    """Busy, idle, a permission that is approved and one that is denied, the daemon killed, stopped: nothing is left.
    Without `hooks` it is not proven that each message arrived, and the conversation is not known after a restart."""
    if not shutil.which(runner):
        return bench.notes.append(f"{runner} is not installed here")
    mesh = bench.mesh(DOCKER_HOST="unix:///nonexistent/docker.sock")
    User(mesh)
    with demo.Model(mesh) as model:
        name = mesh.name(runner)
        mesh.expect(0, "start", name, "--no-sandbox", "--runner", runner, "--model-url", model.url,
                    "--permissions", "ask", *options)
        mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
        say(mesh, name, "SLOW: 4", hooks)
        bench.measured("busy seen", mesh.until_status(name, "busy", limit_s=10), 2, "s")
        mesh.until_status(name, "idle", limit_s=30)

        say(mesh, name, "RUN: touch made.txt", hooks)
        mesh.until_status(name, "waiting_permission", limit_s=30)
        check(not (mesh.workdir / "made.txt").exists(), "nothing ran before the answer")
        mesh.refused(6, "not delivered", "nudge", name, "go on")
        mesh.expect(0, "approve", name)
        eventually(20, (mesh.workdir / "made.txt").exists, "the approved command ran")
        mesh.until_status(name, "idle")

        say(mesh, name, "RUN: touch denied.txt", hooks)
        mesh.until_status(name, "waiting_permission", limit_s=30)
        mesh.expect(0, "deny", name)
        mesh.until_status(name, "idle")
        check(not (mesh.workdir / "denied.txt").exists(), "the denied command did not run")

        pid = agent_pid(mesh, name)
        mesh.kill_daemon()
        mesh.expect(0, "list")
        mesh.until_status(name, "idle", limit_s=30)
        say(mesh, name, "are you there?", hooks)
        sent = ["SLOW: 4", "RUN: touch made.txt", "RUN: touch denied.txt", "are you there?"]
        eventually(30, lambda: model.heard() == sent, "the model heard each message, once")
        mesh.until_status(name, "idle", limit_s=30)
        same((agent_pid(mesh, name), mesh.agent(name)["restarts"]["count"]), (pid, 0), "pid and restarts")

        session, run_id = mesh.json("explain", name)["session_id"], runs(mesh, name)[-1].name
        os.kill(pid, 9)
        eventually(30, lambda: mesh.agent(name)["restarts"]["count"] == 1, "it is restarted")
        mesh.until_status(name, "idle", limit_s=demo.READY_LIMIT_S)
        same(of_run(run_id), [], "processes of the killed run")
        say(mesh, name, "and again?", hooks)
        eventually(30, lambda: model.heard() == sent + ["and again?"], "the model heard the last one too")
        mesh.until_status(name, "idle", limit_s=30)
        check(not hooks or mesh.json("explain", name)["session_id"] == session, "another conversation")
        pid, run_id = agent_pid(mesh, name), runs(mesh, name)[-1].name
        mesh.expect(0, "stop", name)
        same((is_alive(pid), of_run(run_id)), (False, []), "what is left after stop")


def test_host_claude(bench):
    life(bench, "claude")


def test_host_codex(bench):
    life(bench, "codex")


def test_host_gemini(bench):
    life(bench, "gemini", hooks=False)


def test_host_opencode(bench):
    life(bench, "opencode", "--model", "demo/scripted")
