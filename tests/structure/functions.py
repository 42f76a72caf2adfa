"""Finds the functions of a C++ file and their lengths without a compiler: by braces and what stands before them."""
import re
from typing import NamedTuple


class Function(NamedTuple):
    name: str
    line: int   # of the first line of its head
    lines: int  # from there to its closing brace, both counted


RAW_STRING = re.compile(r'(?:u8|[uUL])?R"([^()\\ \t\n]{0,16})\(')
LABEL = re.compile(r"^(?:public|private|protected|signals|slots)$")
TYPE_HEAD = re.compile(r"^(?:typedef\s+)?(?:class|struct|union|enum)\b")
TEMPLATE = re.compile(r"^template\s*<")
FUNCTION_TAIL = re.compile(r"\)\s*(?:(?:const|noexcept|override|final|mutable|volatile|try|&|&&)\s*(?:\([^()]*\)\s*)?)*"
                           r"(?:->.*|requires\b.*)?$", re.S)
CONSTRUCTOR_LIST = re.compile(r"\)\s*(?:noexcept\s*(?:\([^()]*\))?\s*)?:(?!:)")
NAME = re.compile(r"([~\w:]+(?:\s*operator\s*\S+)?)\s*\(")


def blanked(text):
    """The text with comments, literals and preprocessor lines replaced by spaces; lines stay where they are."""
    out, at, end = [], 0, len(text)

    def blank(until):
        nonlocal at
        out.append(re.sub(r"[^\n]", " ", text[at:until]))
        at = until

    while at < end:
        two = text[at:at + 2]
        raw = RAW_STRING.match(text, at) if text[at] in "RuUL" and not (at and (text[at - 1].isalnum() or text[at - 1] == "_")) else None
        if two == "//":
            newline = text.find("\n", at)
            blank(end if newline < 0 else newline)
        elif two == "/*":
            close = text.find("*/", at + 2)
            blank(end if close < 0 else close + 2)
        elif raw:
            close = text.find(f"){raw.group(1)}\"", raw.end())
            blank(end if close < 0 else close + len(raw.group(1)) + 2)
        elif text[at] == '"' or (text[at] == "'" and not (at and text[at - 1].isalnum())):
            blank(end_of_literal(text, at))
        elif text[at] == "#" and not text[text.rfind("\n", 0, at) + 1:at].strip():
            blank(end_of_directive(text, at))
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


def end_of_literal(text, at):
    quote, at = text[at], at + 1
    while at < len(text) and text[at] != quote and text[at] != "\n":
        at += 2 if text[at] == "\\" else 1
    return min(at + 1, len(text))


def end_of_directive(text, at):
    while True:
        newline = text.find("\n", at)
        if newline < 0:
            return len(text)
        if not text[:newline].endswith("\\"):
            return newline
        at = newline + 1


def without_template(head):
    """The head without its leading `template <...>`, however deep the angle brackets go."""
    while TEMPLATE.match(head):
        depth, at = 0, head.index("<")
        while at < len(head):
            depth += {"<": 1, ">": -1}.get(head[at], 0)
            at += 1
            if depth == 0:
                break
        head = head[at:].lstrip()
    return head


def kind_of(head):
    """What the brace after this head opens: 'scope', 'function' or 'value'."""
    head = without_template(re.sub(r"\[\[.*?\]\]", "", head, flags=re.S).strip())
    if re.match(r"^(inline\s+)?namespace\b", head) or head.startswith("extern"):
        return "scope"
    if TYPE_HEAD.match(head) and not FUNCTION_TAIL.search(head):
        return "scope"
    if CONSTRUCTOR_LIST.search(head):
        # A member's initializer follows its name; the body follows a closed initializer.
        return "function" if head[-1] in ")}" else "value"
    return "function" if FUNCTION_TAIL.search(head) else "value"


def name_of(head):
    found = NAME.search(without_template(head.strip()))
    return found.group(1) if found else "?"


def functions_of(text):
    """Every function with a body at namespace or class scope; what is inside a body counts as part of it."""
    code = blanked(text)
    functions, stack = [], []  # stack: (kind, head, line of the head)
    head, head_line, parens, line = "", 0, 0, 1
    for char in code:
        if char == "\n":
            line += 1
        inside = bool(stack) and stack[-1][0] != "scope"
        if char == "{":
            kind = "inner" if inside or parens else kind_of(head)
            stack.append((kind, head, head_line))
            if not inside and not parens and kind != "value":
                head = ""
        elif char == "}":
            if not stack:
                break
            kind, opened_head, opened_line = stack.pop()
            if kind == "function":
                functions.append(Function(name_of(opened_head), opened_line, line - opened_line + 1))
            head = opened_head + "{}" if kind in ("value", "inner") else ""
        elif inside:
            continue
        elif char == ";" and not parens:
            head = ""
        elif char == ":" and LABEL.match(head.strip()):
            head = ""
        else:
            parens += {"(": 1, ")": -1}.get(char, 0)
            if not head.strip() and not char.isspace():
                head_line = line
            head += char
    return functions
