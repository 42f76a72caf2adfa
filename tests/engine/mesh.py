"""One AGENTMESH_HOME with its daemon, its tmux server and its agents, as the tests of the whole see it: through
the command line, the engine and the fake agent's own record. No test waits a fixed time: see eventually()."""
import contextlib
import datetime
import json
import os
import pathlib
import pty
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import isolated  # noqa: E402

IMAGE = "agentmesh/test-agent:latest"
AGENT_UID = 1000        # who the agents run as, where the tests may choose
COMMAND_LIMIT_S = 90    # one call of the command line, unless the test says otherwise
READY_LIMIT_S = 30      # a fake agent to idle, on a busy machine
CLEANUP_LIMIT_S = 60
POLL_S = 0.02
SHOWN_CHARS = 2000


class Failed(AssertionError):
    """What a test found wrong, for people."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def same(got, wanted, what):
    check(got == wanted, f"{what}: {got!r}, expected {wanted!r}")


def eventually(limit_s, condition, what):
    """The first true value of condition(), and the seconds it took; past the limit the test fails."""
    begun = time.monotonic()
    while True:
        value = condition()
        took = time.monotonic() - begun
        if value:
            return value, took
        if took > limit_s:
            raise Failed(f"not within {limit_s:g} s: {what}")
        time.sleep(POLL_S)


def swallow(fd):
    """Reads a terminal until it is hung up, so that who paints there is not held."""
    with contextlib.suppress(OSError):
        while os.read(fd, 65536):
            pass


def always(limit_s, condition, what):
    """condition() holds at every look for so long."""
    begun = time.monotonic()
    while time.monotonic() - begun < limit_s:
        check(condition(), f"no longer true after {time.monotonic() - begun:.1f} s: {what}")
        time.sleep(0.2)


def seconds_of(text):
    """An RFC 3339 time as seconds since 1970."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Mesh:
    """An isolated home; `close` ends everything in it and names what should not have been there."""

    def __init__(self, program, config="", variables=None, engine=None):
        # Short, for the 107 bytes of a Unix socket's path.
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="ae-", dir="/tmp"))
        self.home = self.place / "mesh"
        self.program = program
        self.engine = isolated.Engine(engine)
        self.prefix = f"t{secrets.token_hex(3)}-"
        self.begun = time.time()
        self.told = []
        self.unfollow = self.engine.follow({"label": ["agentmesh.agent"]}, self._told)
        self.environment = isolated.environment_of(self.place, program, f"accept-{self.place.name}")
        if engine:
            self.environment["DOCKER_HOST"] = f"unix://{engine}"
        self.environment |= variables or {}
        for folder in (self.home, self.place / "home"):
            folder.mkdir(mode=0o700)
        self.workdir = self.place / "work"
        self.workdir.mkdir()
        if os.geteuid() == 0:
            self.place.chmod(0o755)
            os.chown(self.workdir, AGENT_UID, AGENT_UID)
        (self.home / "config.toml").write_text(config)

    # ---- the command line

    def run(self, *words, limit_s=COMMAND_LIMIT_S, environment=None):
        try:
            return subprocess.run([str(self.program), *map(str, words)], env=environment or self.environment,
                                  cwd=self.workdir, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"no end within {limit_s} s: agentmesh {' '.join(map(str, words))[:200]}") from None

    def expect(self, code, *words, **options):
        done = self.run(*words, **options)
        check(done.returncode == code, f"exit {done.returncode}, expected {code}: agentmesh "
              f"{' '.join(map(str, words))[:200]}\nstdout: {done.stdout[-SHOWN_CHARS:]}\n"
              f"stderr: {done.stderr[-SHOWN_CHARS:]}")
        return done

    def refused(self, code, pattern, *words, **options):
        """Exit `code`, nothing on stdout, one line `agentmesh: STAGE: what (cure)` that matches the pattern."""
        done = self.expect(code, *words, **options)
        lines = done.stderr.splitlines()
        well = len(lines) == 1 and re.match(r"agentmesh: [a-z-]+: .+", lines[0]) and re.search(pattern, lines[0])
        check(well, f"not one error line with '{pattern}':\n{done.stderr}")
        same(done.stdout, "", "stdout of a refusal")
        return lines[0]

    def json(self, *words, **options):
        return json.loads(self.expect(0, *words, "--json", **options).stdout)

    def spawn(self, *words, stdout=subprocess.PIPE):
        """A command that runs while the test goes on; the test waits for its end."""
        return subprocess.Popen([str(self.program), *map(str, words)], env=self.environment, cwd=self.workdir,
                                stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT, text=True,
                                errors="replace")

    # ---- agents

    def name(self, short="a"):
        return self.prefix + short

    def start_words(self, name, options="", *more):
        return ("start", name, "--runner", "custom", "--command", f"fake-agent {options}".strip(), "--network", "none",
                "--sandbox-image", IMAGE, "--sandbox-memory", "64m", "--sandbox-cpu", "0.5", *more)

    def start(self, name, options="", *more):
        """Starts a fake agent and waits until it is idle."""
        self.expect(0, *self.start_words(name, options, *more))
        self.until_status(name, "idle")
        return name

    def start_all(self, names, options="", *more):
        """Starts them at one time and waits until each is idle."""
        children = [self.spawn(*self.start_words(name, options, *more)) for name in names]
        for name, child in zip(names, children):
            said = child.communicate(timeout=COMMAND_LIMIT_S)[0]
            same(child.returncode, 0, f"exit code of start {name}, which said {said}")
        for name in names:
            self.until_status(name, "idle")
        return names

    def start_titled(self, name, options=""):
        """Starts a fake agent whose state is also in its pane's title, where the next daemon finds it."""
        self.start(name, f"--titles {options}")
        # A title that was set before the pane was attached is not in the pane: let it say it again.
        self.expect(0, "nudge", name, "SAY hello")
        eventually(10, lambda: "[agentmesh:idle]" in self.tmux(
            "display-message", "-p", "-t", f"=agentmesh-{name}:", "#{pane_title}").stdout, f"{name} tells it is idle")
        self.until_status(name, "idle")
        return name

    def agent(self, name):
        return self.json("status", name)

    def until_status(self, name, *wanted, limit_s=READY_LIMIT_S):
        seen = None

        def settled():
            nonlocal seen
            seen = self.agent(name)["status"]
            return seen in wanted
        try:
            return eventually(limit_s, settled, f"{name} is {' or '.join(wanted)}")[1]
        except Failed as failed:
            raise Failed(f"{failed}; it is {seen}: {json.dumps(self.json('explain', name))}") from None

    def containers(self, name=None):
        """What the engine has of this home's agents, or of one: inspected."""
        found = []
        for summary in self.engine.list():
            agent = summary.get("Labels", {}).get("agentmesh.agent", "")
            if agent == name or (name is None and agent.startswith(self.prefix)):
                found.append(self.engine.inspect(summary["Id"]))
        return [container for container in found if container]

    def container(self, name):
        found = self.containers(name)
        same(len(found), 1, f"containers of {name}")
        return found[0]

    def _told(self, event):
        if event["Actor"]["Attributes"].get("agentmesh.agent", "").startswith(self.prefix):
            self.told.append(event)

    def started_at(self, names):
        """What a restart would change."""
        return {name: (box["Id"], box["State"]["StartedAt"]) for name in names for box in [self.container(name)]}

    def all_run_once(self, names):
        """One container each, running, and no other; more than one that runs is a failure at any moment."""
        boxes = self.containers()
        runs = [box["Config"]["Labels"]["agentmesh.agent"] for box in boxes if box["State"]["Running"]]
        same(sorted({name for name in runs if runs.count(name) > 1}), [], "agents that run twice")
        return sorted(runs) == sorted(names) and len(boxes) == len(runs)

    def record(self, name):
        """What the fake agent wrote down: its messages and the answers to its dialogs, in order."""
        path = self.home / "agents" / name / "home" / "fake-agent.jsonl"
        return [json.loads(line) for line in path.read_text().split("\n") if line] if path.exists() else []

    def messages(self, name):
        return [entry["text"] for entry in self.record(name) if entry["kind"] == "message"]

    def events(self, agent=None, name=None):
        """Ours, oldest first."""
        rows = [json.loads(line) for line in self.expect(0, "events", "--json").stdout.splitlines()]
        return [row for row in rows if agent in (None, row["agent"]) and name in (None, row["name"])]

    def engine_events(self, agent, *actions):
        """The engine's, oldest first, with the time in seconds."""
        newest = self.engine.events(self.begun - 1, {"label": [f"agentmesh.agent={agent}"]})
        rows = {(row["timeNano"], row["Action"]) for row in [*self.told, *newest]
                if row["Actor"]["Attributes"].get("agentmesh.agent") == agent}
        return [(action, at / 1e9) for at, action in sorted(rows) if not actions or action in actions]

    # ---- daemon and tmux

    def processes(self, word):
        for pid in isolated.processes_of(self.environment):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if len(words) > 1 and words[0].endswith(b"agentmesh") and words[1] == word.encode():
                    yield pid

    def relays(self):
        """Processes `agentmesh pane` of this home: children of tmux, whose environment is not ours."""
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if len(words) > 1 and words[1] == b"pane" and any(str(self.home).encode() in word for word in words):
                    yield int(entry.name)

    def daemon(self):
        return next(self.processes("daemon"), None)

    def kill_daemon(self):
        pid = self.daemon()
        check(pid is not None, "no daemon runs")
        os.kill(pid, signal.SIGKILL)
        eventually(10, lambda: not is_alive(pid), "the killed daemon is gone")
        return pid

    def tmux(self, *words):
        return subprocess.run(["tmux", "-L", self.environment["AGENTMESH_TMUX_SOCKET"], *words], env=self.environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=20)

    def sessions(self):
        done = self.tmux("list-panes", "-a", "-F", "#{session_name} #{pane_dead}")
        names = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" 0")}
        return {name for name in names if name.startswith("agentmesh-")}

    def screen(self, name):
        return self.tmux("capture-pane", "-p", "-S", "-200", "-t", f"=agentmesh-{name}:").stdout

    def press(self, name, *keys):
        eventually(10, lambda: self.screen(name).strip(), f"the terminal of {name} is attached")
        same(self.tmux("send-keys", "-t", f"=agentmesh-{name}:", *keys).returncode, 0, "tmux send-keys")

    @contextlib.contextmanager
    def attached(self, name):
        """A person at the agent's terminal; gives what presses keys there."""
        ours, theirs = pty.openpty()
        client = subprocess.Popen([str(self.program), "attach", name], env=self.environment | {"TERM": "xterm-256color"},
                                  stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        reader = threading.Thread(target=swallow, args=(ours,), daemon=True)
        reader.start()
        try:
            eventually(10, lambda: self.tmux("list-clients", "-t", f"=agentmesh-{name}").stdout.strip(), "attached")
            yield lambda keys: os.write(ours, keys)
        finally:
            client.kill()
            client.wait()
            reader.join(5)
            os.close(ours)

    # ---- the end

    def keep_evidence(self, folder):
        """Journal, logs, what runs and what the engine says, for the person who reads the failure."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in [*self.home.glob("*.db*"), *self.home.glob("logs/*"), self.home / "config.toml"]:
            with contextlib.suppress(OSError):
                shutil.copy2(path, folder / path.name)
        (folder / "containers.json").write_text(json.dumps(self.containers(), indent=1))
        (folder / "tmux.txt").write_text(self.tmux("list-panes", "-a").stdout)
        for name in self.sessions():
            (folder / f"{name}.screen").write_text(self.screen(name.removeprefix("agentmesh-")))
        (folder / "processes.txt").write_text("".join(
            f"{pid} {pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()!r}\n"
            for pid in isolated.processes_of(self.environment) if is_alive(pid)))

    def close(self):
        """Yields what was left behind."""
        self.unfollow()
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([str(self.program), "down", "--agents"], env=self.environment, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=CLEANUP_LIMIT_S)
        self.tmux("kill-server")
        # tmux leaves its socket behind.
        pathlib.Path(f"/tmp/tmux-{os.geteuid()}", self.environment["AGENTMESH_TMUX_SOCKET"]).unlink(missing_ok=True)
        if not isolated.ended(self.environment, 5):
            for pid in isolated.processes_of(self.environment):
                with contextlib.suppress(OSError):
                    yield f"left a process behind: {pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
                    os.kill(pid, signal.SIGKILL)
        for container in list(self.engine.containers_of(f"{self.place}/")):
            yield f"left a container behind: {container[:12]}"
            self.engine.remove(container)
        shutil.rmtree(self.place, ignore_errors=True)
