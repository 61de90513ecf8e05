"""Measures shoal beside what users would pick instead: python3 bench/compare [options]. tools/compare prepares it.

Writes a JSON file a benchmark, with every sample. Exit code: 1 when a run lost a record or gave no figure.
"""

import argparse
import dataclasses
import json
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import appends
import lifecycles
import machine
import scales
import shuffles
from tables import MODES, PEERS

ROOT = Path(__file__).resolve().parent.parent.parent
WARM_UP = {
    "append": "one round that is not counted, and then emptied, in each run of each program",
    "reads": "the appends, and the check, which gets each value once",
    "shuffle": "the input is read into the page cache before each run",
    "lifecycle": "none: the process that attaches is a fresh one",
    "larger": "none: each run begins with nothing",
    "scale": "of growing processes as of append; of growing keys and bytes none, so with the first touch of all memory",
}


def write(result: dict[str, Any], path: Path) -> None:
    """A row a line, so that a diff of two runs can be read."""
    parts = []
    for name, value in result.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f'"{name}": [\n  {rows}\n]' if rows else f'"{name}": []')
        else:
            parts.append(f'"{name}": {json.dumps(value, indent=1)}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def end(*_: object) -> None:
    """On a signal: leaves by way of what tidies up, which a second signal does not cut short."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit("bench/compare: ended")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="bench/compare")
    parser.add_argument("--mode", choices=MODES, default="quick")
    parser.add_argument("--build", type=Path, default=ROOT / "build/gcc", help="meson's build folder")
    parser.add_argument("--python", type=Path, default=ROOT / "build/compare/venv/bin/python",
                        help="an interpreter that has the peers' packages")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    parser.add_argument("--memory-folder", type=Path, default=Path("/dev/shm"), help="a tmpfs")
    parser.add_argument("--disk-folder", type=Path, default=ROOT / "build/compare/data",
                        help="for tables, their shuffles, and data larger than memory")
    parser.add_argument("--only", default=".", help="benchmarks whose name matches this regular expression")
    parser.add_argument("--peers", default=".", help="peers whose name matches this regular expression")
    parser.add_argument("--longest-shuffle", type=float, default=0,
                        help="seconds that a slow peer's shuffle may take; the mode decides where it is not given")
    parser.add_argument("--note", default="", help="what else ran on the machine; stands in the results")
    options = parser.parse_args()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    mode = MODES[options.mode]
    if options.longest_shuffle:
        mode = dataclasses.replace(mode, longest_shuffle=options.longest_shuffle)

    def wanted(name: str) -> bool:
        return re.search(options.peers, name) is not None

    options.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="shoal-compare-", dir=options.memory_folder))
    place = appends.Place(options.build.resolve(), options.python.absolute(), folder)
    disk_folder = options.disk_folder.resolve()
    peers = [peer for peer in PEERS if wanted(peer.name)]
    measured = {
        "append": lambda: appends.run_all(peers, mode, place),
        "reads": lambda: appends.run_reads(peers, mode, place),
        "shuffle": lambda: shuffles.run_all(mode, place, wanted, disk_folder),
        "larger": lambda: appends.run_larger(peers, mode, place, disk_folder),
        "scale": lambda: scales.run_all(peers, mode, place, disk_folder),
        "lifecycle": lambda: lifecycles.run_all(mode, place),
    }
    bad = good = 0
    try:
        for benchmark, measure in measured.items():
            if not re.search(options.only, benchmark):
                continue
            head = {"benchmark": benchmark, "mode": mode.name, "rounds": mode.rounds,
                    "slow_rounds": mode.slow_rounds, "warm_up": WARM_UP[benchmark],
                    "machine": machine.describe(options.note)}
            for found in measure():
                write(head | found, options.out / f"{benchmark}.json")
            bad += len(found["thrown_out"])
            good += len(found["samples"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{good} passed, {bad} failed")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
