"""Promises 26 and 27: nothing is typed into a dialog, and a message arrives exactly once and unaltered, or the exit code
says so."""
from mesh import check, same

ALPHABETS = ("abcdefghijklmnopqrstuvwxyz ABC 0123456789", "äöüß éèê ñ ", "日本語の文字 ", "🙂🚀👩‍👩‍👧 ",
             "\a\b\x1b[31m\x1b[201~\x7f\x9b0m\x01\x03\x04\r\v\x1a abc ",
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


def typeable(message):
    """What may be typed of it: no control character but newline and tab (C0, DEL, C1)."""
    return "".join(c for c in message if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f"))


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
