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
from tables import READS, SECONDS_BEFORE_READS, Mode, Peer, Workload

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
    read_seconds: float
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
                               RUN_SECONDS + limits.seconds, limits.memory_bytes)
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
    return outcome


def why_none(peer: Peer, workload: Workload, place: Place) -> Optional[str]:
    if not peer.is_there(place.build, place.python):
        return "not installed here; tools/compare installs it"
    return peer.why_not(workload)


def turns(peers: Iterable[Peer], workload: Workload, place: Place, rounds: int, limits: Limits, found: dict[str, Any],
          why_not: Callable[[Peer], Optional[str]]) -> None:
    """All rounds of one workload into `found`: samples, gaps with their reasons and, loudly, what was thrown out."""
    taking_part = []
    for peer in peers:
        reason = why_none(peer, workload, place) or why_not(peer)
        if reason is None:
            taking_part.append(peer)
        else:
            found["gaps"].append({"peer": peer.name, "workload": dataclasses.asdict(workload), "reason": reason})
    for turn in range(rounds if taking_part else 0):
        print(f"{workload.name}, round {turn + 1}", file=sys.stderr, flush=True)
        first = turn % len(taking_part)
        for peer in taking_part[first:] + taking_part[:first]:
            outcome = run_once(peer, workload, place, limits)
            found["settings"][peer.name] = {"version": outcome.pop("version", "?"), **outcome.pop("settings", {})}
            row = {"peer": peer.name, "workload": dataclasses.asdict(workload), "round": turn, **outcome}
            if outcome["error"]:
                print(f"THROWN OUT: {peer.title}: {workload.name}: {outcome['error']}", file=sys.stderr, flush=True)
                found["thrown_out"].append(row)
            else:
                found["samples"].append(row)


def nothing() -> dict[str, Any]:
    """What a benchmark fills. Each yields it again and again, so that what was measured is kept if it is ended."""
    return {"settings": {}, "samples": [], "gaps": [], "thrown_out": []}


def run_all(peers: Iterable[Peer], mode: Mode, place: Place) -> Iterator[dict[str, Any]]:
    found = nothing()
    peers = [peer for peer in peers if not peer.on_disk_only]
    limits = Limits(mode.seconds, mode.seconds)
    for workload in mode.workloads:
        turns(peers, workload, place, mode.rounds, limits, found, lambda peer: None)
        yield found


def run_reads(peers: Iterable[Peer], mode: Mode, place: Place) -> Iterator[dict[str, Any]]:
    """Get and view of what all peers hold alike, by one process."""
    found = nothing()
    peers = [peer for peer in peers if not peer.on_disk_only]
    limits = Limits(SECONDS_BEFORE_READS, mode.seconds, warm_up=False)
    for workload in READS.values():
        turns(peers, workload, place, mode.rounds, limits, found, lambda peer: None)
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
    turns(peers, shape, place, mode.rounds, limits, found, lambda peer: no_limit or peer.memory_only or None)
    yield found


def run_scale(peers: Iterable[Peer], mode: Mode, place: Place) -> Iterator[dict[str, Any]]:
    """shoal alone as keys and bytes grow; all whose processes write together as those grow beyond the cores."""
    found = nothing()
    peers = [peer for peer in peers if not peer.on_disk_only]
    for shape in mode.scale:
        among = peers if shape.processes > 1 else [peer for peer in peers if peer.name == "shoal"]
        limits = Limits(seconds=60 if shape.processes == 1 else mode.seconds, read_seconds=mode.seconds)
        turns(among, shape, place, mode.rounds, limits, found, lambda peer: None)
        yield found
