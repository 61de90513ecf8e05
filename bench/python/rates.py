"""What shoal and the real partd do in the same run, taken in turns; the medians, each beside its limit.

Usage: rates.py [--turns N]
"""

import argparse
import functools
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import partd

import shoal
import shoal.partd

MIB = 1024 * 1024
SMALL = {f"partition {number}": os.urandom(64) for number in range(100)}
LARGE = {f"partition {number}": os.urandom(10_000) for number in range(1000)}
LARGE_BYTES = sum(map(len, LARGE.values()))
TENTHS = [{f"partition {number}": os.urandom(100_000) for number in range(64)} for _ in range(10)]


def seconds(deed, times):
    begun = time.perf_counter()
    for _ in range(times):
        deed()
    return time.perf_counter() - begun


def in_process(deed, times, phases, taken):
    seconds(deed, times)  # maps memory, as in a process that has been at work for a while
    phases.wait()
    phases.wait()  # between the two the store is emptied
    taken.put(seconds(deed, times))


def in_two_processes(store, deed, times):
    """Seconds of the slower one."""
    context = multiprocessing.get_context("fork")
    phases, taken = context.Barrier(3, timeout=60), context.Queue()
    workers = [context.Process(target=in_process, args=(deed, times, phases, taken)) for _ in range(2)]
    for worker in workers:
        worker.start()
    phases.wait()
    store.drop()
    phases.wait()
    slowest = max(taken.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return slowest


class Places:
    """A store, and partd's own, made anew for each measurement, each in memory but for partd's files."""

    def __init__(self, folder):
        self.folder = folder
        self.store = shoal.Store.in_memory(memory_limit_bytes=3 * 1024 * MIB)

    def shoal(self, fill):
        """Empty, its memory real and mapped."""
        fill(self.store)
        self.store.drop()
        return self.store

    def dict(self):
        return partd.Dict()

    def file(self):
        shutil.rmtree(self.folder / "file", ignore_errors=True)
        return partd.File(str(self.folder / "file"))

    def buffer(self):
        return partd.Buffer(partd.Dict(), self.file(), available_memory=1e9)


def appends(places, mapping, times, file_times):
    """Seconds a call, by who did it."""
    def repeat(store):
        for _ in range(times):
            store.append(mapping)

    found = {}
    store = places.shoal(repeat)
    found["shoal"] = seconds(lambda: store.append(mapping), times) / times
    store.drop()
    found["shoal, two processes"] = in_two_processes(store, lambda: store.append(mapping), times) / times / 2
    for name, made, count in (
        ("shoal.partd.File", shoal.partd.File, times),
        ("partd.Dict", places.dict, times),
        ("partd.Buffer(Dict, File)", places.buffer, times),
        ("partd.File", places.file, file_times),
    ):
        with made() as part:
            part.append(mapping)
            part.drop()
            found[name] = seconds(lambda: part.append(mapping), count) / count
    return found


def single_appends(places, times):
    value = os.urandom(64)
    store = places.shoal(lambda store: [store.append("key", value) for _ in range(times)])
    append = store.append
    return {"shoal": seconds(functools.partial(append, "key", value), times) / times}


def gets(places):
    """Values of ten records: what was appended once partd.Dict hands out again without a copy."""
    keys = list(TENTHS[0])
    store = places.shoal(lambda store: [store.append(tenth) for tenth in TENTHS])
    part = partd.Dict()
    for tenth in TENTHS:
        store.append(tenth)
        part.append(tenth)
    source, target = numpy.zeros(1_000_000, numpy.uint8), numpy.zeros(1_000_000, numpy.uint8)
    deeds = {
        "shoal": lambda: [len(store.get(key)) for key in keys],
        "partd.Dict": lambda: [len(part.get([key])[0]) for key in keys],
        "shoal, a list": lambda: store.get(keys),
        "partd.Dict, a list": lambda: part.get(keys),
        "shoal, view": lambda: [store.view(key) for key in keys],
        "memcpy in a cache": lambda: [numpy.copyto(target, source) for key in keys],
    }
    return {name: seconds(deed, 3) / 3 / len(keys) for name, deed in deeds.items()}


def copies(times):
    """As long as one call with LARGE would take if it only copied, to memory that is mapped and not in a cache."""
    values = [numpy.frombuffer(value, numpy.uint8) for value in LARGE.values()]
    target = numpy.ones(times * LARGE_BYTES, numpy.uint8)

    def copy():
        at = 0
        for _ in range(times):
            for value in values:
                target[at : at + 10_000] = value
                at += 10_000

    copy()
    return seconds(copy, 1) / times


def medians(turns, measure):
    found = [measure() for _ in range(turns)]
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def main():
    arguments = argparse.ArgumentParser(description="shoal for Python beside the real partd")
    arguments.add_argument("--turns", type=int, default=5, help="of which the medians are shown (default: 5)")
    turns = arguments.parse_args().turns
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"commit {commit}, CPython {platform.python_version()}, {platform.release()}, {os.cpu_count()} cores,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f}, partd {partd.__version__}, medians of {turns} turns")

    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder))
        print("\nappend of 100 keys with 64 B, million records/s")
        for name, taken in medians(turns, lambda: appends(places, SMALL, 2000, 20)).items():
            print(f"  {name:28} {100 / taken / 1e6:8.3f}")
        print("\nappend of 1,000 keys with 10 kB, GB/s")
        found = medians(turns, lambda: {**appends(places, LARGE, 10, 2), "memcpy": copies(10)})
        for name, taken in found.items():
            print(f"  {name:28} {LARGE_BYTES / taken / 1e9:8.3f}")
        print("\nappend of one record of 64 B, ns a call")
        for name, taken in medians(turns, lambda: single_appends(places, 200_000)).items():
            print(f"  {name:28} {taken * 1e9:8.0f}")
        print("\nget of a value of 1 MB, GB/s")
        for name, taken in medians(turns, lambda: gets(places)).items():
            print(f"  {name:28} {1e6 / taken / 1e9:8.2f}")


if __name__ == "__main__":
    main()
