#!/usr/bin/env python3
"""The shape of the tree, checked: which folder may include which, and how long a file or a function may be.

Prints `FILE:LINE: what is wrong` for each finding; exit 1 if there is any. The rules are the tables below;
ARCHITECTURE.md says them in words.
"""
import pathlib
import re
import subprocess
import sys

from functions import functions_of

MAX_FILE_LINES = 700
MAX_FUNCTION_LINES = 80

SIBLINGS = {"net", "watchdog", "tmux", "sandbox", "agents", "gateway", "workspace", "terminal", "hub", "host"}
# Each folder, and the folders below it that it may include.
BELOW = {
    "base": set(),
    "config": {"base"},
    **{sibling: {"base", "config"} for sibling in SIBLINGS},
    "daemon": {"base", "config"} | SIBLINGS,
    "cli": {"base", "config", "daemon"} | SIBLINGS,
}
# The interface headers through which one sibling may use another: header, and who may include it.
INTERFACES = {
    "net/http_client.h": {"sandbox", "agents", "gateway", "terminal", "hub", "host"},
    "net/server.h": {"gateway", "terminal", "hub"},
    "net/websocket.h": {"agents", "terminal", "hub"},
    "net/sse.h": {"agents", "gateway", "hub"},
    "net/limits.h": {"sandbox", "agents", "gateway", "terminal", "hub"},
}
# The watchdog decides and touches nothing: these and the standard library are all it may know.
WATCHDOG_MAY = {"base/ids.h", "base/clock.h", "base/result.h"}
# Headers that cost seconds in every unit that sees them.
HEAVY_IN_HEADERS = ("boost/beast", "nlohmann/json.hpp", "toml++", "CLI/", "sqlite3.h", "curl/curl.h")
# Heavy on purpose: only a .cc of their own folder may include them.
PRIVATE_HEADERS = {"hub/reader.h", "net/curl_library.h"}

CODE = re.compile(r"\.(cc|h|py|sh|js|ts)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
USING_NAMESPACE = re.compile(r"^\s*using\s+namespace\s+(?!\S*literals\s*;)")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
SLEEPS = re.compile(r"sleep_for\s*\(|sleep_until\s*\(|\busleep\s*\(|\bnanosleep\s*\(|(?<![\w.])::?sleep\s*\(")
# What escapes from a coroutine is logged: base/spawn_logged.h is the one place that sees it.
SWALLOWS = re.compile(r"\basio::detached\b|\bexception_ptr\b")
REGISTRY_HOSTS = re.compile(r"\b(deb|registry|security|snapshot|registry-1|auth)\.(debian|npmjs|docker)\.(org|com|io)\b")
STANDARD_ROOTS = {"home", "tmp", "root", "usr", "var", "opt", "srv", "mnt", "media", "etc", "workspace"}


def include_findings(path, number, line):
    found = INCLUDE.match(line)
    if not found:
        return
    bracket, header = found.groups()
    folder = path.split("/")[0]
    if folder not in BELOW:
        return
    if path.endswith(".h") and path not in PRIVATE_HEADERS and header.startswith(HEAVY_IN_HEADERS):
        yield number, f"<{header}> in a header: keep it behind the .cc"
    if header in PRIVATE_HEADERS and not (path.endswith(".cc") and header.startswith(folder + "/")):
        yield number, f"{header} is private to the .cc files of its folder"
    if folder == "watchdog" and bracket == "<" and ("/" in header or header.endswith(".h")):
        yield number, f"watchdog includes <{header}>: only the standard library is allowed there"
    if bracket == "<":
        return
    target = header.split("/")[0]
    if "/" not in header:
        yield number, f'"{header}": name the folder, as in "{folder}/{header}"'
    elif folder == "watchdog" and target != "watchdog" and header not in WATCHDOG_MAY:
        yield number, f"watchdog includes {header}: only {', '.join(sorted(WATCHDOG_MAY))} are allowed there"
    elif target in BELOW and target != folder and target not in BELOW[folder]:
        if folder not in INTERFACES.get(header, ()):
            yield number, f"{folder} includes {header}: the arrow points the other way, or past an interface header"


def line_findings(path, number, line, machine_root):
    if path.endswith((".cc", ".h")):
        yield from include_findings(path, number, line)
        if USING_NAMESPACE.match(line) and "NOLINT" not in line:
            yield number, "using namespace"
        if path.split("/")[0] in BELOW and path != "base/spawn_logged.h" and SWALLOWS.search(line):
            yield number, "the end of a coroutine by hand: spawn_logged"
        if path.startswith("tests/") and not path.startswith("tests/fakes/") and SLEEPS.search(line):
            yield number, "a sleep in a test: virtual time, or eventually(limit, condition)"
    if UNFINISHED.search(line):
        yield number, "something left open in the code"
    if REGISTRY_HOSTS.search(line):
        yield number, "the host of a package registry: ask the system's configuration instead"
    if machine_root and re.search(rf"(?<![\w.~$}}/-]){re.escape(machine_root)}[\w-]", line):
        yield number, f"a path of this machine ({machine_root}...)"


def file_findings(path, text, machine_root):
    lines = text.splitlines()
    # Blank lines do not make a file hard to read, but they do make it long: they count.
    if CODE.search(path) and len(lines) > MAX_FILE_LINES:
        yield 1, f"{len(lines)} lines: {MAX_FILE_LINES} is the limit of a file"
    if path.endswith(".h") and "#pragma once" not in text:
        yield 1, "no #pragma once"
    for number, line in enumerate(lines, 1):
        yield from line_findings(path, number, line, machine_root)
    if path.endswith((".cc", ".h")):
        for function in functions_of(text):
            if function.lines > MAX_FUNCTION_LINES:
                yield function.line, (f"{function.name}: {function.lines} lines: "
                                      f"{MAX_FUNCTION_LINES} is the limit of a function")


def interface_findings(architecture):
    """The table above and the one in ARCHITECTURE.md must name the same headers."""
    for header in INTERFACES:
        if header not in architecture:
            yield 1, f"the interface header {header} is not named"


def machine_root_of(root):
    """The first folder of the checkout's path, if only this machine has it: a trace of it in a file is a leak."""
    first = root.parts[1] if len(root.parts) > 1 else ""
    return "" if first in STANDARD_ROOTS or not first else f"/{first}/"


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    machine_root = machine_root_of(root)
    tracked = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root,
                             check=True, capture_output=True, text=True).stdout.split("\0")
    findings = files = 0
    for path in filter(None, tracked):
        try:
            text = (root / path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # binary data of a test, or deleted in the worktree
        files += 1
        found = list(file_findings(path, text, machine_root))
        if path == "ARCHITECTURE.md":
            found += interface_findings(text)
        for number, what in found:
            findings += 1
            print(f"{path}:{number}: {what}")
    print(f"{files} files, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
