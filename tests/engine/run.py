#!/usr/bin/env python3
"""The whole daemon against the real engine and a real tmux, with fake agents. README.md says how it is written.

  run.py --program build/release/agentmesh [--folder tests/engine] [--full] [--again] [--jobs 1] [NAME...]

Prints one line a test with what it measured, and ends with `N passed, N failed`; exit 0 only if some passed and
none failed. NAME is a test's name or its beginning. Journal, logs and the engine's list of a failed test are kept
in build/test-logs/whole/.
"""
import argparse
import concurrent.futures
import contextlib
import importlib
import os
import pathlib
import random
import shutil
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
EVIDENCE = HERE.parents[1] / "build" / "test-logs" / "whole"
sys.path.insert(0, str(HERE))
import mesh  # noqa: E402


class Bench:
    """What a test gets: homes of its own, a place for its measurements, random numbers with a printed seed."""

    def __init__(self, name, program, full):
        self.name, self.program, self.full = name, program, full
        self.seed = int(os.environ.get("AGENTMESH_SEED", random.randrange(1 << 32)))
        self.random = random.Random(self.seed)
        self.meshes, self.notes = [], []
        self.kept = contextlib.ExitStack()

    def mesh(self, config="", engine=None, **variables):
        """`engine`: the path of another engine's socket."""
        made = mesh.Mesh(self.program, config, variables, engine)
        self.meshes.append(made)
        return made

    def keep(self, context):
        """Enters a context that is left after the meshes have ended."""
        return self.kept.enter_context(context)

    def count(self, reduced, full):
        return full if self.full else reduced

    def measured(self, what, value, limit, unit):
        """`measured / limit`; over the limit the test fails."""
        self.notes.append(f"{what}: {value:.6g} / {limit:g} {unit}")
        mesh.check(value <= limit, f"{what}: {value:.6g} {unit}, the limit is {limit:g} {unit}")


def tests(folder):
    """name -> function, of every function test_* of every module *_tests.py of the folder."""
    found = {}
    sys.path.insert(0, str(folder))
    for path in sorted(folder.glob("*_tests.py")):
        module = importlib.import_module(path.stem)
        for name, value in vars(module).items():
            if name.startswith("test_"):
                found[name.removeprefix("test_").replace("_", "-")] = value
    return found


def run(name, function, program, full):
    """(passed, details)"""
    bench = Bench(name, program, full)
    for old in EVIDENCE.glob(f"{name}-[0-9]"):
        shutil.rmtree(old)
    begun, wrong = time.monotonic(), []
    try:
        function(bench)
    except mesh.Failed as failed:
        where = next(frame for frame in reversed(traceback.extract_tb(failed.__traceback__))
                     if not frame.filename.endswith(("/mesh.py", "/run.py")))
        wrong.append(f"{pathlib.Path(where.filename).name} line {where.lineno}: {failed}")
    except Exception:  # a defect of the test is a failure of the test
        wrong.append(traceback.format_exc())
    for index, made in enumerate(bench.meshes):
        if wrong:
            made.keep_evidence(EVIDENCE / f"{name}-{index}")
        wrong += list(made.close())
    try:
        bench.kept.close()
    except Exception:
        wrong.append(traceback.format_exc())
    if wrong:
        wrong.append(f"seed {bench.seed}; evidence in {EVIDENCE / name}-*")
    return not wrong, time.monotonic() - begun, bench.notes + wrong


def run_again(name, function, program, full):
    """As run(); what failed is run once more. It then passes as unsteady, with both stories."""
    first = run(name, function, program, full)
    if first[0]:
        return first
    passed, took, details = run(name, function, program, full)
    return passed, first[1] + took, [f"{'UNSTEADY' if passed else 'failed twice'}: the first time:", *first[2],
                                     "the second time:", *details]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE)
    parser.add_argument("--full", action="store_true", help="longer watches and more kills")
    parser.add_argument("--again", action="store_true", help="what fails is run once more; passed then, it is UNSTEADY")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    if not os.access(program, os.X_OK):
        sys.exit(f"{program} is not there: run scripts/build")
    if not mesh.isolated.Engine().has_image(mesh.IMAGE):
        sys.exit(f"the engine has no {mesh.IMAGE}: run scripts/test-image")
    chosen = {name: function for name, function in tests(arguments.folder.resolve()).items()
              if not arguments.names or any(name.startswith(given) for given in arguments.names)}
    counts = {True: 0, False: 0}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        attempt = run_again if arguments.again else run
        outcomes = pool.map(lambda item: attempt(*item, program, arguments.full), chosen.items())
        for name, (passed, took, details) in zip(chosen, outcomes):
            counts[passed] += 1
            print(f"{'passed' if passed else 'failed':7} {name} ({took:.1f} s)",
                  *(f"    {line}" for detail in details for line in detail.splitlines()), sep="\n", flush=True)
    print(f"{counts[True]} passed, {counts[False]} failed")
    sys.exit(0 if counts[True] and not counts[False] else 1)


if __name__ == "__main__":
    main()
