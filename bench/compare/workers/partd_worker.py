"""partd, and shoal's stand-in for it, in one workload: prints the same JSON as the C++ workers (see run.hpp).

Usage: partd_worker.py file|buffer|server|shoal --record-bytes N ... (bench/compare starts it)
"""

import argparse
import json
import multiprocessing
import multiprocessing.connection
import resource
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy

BATCH = 1024
DISTINCT = 64
CHECKED_BYTES = 8 << 20  # of values that one call of the check gets, on average


def split_mix(seed: int, count: int) -> numpy.ndarray:
    """The first numbers of SplitMix64, as of bench::Random."""
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))


def make_picks(count: int, keys: int, worker: int) -> list[int]:
    numbers = split_mix(0x5F0A1 + worker, count)
    return (((numbers >> numpy.uint64(32)) * numpy.uint64(keys)) >> numpy.uint64(32)).tolist()


def make_records(record_bytes: int) -> list[bytes]:
    words = split_mix(record_bytes, DISTINCT * record_bytes // 8).tobytes()
    return [words[at : at + record_bytes] for at in range(0, len(words), record_bytes)]


def open_file(folder: Path, task: argparse.Namespace) -> Any:
    import partd

    return partd.File(str(folder / "partd"))


def open_buffer(folder: Path, task: argparse.Namespace) -> Any:
    import partd

    memory = task.memory_bytes / 4 if task.memory_bytes else 2e9
    return partd.Buffer(partd.Dict(), partd.File(str(folder / "partd")), available_memory=memory)


def open_client(folder: Path, task: argparse.Namespace) -> Any:
    import partd

    return partd.Client((folder / "address").read_text())


def open_shoal(folder: Path, task: argparse.Namespace) -> Any:
    import shoal

    return shoal.Store(str(folder / "store"), memory_limit_bytes=ample(task), arena_dir=str(folder))  # goes with it


def ample(task: argparse.Namespace) -> int:
    return task.memory_bytes or (1 << 30) + 6 * task.records * task.record_bytes + task.keys * 512


OPENERS: dict[str, Callable[[Path, argparse.Namespace], Any]] = {
    "file": open_file,
    "buffer": open_buffer,
    "server": open_client,
    "shoal": open_shoal,
}
BATCHED = {"batched": "append() of a dict of 1,024 records, those of a key joined"}
SETTINGS = {
    "file": BATCHED,
    "buffer": {"available_memory": "2e9, or a quarter of the limit"} | BATCHED,
    "server": {"of": "Buffer(Dict, File), available_memory 2e9"} | BATCHED,
    "shoal": BATCHED,
}
ONE_PROCESS = {"buffer": "partd.Buffer's dictionary lies in one process"}


def serve(folder: Path, memory: float, ready: Any) -> None:
    import partd

    kept = partd.Buffer(partd.Dict(), partd.File(str(folder / "partd")), available_memory=memory)
    server = partd.Server(kept, hostname="127.0.0.1")
    (folder / "address").write_text(server.address.decode())
    ready.set()
    while True:
        time.sleep(60)


class Hand:
    """What one process does with the peer."""

    def __init__(self, kind: str, task: argparse.Namespace) -> None:
        self.kind, self.task = kind, task
        self.part = OPENERS[kind](Path(task.folder), task)

    def append(self, pairs: list[tuple[str, bytes]]) -> None:
        grouped: dict[str, list[bytes]] = {}
        for key, record in pairs:
            grouped.setdefault(key, []).append(record)
        self.part.append({key: b"".join(records) for key, records in grouped.items()})

    def finish(self) -> None:
        """Waits until what was appended is acknowledged: partd.Client does not wait for the last one."""
        if self.kind == "server":
            self.part.get(["key-00000000"])

    def get(self, key: str) -> bytes:
        if self.kind == "shoal":
            return self.part.get(key)
        return self.part.get([key])[0]

    def get_all(self, keys: list[str]) -> list[bytes]:
        return [self.part.get(key) for key in keys] if self.kind == "shoal" else self.part.get(keys)

    def empty(self) -> None:
        self.part.drop()


def append_for(task: argparse.Namespace, hand: Hand, keys: list[str], picks: list[int], records: list[bytes]) -> int:
    stride = BATCH if task.batched else 1
    end = time.perf_counter() + task.seconds
    at = 0
    while at < len(picks) and (at == 0 or time.perf_counter() < end):
        stop = min(at + stride, len(picks))
        hand.append([(keys[picks[n]], records[n % DISTINCT]) for n in range(at, stop)])
        at = stop
    hand.finish()
    return at


def work(kind: str, task: argparse.Namespace, worker: int, barrier: Any, found: Any) -> None:
    hand = Hand(kind, task)
    keys = [f"key-{key:08}" for key in range(task.keys)]
    picks = make_picks(task.records // task.processes, task.keys, worker)
    records = make_records(task.record_bytes)
    for _ in range(1 + task.warm_up):
        barrier.wait()
        cpu = time.process_time()
        begun = time.monotonic()
        done = append_for(task, hand, keys, picks, records)
        found.put((worker, done, begun, time.monotonic(), time.process_time() - cpu))
        barrier.wait()


def judge(task: argparse.Namespace, hand: Hand, keys: list[str], counts: list[int]) -> tuple[str, list[str]]:
    """What is wrong, and the keys that hold something: as a multiset, each key has the records that were appended."""
    records = make_records(task.record_bytes)
    number_of = {record: number for number, record in enumerate(records)}
    expected: dict[int, list[int]] = {}
    for worker, count in enumerate(counts):
        for at, pick in enumerate(make_picks(count, task.keys, worker)):
            expected.setdefault(pick, []).append(at % DISTINCT)
    picks = list(expected)
    values_a_call = max(1, CHECKED_BYTES * len(picks) // (sum(counts) * task.record_bytes))
    for first in range(0, len(picks), values_a_call):
        some = picks[first : first + values_a_call]
        for pick, value in zip(some, hand.get_all([keys[pick] for pick in some])):
            value, numbers = bytes(value), expected[pick]
            got = [number_of.get(value[at : at + task.record_bytes]) for at in range(0, len(value), task.record_bytes)]
            if None in got or sorted(got) != sorted(numbers):
                return f"{keys[pick]} holds {len(got)} records, not the {len(numbers)} that were appended", []
    return "", [keys[pick] for pick in picks]


def read_for(task: argparse.Namespace, hand: Hand, held: list[str]) -> dict[str, float]:
    order = [held[int(number) % len(held)] for number in split_mix(0xBEAD, 4096)]
    operations = size = 0
    cpu, begun = time.process_time(), time.perf_counter()
    while time.perf_counter() - begun < task.read_seconds:
        size += len(hand.get(order[operations % len(order)]))
        operations += 1
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "operations": operations, "bytes": size, "cpu_seconds": time.process_time() - cpu}


class Crew:
    """The processes that append; with one, this process itself."""

    def __init__(self, kind: str, task: argparse.Namespace, keys: list[str]) -> None:
        self.kind, self.task, self.keys = kind, task, keys
        self.alone = kind in ONE_PROCESS
        if self.alone:
            if task.processes > 1:
                raise RuntimeError(ONE_PROCESS[kind])
            self.picks = make_picks(task.records, task.keys, 0)
            self.records = make_records(task.record_bytes)
            return
        context = multiprocessing.get_context("fork")
        self.barrier, self.found = context.Barrier(task.processes + 1, timeout=120), context.Queue()
        self.workers = [
            context.Process(target=work, args=(kind, task, worker, self.barrier, self.found), daemon=True)
            for worker in range(task.processes)
        ]
        for worker in self.workers:
            worker.start()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """A worker that is killed, for memory say, ends the measurement at once: the others wait for it in vain."""
        running = list(self.workers)
        while running:
            multiprocessing.connection.wait([worker.sentinel for worker in running])
            if any(worker.exitcode for worker in running):
                self.barrier.abort()
                return
            running = [worker for worker in running if worker.exitcode is None]

    def round(self, hand: Hand) -> tuple[dict[str, float], list[int]]:
        if self.alone:
            cpu, begun = time.process_time(), time.monotonic()
            counts = [append_for(self.task, hand, self.keys, self.picks, self.records)]
            seconds, used = time.monotonic() - begun, time.process_time() - cpu
        else:
            try:
                self.barrier.wait()
                self.barrier.wait()
            except threading.BrokenBarrierError:
                codes = ", ".join(str(worker.exitcode) for worker in self.workers)
                raise RuntimeError(f"a process that appends has ended or hangs; exit codes: {codes}") from None
            rows = sorted(self.found.get(timeout=60) for _ in self.workers)
            counts = [row[1] for row in rows]
            seconds = max(row[3] for row in rows) - min(row[2] for row in rows)
            used = sum(row[4] for row in rows)
        size = sum(counts) * self.task.record_bytes
        return {"seconds": seconds, "operations": sum(counts), "bytes": size, "cpu_seconds": used}, counts


def measure(kind: str, task: argparse.Namespace) -> dict[str, Any]:
    keys = [f"key-{key:08}" for key in range(task.keys)]
    helper = None
    context = multiprocessing.get_context("fork")
    if kind == "server":
        ready = context.Event()
        helper = context.Process(target=serve, args=(Path(task.folder), 2e9, ready), daemon=True)
        helper.start()
        if not ready.wait(20):
            raise RuntimeError("partd.Server did not start")
    if kind == "shoal":
        open_shoal(Path(task.folder), task)
    crew = Crew(kind, task, keys)
    hand = Hand(kind, task)
    timings = {}
    if task.warm_up:
        crew.round(hand)
        hand.empty()
    timings["append"], counts = crew.round(hand)
    error, held = judge(task, hand, keys, counts)
    if not error and task.read_seconds > 0:
        timings["get"] = read_for(task, hand, held)
    if helper is not None:
        helper.terminate()
    return {"error": error, "keys_held": len(held), "timings": timings}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=OPENERS)
    for name in ("record-bytes", "keys", "records", "processes", "batched", "memory-bytes", "warm-up"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("seconds", "read-seconds"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--folder", required=True)
    task = parser.parse_args()
    package = "shoal" if task.kind == "shoal" else "partd"
    outcome: dict[str, Any] = {"error": "", "keys_held": 0, "timings": {}}
    try:
        outcome = measure(task.kind, task)
    except Exception as failure:  # whatever it is, it is told and there is no figure
        outcome["error"] = f"{type(failure).__name__}: {failure}"
    outcome |= {"version": version(package), "settings": SETTINGS[task.kind]}
    json.dump(outcome, sys.stdout)
    print()
    return 1 if outcome["error"] else 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sys.exit(main())
