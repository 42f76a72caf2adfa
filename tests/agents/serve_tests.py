"""`start --serve` with the real opencode: its server on the loopback behind a password, and no terminal."""
import base64
import contextlib
import ipaddress
import json
import pathlib
import socket
import subprocess
import urllib.error
import urllib.request

from mesh import check, eventually, same

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
IMAGE = "agentmesh/sandbox:latest"
READY_LIMIT_S = 300  # it starts in 3 s; on a machine with 20 others it takes minutes
BRIDGE = "/networks/bridge"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def model(mesh):
    """The scripted model, where a container of the bridge reaches it; yields its address and its log."""
    network = json.loads(mesh.engine.call("GET", BRIDGE)[1])["IPAM"]["Config"][0]
    gateway = network.get("Gateway") or str(ipaddress.ip_network(network["Subnet"])[1])
    log = mesh.place / "model.log"
    process = subprocess.Popen([SCRIPTS / "demo-model", "--bind", gateway, "--port", "0", "--log", log],
                               stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip(), log
    finally:
        process.kill()
        process.wait()


def ask(url, password=None):
    """The status of a GET."""
    request = urllib.request.Request(url)
    if password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"opencode:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def start(mesh, name, port, url):
    mesh.expect(0, "start", name, "--runner", "opencode", "--sandbox-image", IMAGE, "--network", "bridge", "--serve",
                "--serve-port", port, "--model", "demo/scripted", "--model-url", url, limit_s=READY_LIMIT_S + 60)
    mesh.until_status(name, "idle", limit_s=READY_LIMIT_S)  # a busy machine: unknown first


def test_opencode_is_served_behind_a_password_and_restarted(bench):
    mesh = bench.mesh()
    name, port = mesh.name("served"), free_port()
    url = f"http://127.0.0.1:{port}"
    with model(mesh) as (model_url, log):
        start(mesh, name, port, model_url)
        agent = mesh.agent(name)
        same((agent["status"], agent["serve_url"]), ("idle", url), "status and address")
        same((agent["tmux"]["session"], agent["tmux"]["pane"], mesh.sessions()), (None, None, set()), "terminals")

        password = mesh.expect(0, "status", name, "--password").stdout.strip()
        check(len(password) >= 32, "the password is short")
        same(ask(f"{url}/global/health", password), 200, "with the password")
        same((ask(f"{url}/session"), ask(f"{url}/session", "wrong")), (401, 401), "without it")
        path = mesh.home / "agents" / name / "server.password"
        same(path.stat().st_mode & 0o777, 0o600, "mode of the password's file")

        container = mesh.container(name)
        same(container["HostConfig"]["PortBindings"], {"4096/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]},
             "published")
        told = [json.dumps(container), json.dumps(agent), mesh.expect(0, "list").stdout,
                mesh.expect(0, "explain", name).stdout, mesh.expect(0, "logs", name).stdout,
                mesh.expect(0, "attach", name).stdout, (mesh.home / "logs" / "daemon.log").read_text()]
        for pid in mesh.engine.processes(container["Id"]):
            with contextlib.suppress(OSError):
                told.append(pathlib.Path(f"/proc/{pid}/cmdline").read_text())
        check(not any(password in text for text in told), "the password is shown somewhere")
        check(url in mesh.expect(0, "attach", name).stdout, "attach does not say how to connect")

        mesh.expect(0, "nudge", name, "MARK-1")
        eventually(30, lambda: "MARK-1" in log.read_text(), "the message reached the model")
        mesh.until_status(name, "idle")

        again = mesh.refused(4, f"port {port} is that of {name}", "start", mesh.name("second"), "--runner", "opencode",
                             "--sandbox-image", IMAGE, "--network", "bridge", "--serve", "--serve-port", port)
        check("--serve-port" in again, "no cure")

        mesh.engine.kill(container["Id"])
        eventually(60, lambda: mesh.containers(name) and mesh.container(name)["Id"] != container["Id"], "a new run")
        mesh.until_status(name, "idle", limit_s=READY_LIMIT_S)
        same(ask(f"{url}/global/health", password), 200, "the password after the restart")
        crash = mesh.json("crashes", name)[0]
        same((crash["reason"], crash["stage"]), ("killed", "run"), "the crash report")
        check(crash["terminal"] and crash["usage"]["peak_memory_bytes"] > 50_000_000, f"what is missing: {crash}")
        same(ask(f"{url}/session", password), 200, "sessions")

        mesh.expect(0, "stop", name)
        check(loopback_is_free(port), "the port is still taken")


def loopback_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_served_agent_is_adopted_after_a_kill(bench):
    mesh = bench.mesh()
    name, port = mesh.name("served"), free_port()
    with model(mesh) as (model_url, _):
        start(mesh, name, port, model_url)
        before = mesh.container(name)["Id"]
        mesh.kill_daemon()
        mesh.until_status(name, "idle", limit_s=READY_LIMIT_S)
        same(mesh.container(name)["Id"], before, "container")
        mesh.expect(0, "nudge", name, "still there?")


def test_what_cannot_be_served_is_refused(bench):
    mesh = bench.mesh()
    serve = ("--serve", "--sandbox-image", IMAGE)
    mesh.refused(2, "has no server", "start", "a", "--runner", "custom", "--command", "true", "--network", "bridge", *serve)
    mesh.refused(2, "--network bridge", "start", "a", "--runner", "opencode", "--network", "none", *serve)
    mesh.refused(2, "--network bridge", "start", "a", "--runner", "opencode", *serve)
    mesh.refused(2, "--serve-port", "start", "a", "--serve-port", "3001")
    mesh.refused(2, "1 to 65535", "start", "a", "--serve", "--serve-port", "70000")
    mesh.refused(2, "attach", "start", "a", "--serve", "--attach")
    mesh.refused(3, "has no server", "status", "a", "--password")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        mesh.refused(4, "is taken", "start", "a", "--runner", "opencode", "--network", "bridge", *serve, "--serve-port",
                     taken.getsockname()[1])
    same(mesh.containers(), [], "containers")
