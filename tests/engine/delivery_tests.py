"""A message arrives exactly once, byte for byte, or the exit code is 6; nothing is typed into a dialog."""
from mesh import check, eventually, same

ALPHABETS = ("abcdefghijklmnopqrstuvwxyz ABC 0123456789", "äöüß éèê ñ ", "日本語の文字 ", "🙂🚀👩‍👩‍👧 ",
             "$`\"'\\!*?[]{}()<>|&;#~^=%@/:,.+_- ")
ENDINGS = ("", ";", "@", "/", "\\", "'", "\"", "\\;", "🙂", "~", "#")
LARGEST = 64 * 1024  # bytes


def random_message(random, index):
    """Text of a random size, the first one of the full 64 KiB; not a word that the fake agent obeys."""
    size = LARGEST if index == 0 else int(2 ** random.uniform(0, 16))
    letters = "".join(random.sample(ALPHABETS, random.randint(1, len(ALPHABETS))))
    text = "m"
    while len(text.encode()) < size:
        text += "".join(random.choices(letters, k=random.randint(1, max(1, size // 4)))) + random.choice(("", "\n"))
    ending = random.choice(ENDINGS) if size > 8 else ""
    return text.encode()[:size - len(ending.encode())].decode(errors="ignore") + ending


def test_nudge_arrives_once(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    mesh.expect(0, "nudge", name, "hello, world")
    same(mesh.messages(name), ["hello, world"], "messages")
    mesh.expect(0, "nudge", name)
    same(mesh.messages(name)[1:], ["Please continue with your current task."], "the default message")


def test_nudge_random_messages(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    sent = [random_message(bench.random, index) for index in range(1000 if bench.full else 20)]
    for message in sent:
        mesh.expect(0, "nudge", name, "--", message)
    got = mesh.messages(name)
    wrong = sum(1 for a, b in zip(sent, got) if a != b) + abs(len(sent) - len(got))
    different = next((f"{a[:60]!r}...{a[-20:]!r} ({len(a.encode())} B) became {b[:60]!r}...{b[-20:]!r} "
                      f"({len(b.encode())} B)" for a, b in zip(sent, got) if a != b), f"{len(got)} came")
    check(wrong == 0, f"{wrong} of {len(sent)} messages lost, doubled or altered: {different}")
    bench.measured(f"of {len(sent)} messages, lost, doubled or altered", wrong, 0, "messages")


def test_nudge_never_answers_a_dialog(bench):
    mesh = bench.mesh()
    name = mesh.start(mesh.name())
    for word, status in (("ASK", "waiting_permission"), ("QUESTION", "waiting_question")):
        mesh.expect(0, "nudge", name, f"{word} rm -rf /workspace")
        mesh.until_status(name, status)
        before = mesh.record(name)
        for _ in range(50 if bench.full else 5):
            mesh.refused(6, "not delivered", "nudge", name, "please go on")
        same(mesh.record(name), before, f"what was typed while {status}")
        mesh.press(name, "Escape")
        mesh.until_status(name, "idle")
        same([entry["kind"] for entry in mesh.record(name)][len(before):], ["denied"], "the person's own answer")
    mesh.expect(0, "nudge", name, "and now it goes on")
    same(mesh.messages(name)[-1], "and now it goes on", "the last message")


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
