"""Promises 26 and 27: nothing is typed into a dialog, and a message arrives exactly once and unaltered, or the exit code
says so."""
import pathlib

from host_tests import NO_ENGINE
from mesh import check, eventually, same
from messages import random_message, typeable
from prompt_tests import tell

SCREENS = pathlib.Path(__file__).resolve().parents[1] / "agents" / "screens"
# The state that a screen of this meaning is known as; all of these take keys.
TAKES_KEYS = {"permission": "waiting_permission", "question": "waiting_question", "dialog": "waiting_question"}
# The runners whose panes are typed into, and the event of their hooks that says that nothing is asked.
AT_REST = {"claude": "Stop", "gemini": "AfterAgent"}
# Shows what a real agent has shown, and keeps what is typed.
FACE = """#!/usr/bin/env python3
import os, signal, tty
tty.setraw(0)
with open({screen!r}, "rb") as file:
    screen = file.read().replace(b"\\n", b"\\r\\n")
def paint(*_):
    os.write(1, b"\\x1b[?2004h\\x1b[0m\\x1b[2J\\x1b[H" + screen)
signal.signal(signal.SIGWINCH, paint)
paint()
with open({typed!r}, "ab", buffering=0) as typed:
    while keys := os.read(0, 4096):
        typed.write(keys)
"""


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


def faces(mesh):
    """Starts an agent for each golden screen that takes keys: (name, runner, state, file of what is typed)."""
    started = []
    for expected in sorted(SCREENS.glob("*/*.expect")):
        runner, meaning = expected.parent.name, expected.read_text().split("\n", 1)[0].removeprefix("meaning: ")
        if runner not in AT_REST or meaning not in TAKES_KEYS:
            continue
        name = mesh.name(f"{runner}-{expected.stem}".replace("_", "-"))
        program, typed = mesh.place / name, mesh.place / f"{name}.typed"
        program.write_text(FACE.format(screen=str(expected.with_suffix(".txt")), typed=str(typed)))
        program.chmod(0o755)
        child = mesh.spawn("start", name, "--no-sandbox", "--runner", runner, "--command", program)
        started.append((child, (name, runner, TAKES_KEYS[meaning], typed)))
    for child, face in started:
        said = child.communicate(timeout=90)[0]
        same(child.returncode, 0, f"exit code of start {face[0]}, which said {said}")
    return [face for _, face in started]


def test_nudge_never_answers_the_dialogs_of_real_agents(bench):
    """Half of the nudges meet the state that the screen tells, half a hook that says that nothing is asked: then only
    the look at the screen right before the keys is left."""
    mesh = bench.mesh(**NO_ENGINE)
    shown, sent, typed = faces(mesh), 0, 0
    count = bench.count(1, -(-1000 // (2 * len(shown))))
    for name, runner, status, file in shown:
        for state in (status, "idle"):
            if state == "idle":
                tell(mesh, name, runner, {"hook_event_name": AT_REST[runner]})
            mesh.until_status(name, state)
            for _ in range(count):
                mesh.refused(6, "not delivered", "nudge", name, "please go on")
            sent += count
        mesh.press(name, "y")  # a person's, after which nothing is still on its way
        typed += len(eventually(10, file.read_bytes, "what is typed is kept")[0]) - 1
    bench.measured(f"of {sent} nudges to {len(shown)} real dialogs, bytes that were typed", typed, 0, "bytes")
