"""Dask's shuffle on disk by shoal and by the real partd, and in memory by tasks, in turns; the medians.

Usage: shuffles.py [--rows N] [--partitions N] [--turns N] [--schedulers NAME,...]
"""

import argparse
import contextlib
import functools
import os
import platform
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


def seconds(frame, method, way, count):
    """Of a shuffle whose partitions are counted where they are made."""
    shuffled = frame.shuffle("key", shuffle_method=method)
    begun = time.perf_counter()
    with way():
        rows = shuffled.map_partitions(len).compute()
    taken = time.perf_counter() - begun
    assert sum(rows) == count
    return taken


WAYS = {
    "shoal, disk": ("disk", shoal.dask.shuffle),
    "partd, disk": ("disk", contextlib.nullcontext),
    "tasks": ("tasks", contextlib.nullcontext),
    "without a shuffle": (None, contextlib.nullcontext),
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
                    if method:
                        taken = seconds(frame, method, way, each * given.partitions)
                    else:
                        begun = time.perf_counter()
                        frame.map_partitions(len).compute()
                        taken = time.perf_counter() - begun
                    found[name].append(taken)
        print(f"\n{scheduler}, seconds")
        for name, taken in found.items():
            print(f"  {name:20} {statistics.median(taken):8.2f}")


if __name__ == "__main__":
    main()
