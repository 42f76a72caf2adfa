"""Promises 26 and 27: nothing is typed into a dialog, and a message arrives exactly once and unaltered, or the exit code
says so."""
from mesh import check, same
from messages import random_message, typeable


def test_nudge_random_messages(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    sent = [random_message(bench.random, index) for index in range(bench.count(40, 1000))]
    for message in sent:
        mesh.expect(0, "nudge", name, "--", message)
    sent = [typeable(message) for message in sent]
    got = mesh.messages(name)
    wrong = sum(1 for a, b in zip(sent, got) if a != b) + abs(len(sent) - len(got))
    different = next((f"{a[:60]!r}...{a[-20:]!r} ({len(a.encode())} B) became {b[:60]!r}...{b[-20:]!r} "
                      f"({len(b.encode())} B)" for a, b in zip(sent, got) if a != b), f"{len(got)} came")
    check(wrong == 0, f"{wrong} of {len(sent)} messages lost, doubled or altered: {different}")
    bench.measured(f"of {len(sent)} messages, lost, doubled or altered", wrong, 0, "messages")


def test_nudge_never_answers_a_dialog(bench):
    mesh = bench.mesh()
    name, count, typed = mesh.start(mesh.name()), bench.count(10, 500), 0
    for word, status in (("ASK", "waiting_permission"), ("QUESTION", "waiting_question")):
        mesh.expect(0, "nudge", name, f"{word} rm -rf /workspace")
        mesh.until_status(name, status)
        before = mesh.record(name)
        for _ in range(count):
            mesh.refused(6, "not delivered", "nudge", name, "please go on")
        typed += len(mesh.record(name)) - len(before)
        mesh.press(name, "Escape")
        mesh.until_status(name, "idle")
        same([entry["kind"] for entry in mesh.record(name)][len(before):], ["denied"], "the person's own answer")
    bench.measured(f"of {2 * count} nudges, typed into an open dialog", typed, 0, "nudges")
    mesh.expect(0, "nudge", name, "and now it goes on")
    same(mesh.messages(name)[-1], "and now it goes on", "the last message")
