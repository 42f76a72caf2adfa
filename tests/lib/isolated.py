"""What the suites that run the real program share: an environment of its own for each test, the processes that
carry it, and the Docker engine as far as tests look at it themselves."""
import contextlib
import http.client
import json
import os
import pathlib
import socket
import threading
import time
import urllib.parse

ENGINE_CALL_S = 20
KEPT_VARIABLES = ("DOCKER_HOST", "XDG_RUNTIME_DIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


def environment_of(place, program, tmux_socket):
    """What a test's commands see: home, mesh home and tmux server below `place`, our program first in PATH."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return kept | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": f"{place}/home",
        "AGENTMESH_HOME": f"{place}/mesh",
        "AGENTMESH_TMUX_SOCKET": tmux_socket,
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
    }


def processes_of(environment):
    """Processes that a test started: they carry its AGENTMESH_HOME."""
    mark = f"AGENTMESH_HOME={environment['AGENTMESH_HOME']}\0".encode()
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                yield int(entry.name)
        except OSError:
            continue  # it ended meanwhile, or is another user's


def ended(environment, limit_s):
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if not list(processes_of(environment)):
            return True
        time.sleep(0.05)
    return False


class Engine:
    """The Docker engine: is it there, which images, what did a test leave, what does it say of a container."""

    def __init__(self, path=None):
        named = os.environ.get("DOCKER_HOST", "")
        self.path = str(path or named.removeprefix("unix://") or "/var/run/docker.sock")

    def call(self, method, path, body=None):
        """(status, bytes); status 0 when the engine cannot be reached."""
        connection = http.client.HTTPConnection("engine", timeout=ENGINE_CALL_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(ENGINE_CALL_S)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.sock.connect(self.path)
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def answers(self):
        return self.call("GET", "/_ping")[0] == 200

    def has_image(self, name):
        return self.call("GET", f"/images/{name}/json")[0] == 200

    def list(self):
        status, body = self.call("GET", "/containers/json?all=1")
        return json.loads(body) if status == 200 else []

    def containers_of(self, folder):
        """Ids of the containers that mount something below `folder`."""
        for container in self.list():
            if any(mount.get("Source", "").startswith(folder) for mount in container.get("Mounts", [])):
                yield container["Id"]

    def inspect(self, container):
        status, body = self.call("GET", f"/containers/{container}/json")
        return json.loads(body) if status == 200 else None

    def remove(self, container):
        self.call("DELETE", f"/containers/{container}?force=1&v=1")

    def kill(self, container):
        return self.call("POST", f"/containers/{container}/kill?signal=KILL")[0]

    def processes(self, container):
        """Process ids of a container, as this host counts them."""
        status, body = self.call("GET", f"/containers/{container}/top?ps_args=-eo%20pid")
        return [int(row[0]) for row in json.loads(body)["Processes"] or []] if status == 200 else []

    def events(self, since, filters):
        """The container events from `since` (seconds) until now, oldest first."""
        query = urllib.parse.urlencode({"since": f"{since:.9f}", "until": f"{time.time():.9f}",
                                        "filters": json.dumps(filters | {"type": ["container"]})})
        status, body = self.call("GET", f"/events?{query}")
        return [json.loads(line) for line in body.splitlines()] if status == 200 else []

    def follow(self, filters, keep):
        """Gives each container event from now on to keep(event), also over the engine's restarts; returns what ends
        it. The engine itself remembers only the newest 256 of everybody's."""
        return _Followed(self.path, filters, keep).end

    def execute(self, container, *command):
        """Runs a command inside: (exit code, output)."""
        made = self.call("POST", f"/containers/{container}/exec",
                         {"AttachStdout": True, "AttachStderr": True, "Tty": True, "Cmd": list(command)})[1]
        run = json.loads(made)["Id"]
        output = self.call("POST", f"/exec/{run}/start", {"Detach": False, "Tty": True})[1]
        while True:
            state = json.loads(self.call("GET", f"/exec/{run}/json")[1])
            if not state["Running"]:
                return state["ExitCode"], output.decode(errors="replace")
            time.sleep(0.01)


class _Followed:
    def __init__(self, path, filters, keep):
        self.path, self.keep, self.ended = path, keep, threading.Event()
        self.filters = urllib.parse.quote(json.dumps(filters | {"type": ["container"]}))
        self.since, self.socket = time.time(), None
        threading.Thread(target=self._run, daemon=True).start()

    def end(self):
        self.ended.set()
        if self.socket:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def _run(self):
        while not self.ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._read()
            self.ended.wait(0.1)

    def _read(self):
        connection = http.client.HTTPConnection("engine")
        self.socket = connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            self.socket.connect(self.path)
            connection.request("GET", f"/events?since={self.since:.9f}&filters={self.filters}")
            for line in connection.getresponse():
                event = json.loads(line)
                self.since = event["timeNano"] / 1e9
                self.keep(event)
