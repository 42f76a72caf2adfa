"""A home, a daemon, a tmux server and containers of the benchmark's own, and their removal at the end."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile

from measure import CannotMeasure, eventually, run_quietly
from sockets import Peer, Refused

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IMAGE = "agentmesh/test-agent:latest"
STARTS_AT_ONCE = 8
UP = ("idle", "busy", "unknown")

SETTINGS = {
    "runner": "custom",
    "command": "exec fake-agent --start-after 300",
    "image": IMAGE,
    "network": "none",
    "memory": "64m",
    "pids": 64,
}


def find_program():
    named = os.environ.get("AGENTMESH")
    for place in [named] if named else [f"{ROOT}/build/release/agentmesh"]:
        if os.access(place, os.X_OK):
            return os.path.abspath(place)
    raise CannotMeasure("no agentmesh: cmake --build --preset release --target agentmesh, or set AGENTMESH")


def engine_socket():
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix://"):
        raise CannotMeasure(f"DOCKER_HOST={host} is not a Unix socket")
    return host.removeprefix("unix://") or "/var/run/docker.sock"


class Lab:
    def __init__(self):
        self.program = find_program()
        self.engine_path = engine_socket()
        self.mark = f"bench{os.getpid()}"
        self.tmux = f"agentmesh-{self.mark}"
        self.folder = tempfile.mkdtemp(prefix="agentmesh-bench-")
        self.home = os.path.join(self.folder, "home")
        self.workdir = os.path.join(self.folder, "work")
        self.socket = os.path.join(self.home, "daemon.sock")
        self.agents = []
        self.grown = SETTINGS["command"]
        self.daemon_pid = 0
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("AGENTMESH")}
        self.env |= {
            "AGENTMESH_HOME": self.home,
            "AGENTMESH_TMUX_SOCKET": self.tmux,
            "AGENTMESH_WATCHDOG_MAX_STARTING": "16",
            "AGENTMESH_WATCHDOG_MAX_RESTARTS": "1000",
            "AGENTMESH_WATCHDOG_BACKOFF_FIRST": "1ms",
            "AGENTMESH_WATCHDOG_BACKOFF_MAX": "1ms",
        }

    def __enter__(self):
        os.mkdir(self.workdir)
        try:
            self.engine = Peer(self.engine_path)
            self.engine.call("GET", "/version")
            self._have_image()
            self.cli("up")
            self.daemon_pid = json.loads(self.cli("status", "--json"))["daemon"]["pid"]
        except BaseException as problem:
            self._remove()
            if isinstance(problem, OSError):
                raise CannotMeasure(f"engine at {self.engine_path}: {problem}") from problem
            raise
        return self

    def __exit__(self, *problem):
        self._remove()

    def cli(self, *words, limit_s=120):
        return run_quietly([self.program, *words], self.env, limit_s)

    def daemon(self):
        """A connection of its own to the control socket."""
        return Peer(self.socket, "/v1")

    def start(self, name, daemon=None, command=SETTINGS["command"]):
        body = {"name": name, "settings": SETTINGS | {"command": command}, "current_folder": self.workdir}
        answer = (daemon or self.daemon()).call("POST", "/agents", body)
        if name not in self.agents:
            self.agents.append(name)
        return answer

    def stop(self, name, daemon=None):
        (daemon or self.daemon()).call("POST", f"/agents/{name}/stop", {"force": True})
        self.agents.remove(name)

    def grow(self, count, command=SETTINGS["command"]):
        """Starts agents until there are `count` of this command and no others, all of them up and quiet."""
        if command != self.grown:
            for name in list(self.agents):
                self.stop(name)
            self.grown = command
        names = [f"{self.mark}-{number:03d}" for number in range(len(self.agents), count)]
        with concurrent.futures.ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
            for done in [pool.submit(self.start, name, None, command) for name in names]:
                done.result()
        daemon = self.daemon()
        eventually(60, f"{count} agents up", lambda: sum(a["status"] in UP for a in daemon.call("GET", "/agents")) >= count)

    def containers(self):
        """Of this lab, by the label that every agent's container carries."""
        filters = json.dumps({"label": ["agentmesh.agent"]}).replace('"', "%22").replace(" ", "")
        every = self.engine.call("GET", f"/containers/json?all=1&filters={filters}")
        return [c for c in every if c["Labels"]["agentmesh.agent"].startswith(self.mark)]

    def container_of(self, name):
        return next(c["Id"] for c in self.containers() if c["Labels"]["agentmesh.agent"] == name)

    def _have_image(self):
        try:
            self.engine.call("GET", f"/images/{IMAGE}/json")
        except Refused:
            run_quietly([f"{ROOT}/scripts/test-image"], limit_s=600)

    def _remove(self):
        """In the order that leaves nobody who starts anything again: daemon, containers, tmux, files."""
        if self.daemon_pid:
            try:
                os.kill(self.daemon_pid, signal.SIGTERM)
                eventually(15, "the daemon's end", lambda: not os.path.exists(f"/proc/{self.daemon_pid}"))
            except ProcessLookupError:
                pass
            except CannotMeasure:
                os.kill(self.daemon_pid, signal.SIGKILL)
        subprocess.run(["tmux", "-L", self.tmux, "kill-server"], capture_output=True)
        sockets = os.path.join(os.environ.get("TMUX_TMPDIR", "/tmp"), f"tmux-{os.getuid()}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(sockets, self.tmux))  # tmux leaves it
        try:
            self.engine.close()
            for container in self.containers():
                self.engine.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        except (OSError, Refused) as problem:
            print(f"containers of {self.mark} may be left: {problem}")
        shutil.rmtree(self.folder, ignore_errors=True)
