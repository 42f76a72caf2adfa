"""When a message is held, refused or sent again; that it arrives exactly once is in tests/chaos."""
import os
import time

from mesh import check, eventually, is_alive, same


def test_nudge_arrives_once(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "hello, world")
    same(mesh.messages(name), ["hello, world"], "messages")
    mesh.expect(0, "nudge", name)
    same(mesh.messages(name)[1:], ["Please continue with your current task."], "the default message")


def test_nudge_waits_for_a_busy_agent(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "BUSY 3000")
    mesh.refused(6, "busy", "nudge", name, "too early", "--wait", "200ms")
    mesh.expect(0, "nudge", name, "in time", "--wait", "20s")
    same(mesh.messages(name), ["BUSY 3000", "in time"], "messages")


def test_nudge_presses_enter_again(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--swallow-enter 2")
    mesh.expect(0, "nudge", name, "the first two Enter keys are lost")
    same(mesh.messages(name), ["the first two Enter keys are lost"], "messages")


def test_nudge_deferred(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "BUSY 1500")
    texts = ["SAY later", "SAY after that", "SAY last"]
    for text in texts:
        mesh.expect(0, "nudge", name, text, "--defer")
    eventually(20, lambda: mesh.messages(name) == ["BUSY 1500", *texts], "the deferred messages arrived in order")


def test_nudge_to_nobody(bench):
    mesh = bench.mesh()
    mesh.refused(3, "no agent", "nudge", mesh.name("nobody"), "hello")
    name = mesh.start(mesh.name())
    mesh.expect(0, "stop", name)
    mesh.refused(6, "stopped", "nudge", name, "hello")
    same(mesh.messages(name), [], "messages")


def test_nudge_is_no_command(bench):
    """What would be a shell line or a setting to the program is refused, blanks and control characters aside."""
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    for text in ("!rm -rf /workspace", "/quit", " \n\t!id", "\x1b/help", "\x07 /help"):
        for more in ([], ["--defer"]):
            mesh.refused(2, "would be a command", "nudge", name, *more, "--", text)
    mesh.expect(0, "nudge", name, "read a/b! and @c #d")
    same(mesh.messages(name), ["read a/b! and @c #d"], "messages")


def test_nudge_never_fuses_with_what_was_left(bench):
    """An Enter that is lost three times leaves the text in the composer: the next message waits until it is gone."""
    mesh = bench.mesh()
    name = mesh.start(mesh.name(), "--swallow-enter 3")
    mesh.refused(124, "not known", "nudge", name, "the first")
    mesh.refused(6, "an earlier message may still be in its composer", "nudge", name, "the second", "--wait", "300ms")
    mesh.expect(0, "nudge", name, "the third", "--defer")
    mesh.press(name, "Enter")
    eventually(20, lambda: mesh.messages(name) == ["the first", "the third"], "each arrives by itself")


def test_nudge_waits_for_a_person_who_types(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    with mesh.attached(name) as keys:
        mesh.expect(0, "nudge", name, "to look on is not to type")
        keys(b"\x1b[D")  # an arrow key leaves no draft
        mesh.refused(6, "somebody is typing", "nudge", name, "too early", "--wait", "200ms")
        began = time.monotonic()
        mesh.expect(0, "nudge", name, "when the hands are off", "--wait", "20s")
        check(time.monotonic() - began > 1, "it did not wait")
    same(mesh.messages(name), ["to look on is not to type", "when the hands are off"], "messages")


def test_daemon_ends_with_messages_that_wait(bench):
    """One deferred, one that a command waits for: neither holds the daemon's end up; the command says why."""
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "BUSY 600000")
    mesh.expect(0, "nudge", name, "deferred", "--defer")
    pid = mesh.daemon()
    connections = lambda: len(os.listdir(f"/proc/{pid}/fd"))
    before = connections()
    waiting = mesh.spawn("nudge", name, "waits", "--wait", "60s")
    eventually(10, lambda: connections() > before, "the command waits")
    began = time.monotonic()
    mesh.expect(0, "down")
    bench.measured("down", time.monotonic() - began, 5, "s")
    eventually(1, lambda: not is_alive(pid), "the daemon that has given its lock back has ended")
    said = waiting.communicate(timeout=20)[0]
    check(waiting.returncode in (5, 6), f"the waiting command: exit {waiting.returncode}, {said!r}")
    same(mesh.messages(name), ["BUSY 600000"], "messages")
