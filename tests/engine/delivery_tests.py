"""When a message is held, refused or sent again; that it arrives exactly once is in tests/chaos."""
from mesh import eventually, same

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
    mesh.expect(0, "nudge", name, "later", "--defer")
    eventually(20, lambda: mesh.messages(name) == ["BUSY 1500", "later"], "the deferred message arrived")


def test_nudge_to_nobody(bench):
    mesh = bench.mesh()
    mesh.refused(3, "no agent", "nudge", mesh.name("nobody"), "hello")
    name = mesh.start(mesh.name())
    mesh.expect(0, "stop", name)
    mesh.refused(6, "stopped", "nudge", name, "hello")
    same(mesh.messages(name), [], "messages")
