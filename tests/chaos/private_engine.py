"""A Docker engine of a test's own: containerd and dockerd with roots, sockets and a network namespace of their own, so
that it can be hung, killed and restarted beside the machine's. Needs root."""
import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse

from mesh import IMAGE, check, eventually, is_alive, isolated

UP_LIMIT_S = 30
DOWN_LIMIT_S = 40  # dockerd stops its containers first


@functools.cache
def test_image():
    """The test image as the machine's engine exports it."""
    status, body = isolated.Engine().call("GET", f"/images/{urllib.parse.quote(IMAGE, safe='')}/get")
    check(status == 200, f"the engine does not export {IMAGE}: status {status}")
    return body


class PrivateEngine:
    """`live_restore`: containers outlive dockerd. Use as a context; Bench.keep enters it."""

    def __init__(self, live_restore):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="ape-", dir="/tmp"))
        self.socket = self.place / "docker.sock"
        self.live_restore = live_restore
        self.engine = isolated.Engine(self.socket)
        self.containerd = self.dockerd = None

    def __enter__(self):
        try:
            self.containerd = self._spawn("containerd", "containerd", "--config", "/dev/null", "--root",
                                          self.place / "containerd", "--state", self.place / "state", "--address",
                                          self.place / "containerd.sock")
            eventually(UP_LIMIT_S, (self.place / "containerd.sock").exists, "containerd is up")
            self.start()
            self._load()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _spawn(self, name, *words):
        with (self.place / f"{name}.log").open("ab") as log:
            return subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    start_new_session=True)

    def _load(self):
        done = subprocess.run(["curl", "--silent", "--fail", "--unix-socket", self.socket, "--request", "POST", "--header",
                               "Content-Type: application/x-tar", "--data-binary", "@-",
                               "http://engine/images/load?quiet=1"], input=test_image(), capture_output=True, timeout=120)
        check(done.returncode == 0 and self.engine.has_image(IMAGE), f"the image is not loaded: {done.stdout}")

    def start(self):
        """Seconds until the API answered."""
        # A namespace of its own: a second dockerd with `--bridge none` removes docker0 otherwise.
        self.dockerd = self._spawn(
            "dockerd", "unshare", "--net", "dockerd", "--containerd", self.place / "containerd.sock", "--data-root",
            self.place / "root", "--exec-root", self.place / "exec", "--pidfile", self.place / "docker.pid", "--host",
            f"unix://{self.socket}", "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-masq=false",
            "--ip-forward=false", *(["--live-restore"] if self.live_restore else []))
        return eventually(UP_LIMIT_S, self.engine.answers, f"dockerd is up; see {self.place}/dockerd.log")[1]

    def end(self, number=signal.SIGTERM):
        self.signal(number)
        self.dockerd.wait(DOWN_LIMIT_S)
        (self.place / "docker.pid").unlink(missing_ok=True)

    def signal(self, number):
        os.kill(self.dockerd.pid, number)

    def close(self):
        for container in self.engine.list():
            self.engine.remove(container["Id"])
        for process in (self.dockerd, self.containerd):
            if process:
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    process.terminate()
                    process.wait(DOWN_LIMIT_S)
                process.kill()
        for pid in self._shims():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._unmount()
        shutil.rmtree(self.place, ignore_errors=True)

    def _shims(self):
        mark = str(self.place / "containerd.sock").encode()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "cmdline").read_bytes():
                    yield int(entry.name)

    def _unmount(self):
        """What a killed dockerd left mounted, the newest first."""
        for line in reversed(pathlib.Path("/proc/self/mounts").read_text().splitlines()):
            point = line.split()[1]
            if point.startswith(f"{self.place}/"):
                subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def kill_process(pid):
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
