"""Assignments through the hub inside the daemon: delivered exactly once, in order, over restarts of everything."""
import os

from mesh import check, eventually, same


def state_of(mesh, item):
    return next((row["state"] for row in mesh.json("inbox", "--all") if row["id"] == item), None)


def until_state(mesh, item, wanted, limit_s=30):
    return eventually(limit_s, lambda: state_of(mesh, item) == wanted, f"{item} is {wanted}")[1]


def deliveries(mesh, name, item):
    return sum(item in message for message in mesh.messages(name))


def send(mesh, name, title, *options):
    return mesh.json("send", name, "--title", title, *options)["id"]


def test_send_to_a_running_agent(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--busy 700")
    eventually(10, lambda: mesh.agent(name)["hub"]["registered"], "registered at the hub")
    item = send(mesh, name, "write the tests", "--body", "all of them\nand run them")
    until_state(mesh, item, "delivered", 10)
    took = until_state(mesh, item, "done", 10)
    bench.measured("done after delivery of a turn of 0.7 s", took, 5, "s")
    same(deliveries(mesh, name, item), 1, "deliveries")
    text = mesh.messages(name)[0]
    check("write the tests" in text and "all of them\nand run them" in text, f"the message is {text!r}")
    same(mesh.agent(name)["inbox"], {"pending": 0, "delivered": 0}, "inbox counts")
    same(mesh.json("inbox"), [], "open items")


def test_send_to_a_stopped_agent(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    eventually(10, lambda: mesh.agent(name)["hub"]["registered"], "registered at the hub")
    mesh.expect(0, "stop", name)
    low = send(mesh, name, "low", "--priority", "low")
    normal = [send(mesh, name, f"normal {number}") for number in range(3)]
    urgent = [send(mesh, name, f"urgent {number}", "--priority", "urgent") for number in range(2)]
    same([deliveries(mesh, name, item) for item in (low, *normal, *urgent)], [0] * 6, "deliveries while stopped")
    mesh.start(name)
    for item in (low, *normal, *urgent):
        until_state(mesh, item, "done")
    whole = "\n".join(mesh.messages(name))
    order = sorted((low, *normal, *urgent), key=whole.index)
    same(order, [*urgent, *normal, low], "order of delivery")
    same([deliveries(mesh, name, item) for item in order], [1] * 6, "deliveries")


def test_send_then_daemon_killed(bench):
    mesh = bench.mesh()
    name = mesh.start_titled(mesh.name(), "--busy 300")
    eventually(10, lambda: mesh.agent(name)["hub"]["registered"], "registered at the hub")
    before = mesh.container(name)["State"]["StartedAt"]
    delivered, given_up = 0, 0
    for round_number in range(50 if bench.full else 5):
        mesh.until_status(name, "idle")
        item = send(mesh, name, f"round {round_number}")
        mesh.kill_daemon()
        state = eventually(60, lambda: state_of(mesh, item) in ("done", "failed") and state_of(mesh, item),
                           f"{item} is done or failed")[0]
        # A message that was being typed when the daemon ended is not typed again: reported as failed.
        count = deliveries(mesh, name, item)
        check(count == 1 if state == "done" else count <= 1, f"{item} is {state} and was delivered {count} times")
        delivered, given_up = delivered + (state == "done"), given_up + (state == "failed")
    bench.notes.append(f"{delivered} delivered once, {given_up} reported as not known to have arrived")
    # The kills may all have come in the middle of typing: what is left alone must arrive.
    mesh.until_status(name, "idle")
    item = send(mesh, name, "the last round")
    until_state(mesh, item, "done")
    same(deliveries(mesh, name, item), 1, "deliveries without a kill")
    same(mesh.container(name)["State"]["StartedAt"], before, "StartedAt")


def test_assignment_survives_a_crash_of_the_agent(bench):
    mesh = bench.mesh('[watchdog]\nbackoff_first = "200ms"\n')
    name = mesh.start(mesh.name(), "--busy 60000")
    eventually(10, lambda: mesh.agent(name)["hub"]["registered"], "registered at the hub")
    item = send(mesh, name, "long work")
    until_state(mesh, item, "delivered")
    mesh.engine.kill(mesh.container(name)["Id"])
    eventually(30, lambda: deliveries(mesh, name, item) == 2, "delivered once more to the next run")
    check("restarted" in mesh.messages(name)[1], f"the second message does not say why: {mesh.messages(name)[1]!r}")
    same(state_of(mesh, item), "delivered", "state")
    same(mesh.json("inbox", "done", item)["state"], "done", "state by a person")
    same(mesh.json("inbox", name), [], "open items")


def test_assignment_whose_turns_fail(bench):
    """Asked once to go on; the second time it is failed with the provider's words, and a person is told."""
    mesh = bench.mesh('[watchdog]\nturn_retry = "1s"\n')
    name = mesh.start(mesh.name(), "--fail-turns")
    eventually(10, lambda: mesh.agent(name)["hub"]["registered"], "registered at the hub")
    item = send(mesh, name, "work that fails")
    until_state(mesh, item, "failed")
    same(mesh.messages(name)[1:], ["Please continue with your current task."], "what it was told after the first")
    reason = next(row["reason"] for row in mesh.json("inbox", "--all") if row["id"] == item)
    check("API Error: 500" in reason, f"the reason is {reason!r}")
    check(mesh.events(name, "assignment_failed"), "no notification")
    same(mesh.agent(name)["status"], "idle", "status")


def test_urgent_goes_first_and_a_person_settles(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--busy 600000")
    eventually(10, lambda: mesh.agent(name)["hub"]["registered"], "registered at the hub")
    first = send(mesh, name, "keeps it busy")
    until_state(mesh, first, "delivered")
    waiting = send(mesh, name, "waits")
    same(mesh.json("inbox", "fail", waiting)["state"], "failed", "state by a person")
    same(mesh.json("inbox", "retry", waiting)["state"], "queued", "state after retry")
    mesh.refused(3, "", "inbox", "done", "no-such-item")
    same(deliveries(mesh, name, waiting), 0, "deliveries while busy")


def test_hub_key_is_private(bench):
    mesh = bench.mesh()
    mesh.expect(0, "up")
    for path in ("hub.key", "hub.db", "state.db", "daemon.sock"):
        same(oct((mesh.home / path).stat().st_mode & 0o777), "0o600", f"mode of {path}")
    key = (mesh.home / "hub.key").read_text().strip()
    for folder, _, files in os.walk(mesh.home):
        for file in files:
            path = os.path.join(folder, file)
            if file != "hub.key" and os.path.isfile(path):
                check(key.encode() not in open(path, "rb").read(), f"the hub's key is in {path}")
