#!/usr/bin/env python3
"""Adds up what the suites of one or more `meson test` runs report.

Usage: count_tests.py TESTLOG.json...

Counts test cases: from Catch2's summary, from a line "N passed, N failed[, N skipped]", and where a test prints
neither it counts as one. A line "SKIPPED: reason" turns one passed Catch2 case into a skipped one. A test that
ends badly without a failed case (a crash, a timeout) is one failure more. Prints what failed with the end of its
output, what was skipped and why, and last the line "N passed, N failed, N skipped".
"""

import json
import re
import sys

ALL_PASSED = re.compile(r"^All tests passed \(.*?(\d+) test cases?\)", re.M)
SOME_FAILED = re.compile(r"^test cases: .*$", re.M)
PLAIN = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.M)
SKIPPED = re.compile(r"^SKIPPED: (.*)$", re.M)
OUTPUT_TAIL_LINES = 60


def catch2_counts(output):
    """Passed, failed, skipped of a Catch2 program, or None when this is not the output of one."""
    reasons = len(SKIPPED.findall(output))
    if match := ALL_PASSED.search(output):
        return int(match[1]) - reasons, 0, reasons
    if match := SOME_FAILED.search(output):
        part = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped)", match[0])}
        return part.get("passed", 0) - reasons, part.get("failed", 0), part.get("skipped", 0) + reasons
    return None


def counts(test):
    """Passed, failed, skipped of one entry of a testlog."""
    output = test.get("stdout") or ""
    result = test["result"]
    if found := catch2_counts(output):
        passed, failed, skipped = found
    elif matches := PLAIN.findall(output):
        passed, failed, skipped = (int(number or 0) for number in matches[-1])
    else:
        passed, failed, skipped = int(result == "OK"), 0, int(result == "SKIP")
    if result not in ("OK", "SKIP", "EXPECTEDFAIL") and failed == 0:
        failed = 1
    return passed, failed, skipped


def main():
    total = [0, 0, 0]
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8", errors="replace") as log:
            tests = [json.loads(line) for line in log if line.strip()]
        for test in tests:
            found = counts(test)
            total = [a + b for a, b in zip(total, found)]
            output = (test.get("stdout") or "") + (test.get("stderr") or "")
            for reason in SKIPPED.findall(output):
                print(f"skipped in {test['name']}: {reason}")
            if found[1] > 0:
                print(f"\n=== {test['name']} in {path}: {test['result']}")
                print("\n".join(output.splitlines()[-OUTPUT_TAIL_LINES:]))
    print("{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
