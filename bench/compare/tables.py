"""The two tables that drive everything: who is measured, and on what. A peer is one entry here and one worker."""

import functools
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

HERE = Path(__file__).resolve().parent
MIB = 1 << 20


@dataclass(frozen=True)
class Workload:
    """What is appended."""

    record_bytes: int
    keys: int
    processes: int
    batched: bool
    records: int  # of all processes together, at most: the time of a phase bounds slow peers

    @property
    def name(self) -> str:
        size = f"{self.record_bytes} B" if self.record_bytes < 1024 else f"{self.record_bytes // 1024} KiB"
        people = "1 process" if self.processes == 1 else f"{self.processes} processes"
        keys = "1 key" if self.keys == 1 else f"{self.keys:,} keys"
        return f"{size}, {keys}, {people}, {'batched' if self.batched else 'one at a time'}"


def needs_no_reason(workload: Workload) -> Optional[str]:
    return None


def only_one_process(reason: str) -> Callable[[Workload], Optional[str]]:
    return lambda workload: reason if workload.processes > 1 else None


@functools.cache
def has_module(python: Path, module: str) -> bool:
    if not python.exists():
        return False
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class Peer:
    name: str
    title: str
    worker: tuple[str, ...]  # a program of the build, or "python" and a script with its arguments
    tuned: str = ""  # what it differs by from its defaults, and who advises that
    module: str = ""  # that a worker in Python needs
    is_limit: bool = False  # shown, and never ranked
    why_not: Callable[[Workload], Optional[str]] = field(default=needs_no_reason)  # the reason of a gap
    no_view: str = ""  # why a value can't be had without a copy
    is_slow: bool = False  # of the appends it has a part in Mode.slow_workloads alone
    least_memory: int = 0  # bytes, for interpreters
    memory_only: str = ""  # why it has no part where the data are larger than memory
    on_disk_only: bool = False  # it has a part there alone

    def command(self, build: Path, python: Path) -> list[str]:
        if self.worker[0] == "python":
            return [str(python), str(HERE / "workers" / self.worker[1]), *self.worker[2:]]
        return [str(build / "bench" / "compare" / self.worker[0])]

    def is_there(self, build: Path, python: Path) -> bool:
        if self.module:
            return has_module(python, self.module)
        return Path(self.command(build, python)[0]).exists()


PEERS = (
    Peer("memcpy", "memcpy (the limit)", ("compare_memcpy",),
         is_limit=True, no_view="it is a limit of copies",
         memory_only="it is the limit of memory"),
    Peer("uring", "io_uring, O_DIRECT (the limit)", ("compare_uring",), is_limit=True, on_disk_only=True),
    Peer("shoal", "shoal", ("compare_shoal",),
         tuned="nothing but the memory limit and the folder of files"),
    Peer("boost", "Boost.Interprocess map + mutex", ("compare_boost",),
         tuned="unordered_map and vectors by the segment's allocators as in the examples of its documentation, all "
               "buckets reserved; no room is left to tune the one lock that it offers for a map",
         no_view="the value may move as soon as the mutex is free", memory_only="its segment lies in memory"),
    Peer("lmdb", "LMDB", ("compare_lmdb",),
         tuned="as lmdb.h says of each flag: a writable map and no sync for speed, no read-ahead where data exceed "
               "memory; many puts a transaction"),
    Peer("rocksdb", "RocksDB merge", ("compare_rocksdb",),
         tuned="as its tuning guide and its pages on merge operators: no log, large write buffers, as many background "
               "threads as cores, batches, a bloom filter",
         why_not=only_one_process("one process may have a database open for writing"),
         no_view="a value that was merged is made anew by each get"),
    Peer("redis", "Redis APPEND", ("compare_redis",),
         tuned="as its pages on benchmarks, pipelining and persistence: a unix socket, pipelines, nothing saved",
         no_view="values come through a socket",
         memory_only="it keeps everything in memory"),
    Peer("files", "files, O_APPEND", ("compare_files",),
         tuned="open files are kept, a batch is sorted by key and written by writev",
         no_view="a file of many keys is not worth a mapping"),
    Peer("shoal_python", "shoal from Python", ("python", "partd_worker.py", "shoal"), module="shoal",
         is_slow=True, no_view="not measured here; a memoryview a record", memory_only="measured from C++"),
    Peer("partd_file", "partd.File", ("python", "partd_worker.py", "file"), module="partd",
         is_slow=True, least_memory=256 * MIB, no_view="partd reads a file"),
    Peer("partd_buffer", "partd.Buffer(Dict, File)", ("python", "partd_worker.py", "buffer"), module="partd",
         tuned="as its README composes it for speed, a dict before the files",
         is_slow=True, least_memory=256 * MIB, why_not=only_one_process("its dictionary lies in one process"),
         no_view="partd joins what it has"),
    Peer("partd_server", "partd.Server", ("python", "partd_worker.py", "server"), module="zmq",
         is_slow=True, no_view="values come through a socket", memory_only="it is a Buffer behind a socket"),
)
PEER_OF = {peer.name: peer for peer in PEERS}

