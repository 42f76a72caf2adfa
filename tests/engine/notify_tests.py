"""How a person hears of what needs one: the command and the webhook of [notify], told by the whole daemon."""
import contextlib
import hashlib
import hmac
import http.server
import json
import threading

from mesh import always, check, eventually, same

KEY = "the-hook's-key"


@contextlib.contextmanager
def webhook(refusals=0):
    """A receiver on the loopback that refuses the first requests; yields its address and what it got."""
    got = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(503 if len(got) <= refusals else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()


def configured(bench, url):
    """A home whose command appends what it gets to `told`, and whose webhook is `url`."""
    mesh = bench.mesh()
    script, key = mesh.place / "tell", mesh.place / "key"
    script.write_text(f'#!/bin/sh\nread -r line; printf "%s %s %s\\n" "$AGENTMESH_EVENT" "$AGENTMESH_AGENT" "$line" '
                      f'>> {mesh.place}/told\n')
    script.chmod(0o755)
    key.write_text(KEY)
    key.chmod(0o600)
    (mesh.home / "config.toml").write_text(
        f'[watchdog]\nmax_restarts = 0\n[notify]\ncommand = ["{script}"]\nwebhook = "{url}"\nsecret = "file:{key}"\n')
    return mesh


def told(mesh):
    path = mesh.place / "told"
    rows = [line.split(" ", 2) for line in path.read_text().splitlines()] if path.exists() else []
    return [(kind, agent, json.loads(line)) for kind, agent, line in rows]


def test_a_permission_and_a_failure_are_told_once_each(bench):
    with webhook(refusals=1) as (url, got):
        mesh = configured(bench, url)
        name = mesh.start(mesh.name())
        mesh.run("nudge", name, "ASK rm -rf build")
        mesh.until_status(name, "waiting_permission")
        eventually(10, lambda: len(got) == 2 and len(told(mesh)) == 1, "both are told, the webhook at the second try")
        kind, agent, notice = told(mesh)[0]
        same((kind, agent, notice["agent"]), ("permission", name, name), "what the command got")
        headers, body = got[1]
        same(json.loads(body)["id"], notice["id"], "id")
        same(got[0][1], body, "the body of the second try")
        signed = hmac.new(KEY.encode(), f"{headers['X-Agentmesh-Timestamp']}.".encode() + body, hashlib.sha256)
        same(headers["X-Agentmesh-Signature"], "sha256=" + signed.hexdigest(), "signature")
        check(KEY not in (mesh.home / "logs" / "daemon.log").read_text(), "the key is in the log")
        always(2, lambda: len(got) == 2 and len(told(mesh)) == 1, "it is told once while it lasts")

        mesh.engine.kill(mesh.container(name)["Id"])
        mesh.until_status(name, "failed")
        eventually(10, lambda: [row[0] for row in told(mesh)] == ["permission", "failed"], "the failure is told")
        same(mesh.events(name, "notify_failed"), [], "failures to tell")
        findings = {row["check"]: row["status"] for row in mesh.json("doctor")}
        same((findings["notify command"], findings["notify webhook"]), ("ok", "ok"), "doctor")


def test_what_cannot_be_told_is_an_event(bench):
    mesh = bench.mesh('[watchdog]\nmax_restarts = 0\n[notify]\ncommand = ["/nowhere/program"]\n'
                      'secret = "env:NOT_SET_AT_ALL"\nwebhook = "http://127.0.0.1:9/secret-path"\n')
    name = mesh.name()
    mesh.run(*mesh.start_words(name, "--start-after 100 --crash-after 300 --exit 7"))
    mesh.until_status(name, "failed")
    reasons = eventually(10, lambda: (rows := [row["reason"] for row in mesh.events(name, "notify_failed")]) and
                         len(rows) == 2 and rows, "both failures")[0]
    check(any("/nowhere/program" in reason for reason in reasons), f"the program is not named: {reasons}")
    check(any("NOT_SET_AT_ALL" in reason for reason in reasons), f"the missing key is not named: {reasons}")
    check(not any("secret-path" in reason for reason in reasons), "the webhook's path is shown")
    done = mesh.run("doctor", "--json")
    findings = {row["check"]: row["status"] for row in json.loads(done.stdout)}
    same((done.returncode, findings["notify command"], findings["notify webhook"]), (1, "problem", "problem"), "doctor")
