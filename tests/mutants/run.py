#!/usr/bin/env python3
"""Mutants of watchdog/: small wrong programs that the watchdog's tests must tell from the right one.

mutants.toml lists them: a text of a source file, and what stands there instead. For each one that file alone is
compiled, linked with the objects that the build has already, and the tests of the watchdog are run with few
seeds. A mutant that no test fails on survives. docs/mutants.md explains the ones that must: those that are no
different from the right program. Anything else that survives is a failure, and so is an explained one that dies.

  tests/mutants/run.py [--build build/release] [--only NAME]... [--jobs N] [--keep]

The last line is `N passed, N failed`.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
SEEDS = 400          # of the simulated world: 1 to 400
# Which tests, and how long they may take: a mutant that hangs them is dead too. The stories take milliseconds and
# kill most; the table and the world take a second.
STAGES = (("-World*:Table*", 20), ("Table*:World*", 120))
PROGRAM = "unit_watchdog"


class Tools:
    """The commands of the build, cut down to one file."""

    def __init__(self, build):
        self.build = build
        self.ninja_commands = self.ninja("-t", "commands", f"tests/{PROGRAM}").splitlines()

    def ninja(self, *arguments):
        return subprocess.run(["ninja", "-C", str(self.build), *arguments], check=True, capture_output=True,
                              text=True).stdout.removeprefix(f"ninja: Entering directory `{self.build}'\n")

    def compile(self, source, mutated, into):
        line = next(c for c in self.ninja_commands if c.endswith(f"/{source}"))
        words = [w for w in shlex.split(line) if w != "-Werror"]
        words = words[next(i for i, w in enumerate(words) if "clang" in w or "g++" in w):]
        words[words.index("-o") + 1] = str(into)
        words[-1] = str(mutated)
        for option in ("-MT", "-MF"):
            if option in words:
                at = words.index(option)
                del words[at:at + 2]
        words = [w for w in words if w != "-MD"]
        words.insert(1, "-w")
        return ["ccache", *words]

    def link(self, instead, into):
        line = self.ninja_commands[-1].removeprefix(": && ").removesuffix(" && :")
        words = shlex.split(line)
        words[words.index("-o") + 1] = str(into)
        # Given before the library, so that its own object of that file is not taken from it.
        words.insert(words.index("watchdog/libam_watchdog.a"), str(instead))
        return words


def explained():
    text = (ROOT / "docs/mutants.md").read_text()
    return set(re.findall(r"^### ([a-z0-9-]+)$", text, re.M))


def mutate(mutant):
    text = (ROOT / mutant["file"]).read_text()
    found = text.count(mutant["old"])
    if found != 1:
        raise ValueError(f"its text stands {found} times in {mutant['file']}")
    return text.replace(mutant["old"], mutant["new"])


def run(command, build, **more):
    return subprocess.run(command, cwd=build, capture_output=True, text=True, **more)


def killer(program, build):
    """The first test that fails, or None."""
    environment = {**os.environ, "AGENTMESH_SIM_SEEDS": str(SEEDS), "GTEST_FAIL_FAST": "1", "GTEST_OUTPUT": ""}
    for stage, limit_s in STAGES:
        try:
            done = run([str(program), f"--gtest_filter={stage}", "--gtest_brief=1"], build, env=environment,
                       timeout=limit_s)
        except subprocess.TimeoutExpired:
            return "no end"
        if done.returncode != 0:
            failed = re.search(r"^\[  FAILED  \] (\S+)", done.stdout, re.M)
            return failed.group(1) if failed else f"exit {done.returncode}"
    return None


def verdict(mutant, tools, folder, known):
    """(passed, what to say) of one mutant."""
    name = mutant["name"]
    try:
        text = mutate(mutant)
    except ValueError as problem:
        return False, f"{name}: {problem}"
    place = folder / name
    place.mkdir(parents=True)
    source = place / pathlib.Path(mutant["file"]).name
    source.write_text(text)
    compiled = run(tools.compile(mutant["file"], source, place / "mutant.o"), tools.build)
    if compiled.returncode != 0:
        return False, f"{name}: is no program: {compiled.stderr.strip()[:600]}"
    linked = run(tools.link(place / "mutant.o", place / PROGRAM), tools.build)
    if linked.returncode != 0:
        return False, f"{name}: cannot be linked: {linked.stderr.strip()[:600]}"
    by = killer(place / PROGRAM, tools.build)
    (place / PROGRAM).unlink()
    if by is None and name not in known:
        return False, f"{name}: SURVIVES"
    if by is not None and name in known:
        return False, f"{name}: docs/mutants.md says that it cannot be told, but {by} does"
    return True, f"{name}: " + (f"dies in {by}" if by else "survives, as explained")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--build", default="build/release")
    options.add_argument("--only", action="append", default=[])
    options.add_argument("--list", default=str(HERE / "mutants.toml"))
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    options.add_argument("--keep", action="store_true")
    chosen = options.parse_args()

    mutants = tomllib.loads(pathlib.Path(chosen.list).read_text())["mutant"]
    names = [m["name"] for m in mutants]
    known = explained()
    failures = [f"{n}: listed twice" for n in sorted({n for n in names if names.count(n) > 1})]
    failures += [f"{n}: explained in docs/mutants.md, but not listed" for n in sorted(known - set(names))]
    if chosen.only:
        mutants = [m for m in mutants if m["name"] in chosen.only]

    build = (ROOT / chosen.build).resolve()
    folder = build / "mutants"
    shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    tools = Tools(build)
    os.environ.setdefault("CCACHE_BASEDIR", str(ROOT))
    os.environ.setdefault("CCACHE_NOHASHDIR", "1")
    os.environ.setdefault("CCACHE_SLOPPINESS",
                          "pch_defines,time_macros,include_file_mtime,include_file_ctime")
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(chosen.jobs) as pool:
        work = [pool.submit(verdict, mutant, tools, folder, known) for mutant in mutants]
        for done in concurrent.futures.as_completed(work):
            ok, line = done.result()
            print(line, flush=True)
            passed += ok
            if not ok:
                failures.append(line)
    if not chosen.keep:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(mutants)} mutants in {time.monotonic() - start:.0f} s")
    for line in failures:
        print("FAILED " + line)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
