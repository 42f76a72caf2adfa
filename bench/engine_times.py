"""The engine's own times of what happens to containers, and the barest start there is to compare with."""

import threading
import time

from measure import eventually
from sockets import EventLines


class EngineTimes:
    """When the engine says an action was, in nanoseconds, by the container's id, its name and its agent's name."""

    def __init__(self, socket, *actions):
        self.at = {}
        self.lines = EventLines(socket, {"type": ["container"], "event": list(actions)})
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                events = self.lines.read()
            except OSError:
                return
            for event in events:
                actor = event["Actor"]
                for key in (actor["ID"], actor["Attributes"]["name"], actor["Attributes"].get("agentmesh.agent")):
                    self.at[(event["Action"], key)] = event["timeNano"]

    def of(self, action, key):
        return eventually(10, f"{action} of {key[:40]}", lambda: self.at.get((action, key)))

    def ms_since(self, begin_ns, key):
        """To the `start` of a container."""
        return (self.of("start", key) - begin_ns) / 1e6


def body_of(details):
    """What an inspected container was created from, without our labels, so that no daemon takes it for its own."""
    config = details["Config"]
    config.pop("Labels")
    config["Labels"] = {f"bench.{i}": "x" * 36 for i in range(4)}
    config["HostConfig"] = details["HostConfig"]
    return config


def raw_start(engine, times, name, body):
    """Create and start on one persistent connection: milliseconds to the `start` event. Nothing is left of it."""
    begin = time.time_ns()
    made = engine.call("POST", f"/containers/create?name={name}", body)
    try:
        engine.call("POST", f"/containers/{made['Id']}/start")
        return times.ms_since(begin, made["Id"])
    finally:
        engine.call("DELETE", f"/containers/{made['Id']}?force=1&v=1")
