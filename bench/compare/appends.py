"""Append, and get and view: every peer in every workload, the peers by turns within a round."""

import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import measure
from tables import MIB, READS, SECONDS_BEFORE_READS, Mode, Peer, Workload

RUN_SECONDS = 90  # a watchdog: a phase takes at most Mode.seconds and a batch


@dataclasses.dataclass(frozen=True)
class Place:
    build: Path
    python: Path
    memory_folder: Path  # a tmpfs: what every peer keeps lies there


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one run. With memory_bytes the peer's files lie on the disk, and a cgroup holds it to that much memory."""

    seconds: float
    read_seconds: float  # 0: nothing is read
    warm_up: bool = True
    memory_bytes: int = 0
    disk_folder: Optional[Path] = None


def run_once(peer: Peer, workload: Workload, place: Place, limits: Limits) -> dict[str, Any]:
    """One sample. Its "error" is not empty where there is no figure."""
    folder = Path(tempfile.mkdtemp(prefix="shoal-compare-", dir=limits.disk_folder or place.memory_folder))
    task = {
        "record-bytes": workload.record_bytes, "keys": workload.keys, "records": workload.records,
        "processes": workload.processes, "batched": int(workload.batched), "seconds": limits.seconds,
        "read-seconds": limits.read_seconds, "warm-up": int(limits.warm_up),
        # The rest is for the program itself, and for the page cache that it cannot do without.
        "memory-bytes": limits.memory_bytes * 3 // 4, "folder": folder,
    }
    arguments = [text for name, value in task.items() for text in (f"--{name}", str(value))]
    environment = os.environ | {"TMPDIR": str(folder), "SHOAL_BENCH_DIR": str(place.memory_folder)}
    try:
        measured = measure.run([*peer.command(place.build, place.python), *arguments], environment,
                               RUN_SECONDS + limits.seconds, limits.memory_bytes or measure.guard_bytes())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        outcome = json.loads(measured.stdout)
    except json.JSONDecodeError:
        outcome = {"error": f"exit code {measured.returncode}: {measured.stderr.strip()[-300:]}", "timings": {}}
    outcome["whole_run"] = {
        "wall_seconds": measured.wall_seconds, "cpu_seconds": measured.cpu_seconds,
        "peak_bytes": measured.peak_bytes, "memory_from": measured.memory_from,
        "written_bytes": measured.written_bytes,
    }
    outcome["timed_out"] = measured.timed_out
    return outcome


def why_none(peer: Peer, workload: Workload, place: Place) -> Optional[str]:
    if not peer.is_there(place.build, place.python):
        return "not installed here; tools/compare installs it"
    return peer.why_not(workload)


def turns(peers: Iterable[Peer], workload: Workload, place: Place, rounds_of: Callable[[Peer], int], limits: Limits,
          found: dict[str, Any], why_not: Callable[[Peer], Optional[str]]) -> None:
    """All rounds of one workload into `found`: samples, gaps with their reasons and, loudly, what was thrown out.

    A peer that had to be ended has no part in the rounds that are left: each would take as long.
    """
    taking_part = []
    for peer in peers:
        reason = why_none(peer, workload, place) or why_not(peer)
        if reason is None:
            taking_part.append(peer)
        else:
            found["gaps"].append({"peer": peer.name, "workload": dataclasses.asdict(workload), "reason": reason})
    for turn in range(max(map(rounds_of, taking_part), default=0)):
        print(f"{workload.name}, round {turn + 1}", file=sys.stderr, flush=True)
        here = [peer for peer in taking_part if turn < rounds_of(peer)]
        first = turn % max(len(here), 1)
        for peer in here[first:] + here[:first]:
            outcome = run_once(peer, workload, place, limits)
            if outcome.pop("timed_out"):
                taking_part.remove(peer)
            found["settings"][peer.name] = {"version": outcome.pop("version", "?"), **outcome.pop("settings", {})}
            row = {"peer": peer.name, "workload": dataclasses.asdict(workload), "round": turn,
                   "memory_limit_bytes": limits.memory_bytes, **outcome}
            if outcome["error"]:
                print(f"THROWN OUT: {peer.title}: {workload.name}: {outcome['error']}", file=sys.stderr, flush=True)
                found["thrown_out"].append(row)
            else:
                found["samples"].append(row)


def nothing() -> dict[str, Any]:
    """What a benchmark fills. Each yields it again and again, so that what was measured is kept if it is ended."""
    return {"settings": {}, "samples": [], "gaps": [], "thrown_out": []}


def left_out(peer: Peer, workload: Workload, mode: Mode) -> Optional[str]:
    if not peer.is_slow or workload in mode.slow_workloads:
        return None
    return f"it takes seconds a run: of the {mode.name} mode's appends it has a part in {len(mode.slow_workloads)}"


def run_all(peers: Iterable[Peer], mode: Mode, place: Place) -> Iterator[dict[str, Any]]:
    found = nothing()
    peers = [peer for peer in peers if not peer.on_disk_only]
    limits = Limits(mode.seconds, read_seconds=0)
    for workload in mode.workloads:
        turns(peers, workload, place, mode.rounds_of, limits, found, lambda peer: left_out(peer, workload, mode))
        yield found


def run_reads(peers: Iterable[Peer], mode: Mode, place: Place) -> Iterator[dict[str, Any]]:
    """Get and view of what all peers hold alike, by one process."""
    found = nothing()
    peers = [peer for peer in peers if not peer.on_disk_only]
    limits = Limits(SECONDS_BEFORE_READS, mode.seconds, warm_up=False)
    for workload in READS.values():
        turns(peers, workload, place, mode.rounds_of, limits, found, lambda peer: None)
        yield found


def run_larger(peers: Iterable[Peer], mode: Mode, place: Place, disk_folder: Path
               ) -> Iterator[dict[str, Any]]:
    """Four times as much data as memory: 1 KiB to 1,000 keys, from nothing, then read at random.

    Who does not get through it in the time has written less; what each wrote is in the results.
    """
    disk_folder.mkdir(parents=True, exist_ok=True)
    limit = mode.memory_limit
    shape = Workload(1024, 1000, 1, True, 4 * limit // 1024)
    limits = Limits(seconds=mode.larger_seconds, read_seconds=mode.seconds * 5, warm_up=False, memory_bytes=limit,
                    disk_folder=disk_folder)
    found = nothing() | {"memory_limit_bytes": limit}
    no_limit = "" if measure.can_limit() else "memory cannot be limited here: that takes a cgroup, and so root"

    def why_not(peer: Peer) -> Optional[str]:
        too_little = f"its interpreters alone take most of {limit // MIB} MiB" if limit < peer.least_memory else None
        return no_limit or peer.memory_only or too_little

    turns(peers, shape, place, mode.rounds_of, limits, found, why_not)
    yield found
