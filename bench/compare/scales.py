"""What a record costs shoal as keys and bytes grow, and all peers as their processes do.

What the machine has no room for, in memory and on the disk, is a gap that says how much it would take.
"""

import dataclasses
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import measure
from appends import Limits, Place, nothing, turns
from tables import ROUNDS_IN_FILES, ROUNDS_OF_MOST_KEYS, Mode, Peer, Workload, workload

LONGEST_SECONDS = 1200  # a watchdog: all is appended here, however long it takes
KEY_RECORD_BYTES, BULK_RECORD_BYTES = 16, 1024  # of the workloads in which keys grow, and in which bytes do
MOST_KEYS = 100_000_000
FIRST_GUESS = 300  # bytes a key, until some are measured
IN_FILES_LIMIT = 4 << 30  # of memory, for data that do not fit there
SHARE = 0.9  # of what is free, that a run may take


def with_keys(keys: int) -> Workload:
    return Workload(KEY_RECORD_BYTES, keys, 1, True, max(keys, 1_000_000))


def with_gibibytes(gibibytes: int) -> Workload:
    return Workload(BULK_RECORD_BYTES, 10_000, 1, True, gibibytes << 20)


def free_memory(place: Place) -> float:
    return SHARE * min(measure.memory("MemAvailable"), shutil.disk_usage(place.memory_folder).free)


def no_room_for_keys(keys: int, place: Place, samples: list[dict[str, Any]]) -> Optional[str]:
    """By what the most keys so far have taken."""
    measured = [row for row in samples if row["workload"] == dataclasses.asdict(with_keys(row["workload"]["keys"]))]
    last = max(measured, key=lambda row: row["workload"]["keys"], default=None)
    a_key = last["whole_run"]["peak_bytes"] / last["workload"]["keys"] if last else FIRST_GUESS
    if a_key * keys <= free_memory(place):
        return None
    source = f"as with {last['workload']['keys']:,} keys" if last else "at a guess"
    return (f"{keys:,} keys take {a_key * keys / 1e9:.1f} GB of memory ({a_key:.0f} B a key, {source}), and a run may "
            f"have {free_memory(place) / 1e9:.1f} of this machine's {measure.memory('MemTotal') / 1e9:.1f} GB")


@dataclasses.dataclass(frozen=True)
class Room:
    """Where data of that many bytes find room: in memory, or in files beside little memory, or not."""

    limits: Limits
    reason: str = ""  # why there is none

    @classmethod
    def of(cls, payload_bytes: int, place: Place, disk_folder: Path) -> "Room":
        in_memory = Limits(seconds=LONGEST_SECONDS, read_seconds=0, warm_up=False)
        if 2 * payload_bytes + (1 << 30) <= free_memory(place):  # a third of the segments may be empty
            return cls(in_memory)
        in_files = dataclasses.replace(in_memory, memory_bytes=IN_FILES_LIMIT, disk_folder=disk_folder)
        size, needed = f"{payload_bytes >> 30} GiB", 1.1 * payload_bytes
        free = SHARE * shutil.disk_usage(disk_folder).free
        if needed > free:
            return cls(in_files, f"{size} do not fit into memory, and take {needed / 1e9:.0f} GB of the disk, of which "
                                 f"a run may have {free / 1e9:.0f}")
        if IN_FILES_LIMIT > free_memory(place):
            return cls(in_files, f"{size} go through {IN_FILES_LIMIT >> 30} GiB of memory, and a run may have "
                                 f"{free_memory(place) / 1e9:.1f} GB here")
        if not measure.can_limit():
            return cls(in_files, f"{size} do not fit into memory, and to limit that takes a cgroup, and so root")
        return cls(in_files)


def slow_here(peer: Peer) -> Optional[str]:
    return "it takes seconds a run; how it fares with more processes is among the appends" if peer.is_slow else None


def run_all(peers: Iterable[Peer], mode: Mode, place: Place, disk_folder: Path) -> Iterator[dict[str, Any]]:
    disk_folder.mkdir(parents=True, exist_ok=True)
    found = nothing()
    peers = [peer for peer in peers if not peer.on_disk_only]
    shoal = [peer for peer in peers if peer.name == "shoal"]
    in_memory = Limits(seconds=LONGEST_SECONDS, read_seconds=0, warm_up=False)
    for keys in mode.keys_to_scale:
        reason = no_room_for_keys(keys, place, found["samples"])
        rounds = ROUNDS_OF_MOST_KEYS if keys >= MOST_KEYS else mode.rounds
        turns(shoal, with_keys(keys), place, lambda peer: rounds, in_memory, found, lambda peer: reason)
        yield found
    for gibibytes in mode.gibibytes_to_scale:
        room = Room.of(gibibytes << 30, place, disk_folder)
        reason = room.reason or None
        rounds = min(mode.rounds, ROUNDS_IN_FILES) if room.limits.memory_bytes else mode.rounds
        turns(shoal, with_gibibytes(gibibytes), place, lambda peer: rounds, room.limits, found, lambda peer: reason)
        yield found
    limits = Limits(seconds=mode.seconds, read_seconds=0)
    for processes in mode.processes_to_scale:
        turns(peers, workload(processes=processes), place, mode.rounds_of, limits, found, slow_here)
        yield found
