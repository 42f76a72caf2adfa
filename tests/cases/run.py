#!/usr/bin/env python3
"""A folder is a test. README.md says what a case may hold.

  run.py --program build/release/agentmesh [--folder tests/cases] [--jobs 2] [NAME...]

Prints one line a case and ends with `N passed, N failed`; exit 0 only if some passed and none failed.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

DEFAULT_LIMIT_S = 30   # one case; a file `limit` says otherwise
CLEANUP_LIMIT_S = 30   # `agentmesh down --agents` after a case
SHOWN_BYTES = 3000     # of what a failed case printed
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import isolated  # noqa: E402


class Case:
    """One folder: its command, what it needs, and what it must print."""

    def __init__(self, folder):
        self.folder = folder
        self.name = folder.name

    def text(self, name, default=None):
        path = self.folder / name
        return path.read_text() if path.exists() else default

    def unmet(self, engine):
        """The first thing the case needs and this machine has not, or None."""
        for need in self.text("needs", "").split():
            kind, _, what = need.partition("=")
            if kind == "engine" and not engine.answers():
                return "a Docker engine"
            if kind == "image" and not engine.has_image(what):
                return f"the image {what}"
            if kind == "root" and os.geteuid() != 0:
                return "root"
            if kind not in ("engine", "image", "root"):
                return f"'{need}', which the runner does not know"
        return None


def complaints(case, outcome):
    """What is wrong with the exit code and the two streams, one text each."""
    wanted_exit = int(case.text("exit", "0"))
    if outcome.returncode != wanted_exit:
        yield f"exit {outcome.returncode}, expected {wanted_exit}"
    for stream, got in (("out", outcome.stdout), ("err", outcome.stderr)):
        exact, patterns = case.text(stream), case.text(f"{stream}.re")
        if exact is not None and got != exact:
            yield f"std{stream} is not what the file {stream} says:\n{got[-SHOWN_BYTES:]}"
        if patterns is not None and not matches(got.splitlines(), patterns.splitlines()):
            yield f"std{stream} does not match {stream}.re:\n{got[-SHOWN_BYTES:]}"


def matches(lines, patterns):
    """Line by line; the pattern `...` stands for any number of lines."""
    if not patterns:
        return not lines
    if patterns[0] == "...":
        return any(matches(lines[skip:], patterns[1:]) for skip in range(len(lines) + 1))
    return bool(lines) and re.fullmatch(patterns[0], lines[0]) is not None and matches(lines[1:], patterns[1:])


def environment_of(place, program):
    return isolated.environment_of(place, program, f"case-{os.path.basename(place)}") | {
        "PROGRAM_FOLDER": str(program.parent),
        "SOURCE": str(HERE.parents[1]),
    }


def run_command(case, place, environment):
    """Runs `cmd` in its own process group; past its limit the whole group ends."""
    limit = float(case.text("limit", str(DEFAULT_LIMIT_S)))
    child = subprocess.Popen(["bash", "-u", str(HERE / "prelude.sh"), str(case.folder / "cmd")], cwd=f"{place}/work",
                             env=environment | {"CASE": str(case.folder)}, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                             start_new_session=True)
    try:
        out, err = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        err += f"\n(the runner: ended after its limit of {limit:g} s)\n"
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def clean_up(place, program, environment, engine):
    """Ends what the case left, and names what `agentmesh down --agents` should have ended."""
    if os.path.exists(environment["AGENTMESH_HOME"]):
        try:
            subprocess.run([str(program), "down", "--agents"], env=environment, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=CLEANUP_LIMIT_S)
        except subprocess.TimeoutExpired:
            yield "`agentmesh down --agents` did not return"
    subprocess.run(["tmux", "-L", environment["AGENTMESH_TMUX_SOCKET"], "kill-server"], env=environment,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not isolated.ended(environment, 5):
        for pid in isolated.processes_of(environment):
            yield f"left a process behind: {pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
            os.kill(pid, signal.SIGKILL)
    for container in list(engine.containers_of(place + "/")):
        yield f"left a container behind: {container[:12]}"
        engine.remove(container)


def run(case, program, engine):
    """(outcome, details): outcome is 'passed', 'failed' or 'skipped'."""
    unmet = case.unmet(engine)
    if unmet:
        return "skipped", [f"needs {unmet}"]
    # Short, for the 107 bytes of a Unix socket's path.
    place = tempfile.mkdtemp(prefix="amc-", dir="/tmp")
    try:
        os.mkdir(f"{place}/home", 0o700)
        os.mkdir(f"{place}/work")
        environment = environment_of(place, program)
        outcome = run_command(case, place, environment)
        wrong = list(complaints(case, outcome)) + list(clean_up(place, program, environment, engine))
        if wrong and case.text("err") is None and outcome.stderr:
            wrong.append(f"stderr was:\n{outcome.stderr[-SHOWN_BYTES:]}")
        return ("failed", wrong) if wrong else ("passed", [])
    finally:
        shutil.rmtree(place, ignore_errors=True)


def cases_in(folder, names):
    found = sorted(entry for entry in folder.iterdir() if (entry / "cmd").exists()) if folder.is_dir() else []
    unknown = set(names) - {entry.name for entry in found}
    if unknown:
        sys.exit(f"no case is called {', '.join(sorted(unknown))}")
    return [Case(entry) for entry in found if not names or entry.name in names]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    program, engine = arguments.program.resolve(), isolated.Engine()
    if not os.access(program, os.X_OK):
        sys.exit(f"{program} is not there: run scripts/build")
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    cases = cases_in(arguments.folder.resolve(), arguments.names)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for case, (outcome, details) in zip(cases, pool.map(lambda case: run(case, program, engine), cases)):
            counts[outcome] += 1
            print(f"{outcome:7} {case.name}", *(f"    {line}" for detail in details for line in detail.splitlines()),
                  sep="\n", flush=True)
    if counts["skipped"]:
        print(f"{counts['skipped']} skipped")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(0 if counts["passed"] and not counts["failed"] else 1)


if __name__ == "__main__":
    main()
