"""Dask's shuffle on disk by shoal and by the real partd, and in memory by tasks, in turns; the medians.

Usage: shuffles.py [--rows N] [--partitions N] [--turns N] [--schedulers NAME,...]
"""

import argparse
import contextlib
import functools
import os
import platform
import resource
import statistics
import subprocess
import time

import dask
import dask.dataframe as dd
import numpy
import pandas
import partd

import shoal.dask

WORDS = numpy.array([f"word {number}" for number in range(1000)], object)


def rows_of(number, count):
    """An input partition: int, float, int, short string."""
    random = numpy.random.default_rng(number)
    return pandas.DataFrame(
        {
            "key": random.integers(1_000_000, size=count),
            "value": random.random(count),
            "number": random.integers(1000, size=count),
            "text": WORDS[random.integers(len(WORDS), size=count)],
        }
    )


def processor_seconds():
    """Of this process and its children that have ended, which those of a computation have."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def seconds(frame, method, way, count):
    """Of a shuffle whose partitions are counted where they are made: by the clock, and of processors."""
    if method:
        frame = frame.shuffle("key", shuffle_method=method)
    begun = time.perf_counter(), processor_seconds()
    with way():
        rows = frame.map_partitions(len).compute()
    taken = time.perf_counter() - begun[0], processor_seconds() - begun[1]
    assert sum(rows) == count
    return taken


# First what has no shuffle, and bears the cost of what a process does but once.
WAYS = {
    "without a shuffle": (None, contextlib.nullcontext),
    "shoal, disk": ("disk", shoal.dask.shuffle),
    "partd, disk": ("disk", contextlib.nullcontext),
    "tasks": ("tasks", contextlib.nullcontext),
}


def main():
    arguments = argparse.ArgumentParser(description="Dask's shuffle by shoal beside those by partd and tasks")
    arguments.add_argument("--rows", type=int, default=500_000, help="(default: 500,000; the aim is for 5 million)")
    arguments.add_argument("--partitions", type=int, default=50, help="(default: 50; the aim is set for 200)")
    arguments.add_argument("--turns", type=int, default=3, help="of which the medians are shown (default: 3)")
    arguments.add_argument("--schedulers", default="threads,processes", help="(default: threads,processes)")
    given = arguments.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"commit {commit}, CPython {platform.python_version()}, {platform.release()}, {os.cpu_count()} cores,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f}, dask {dask.__version__}, pandas {pandas.__version__},", end=" ")
    print(f"partd {partd.__version__}, medians of {given.turns} turns")
    print(f"{given.rows} rows, {given.partitions} partitions to {given.partitions}")

    each = given.rows // given.partitions
    frame = dd.from_map(functools.partial(rows_of, count=each), range(given.partitions))
    for scheduler in given.schedulers.split(","):
        found = {name: [] for name in WAYS}
        with dask.config.set(scheduler=scheduler, num_workers=os.cpu_count()):
            for _ in range(given.turns):
                for name, (method, way) in WAYS.items():
                    found[name].append(seconds(frame, method, way, each * given.partitions))
        print(f"\n{scheduler:22} seconds, and of processors")
        for name, taken in found.items():
            clock, processor = (statistics.median(which) for which in zip(*taken))
            print(f"  {name:20} {clock:8.2f} {processor:8.2f}")


if __name__ == "__main__":
    main()
