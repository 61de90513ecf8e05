"""Sorts a Dask data frame by a column in less memory than it has: what there is no room for is spilled.

Usage: dask_shuffle.py [ROWS [MEMORY]]
"""

import sys

import dask.dataframe as dd
import numpy as np
import pandas as pd

import shoal.dask

PARTITIONS = 20


def visits(number, rows):
    """A partition of the data frame: each is made by a task, so that they are never in memory together."""
    random = np.random.default_rng(number)
    return pd.DataFrame({"user": random.integers(1_000_000, size=rows), "seconds": random.exponential(30.0, rows)})


def main(rows=2_000_000, memory="16 MB"):
    frame = dd.from_map(visits, range(PARTITIONS), rows=rows // PARTITIONS)
    size = frame.memory_usage(deep=True).sum().compute()

    with shoal.dask.shuffle(memory_limit=memory, codec="lz4"):
        by_user = frame.set_index("user", shuffle_method="disk")
        sizes = by_user.map_partitions(len).compute()
        longest = by_user.groupby("user")["seconds"].sum().nlargest(3).compute()

    print(f"{size / 1e6:.0f} MB went through {memory} of memory, into {len(sizes)} partitions of {sum(sizes)} rows")
    print(longest)


if __name__ == "__main__":
    main(*(kind(argument) for kind, argument in zip((int, str), sys.argv[1:])))
