"""Random messages for the tests of delivery, and what may be typed of one."""

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