# Payload of all processes together: so much that caches do not hold it, and little enough for 24 GiB with all copies.
RECORDS = {64: 2_000_000, 1024: 262_144, 65536: 8_192}
SIZES = (64, 1024, 65536)
KEYS = (1, 100, 10_000, 1_000_000)
PROCESSES = (1, 2, 4)


def workload(record_bytes: int = 64, keys: int = 10_000, processes: int = 2, batched: bool = True) -> Workload:
    return Workload(record_bytes, keys, processes, batched, RECORDS[record_bytes])


def grid() -> list[Workload]:
    """Every combination but 64 KiB in a million keys, which takes 64 GiB to give each key one record."""
    return [
        workload(size, keys, processes, batched)
        for size in SIZES for keys in KEYS for processes in PROCESSES for batched in (True, False)
        if not (size == 65536 and keys == 1_000_000)
    ]


def star() -> list[Workload]:
    """The middle, and from there each axis by itself; one at a time only that of processes."""
    found = [workload(record_bytes=size) for size in SIZES]
    found += [workload(keys=keys) for keys in KEYS]
    found += [workload(processes=processes, batched=batched) for batched in (True, False) for processes in PROCESSES]
    return list(dict.fromkeys(found))


def few() -> list[Workload]:
    """What tells most of a peer that takes seconds a run."""
    return [workload(processes=1), workload(), workload(record_bytes=65536), workload(processes=1, batched=False)]


# So few records that all peers hold the same when they are read. One process appends: then all peers have a figure.
READS = {
    "large values": Workload(1024, 100, 1, True, 25_600),
    "small keys at random": Workload(64, 50_000, 1, True, 100_000),
}
SECONDS_BEFORE_READS = 20.0

PROCESSES_TO_SCALE = (1, 2, 4, 8, 16)
ROUNDS_OF_MOST_KEYS = 1  # a hundred million take minutes a round; the report says so
ROUNDS_IN_FILES = 3  # so do data of which most is in files


@dataclass(frozen=True)
class Mode:
    name: str
    rounds: int
    seconds: float  # the longest that each phase of a run goes on
    workloads: tuple[Workload, ...]
    slow_workloads: tuple[Workload, ...]  # of those, what slow peers have a part in
    tables: tuple[int, ...]  # rows to shuffle
    slow_rounds: int  # of slow peers; of shufflers with a larger table than the first it is 1
    longest_shuffle: float  # seconds; what would take longer is a gap
    memory_limit: int  # bytes; the data are four times as many
    larger_seconds: float  # the longest that appending those goes on
    keys_to_scale: tuple[int, ...]
    gibibytes_to_scale: tuple[int, ...]
    processes_to_scale: tuple[int, ...]
    arenas: tuple[int, ...]  # MiB

    def rounds_of(self, peer: Peer) -> int:
        return max(self.slow_rounds, 1) if peer.is_slow else self.rounds


MODES = {
    "smoke": Mode(
        "smoke", rounds=1, seconds=0.02,
        workloads=(Workload(64, 100, 2, True, 20_000), Workload(64, 100, 1, False, 2_000)),
        slow_workloads=(Workload(64, 100, 2, True, 20_000), Workload(64, 100, 1, False, 2_000)),
        tables=(20_000,), slow_rounds=0, longest_shuffle=60, memory_limit=128 * MIB, larger_seconds=0.3,
        keys_to_scale=(1000,), gibibytes_to_scale=(), processes_to_scale=(), arenas=(16,)),
    "quick": Mode(
        "quick", rounds=3, seconds=0.1, workloads=tuple(star()), slow_workloads=tuple(few()),
        tables=(336_776,), slow_rounds=1, longest_shuffle=60, memory_limit=96 * MIB, larger_seconds=2,
        keys_to_scale=(1000, 10_000, 100_000, 1_000_000), gibibytes_to_scale=(1,),
        processes_to_scale=PROCESSES_TO_SCALE[::2], arenas=(16, 64, 256, 1024)),
    "full": Mode(
        "full", rounds=5, seconds=0.1, workloads=tuple(grid()), slow_workloads=tuple(star()),
        tables=(5_000_000, 50_000_000), slow_rounds=5, longest_shuffle=120, memory_limit=256 * MIB, larger_seconds=15,
        keys_to_scale=(1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000),
        gibibytes_to_scale=(1, 2, 4, 8, 16, 32), processes_to_scale=PROCESSES_TO_SCALE,
        arenas=(16, 64, 256, 1024, 4096)),
}
