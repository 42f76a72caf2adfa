#!/usr/bin/env python3
"""Counts the test cases of one tier: count_results.py XML_FOLDER JUNIT_FILE

XML_FOLDER holds GoogleTest's report of each program, JUNIT_FILE is ctest's report of the programs.
Prints `PASSED FAILED SKIPPED` on stdout and the name of each failed case on stderr. A program that ctest
calls failed and whose report shows no failure (it crashed, or ran out of time) counts as one failed case.
"""
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def parsed(path):
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, FileNotFoundError):
        return ElementTree.Element("empty")


def cases_of(report):
    """(name, 'passed' | 'failed' | 'skipped') of each case in one program's report."""
    for case in report.iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None:
            yield name, "failed"
        elif case.get("result") == "skipped":
            yield name, "skipped"
        elif case.get("status") == "run":
            yield name, "passed"


def main(xml_folder, junit_file):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    programs_with_failures = set()
    for path in sorted(pathlib.Path(xml_folder).glob("*.xml")):
        for name, outcome in cases_of(parsed(path)):
            counts[outcome] += 1
            if outcome != "passed":
                print(f"{outcome}: {name}", file=sys.stderr)
            if outcome == "failed":
                programs_with_failures.add(path.stem)
    for program in parsed(junit_file).iter("testcase"):
        if program.get("status") != "run" and program.get("name") not in programs_with_failures:
            counts["failed"] += 1
            print(f"failed: the program {program.get('name')} ended badly", file=sys.stderr)
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main(*sys.argv[1:])
