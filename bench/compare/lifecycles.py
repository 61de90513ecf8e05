"""What attach, first use, drop and destroy of a store cost as its arena grows."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measure
from appends import Place, nothing
from tables import Mode

STEPS = ("attach", "first append", "first get", "drop", "destroy")


def run_all(mode: Mode, place: Place) -> Iterator[dict[str, Any]]:
    found = nothing()
    for turn in range(mode.rounds):
        for mebibytes in mode.arenas:
            print(f"arena of {mebibytes} MiB, round {turn + 1}", file=sys.stderr, flush=True)
            folder = Path(tempfile.mkdtemp(prefix="shoal-compare-", dir=place.memory_folder))
            try:
                program = place.build / "bench/compare/compare_lifecycle"
                measured = measure.run([str(program), str(folder), str(mebibytes)], dict(os.environ), 120)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            try:
                outcome = json.loads(measured.stdout)
            except json.JSONDecodeError:
                outcome = {"error": f"exit code {measured.returncode}: {measured.stderr.strip()[-300:]}"}
            row = {"peer": "shoal", "mebibytes": mebibytes, "round": turn, **outcome}
            if row["error"]:
                print(f"THROWN OUT: arena of {mebibytes} MiB: {row['error']}", file=sys.stderr, flush=True)
            found["thrown_out" if row["error"] else "samples"].append(row)
        yield found
