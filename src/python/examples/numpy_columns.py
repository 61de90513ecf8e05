"""Columns of numbers that grow, read as NumPy's arrays where they lie.

Three sensors append blocks of readings; none of it is copied by Python, on its way in or out.
"""

import tempfile

import numpy as np

import shoal

random = np.random.default_rng(1)


def column(store, key):
    """The blocks of a column, each an array on the store's own memory."""
    return [np.frombuffer(piece) for piece in store.view_records(key)]


with tempfile.TemporaryDirectory() as folder, shoal.Store(folder + "/readings", temporary=True) as store:
    for block in range(100):
        time = np.arange(1000.0) + 1000 * block
        store.append({f"sensor {number}": random.normal(number, 1.0, 1000) for number in range(3)} | {"time": time})

    print("columns:", sorted(key.decode() for key in store))
    for number in range(3):
        blocks = column(store, f"sensor {number}")
        values = sum(len(block) for block in blocks)
        print(f"sensor {number}: {values} values, mean {sum(block.sum() for block in blocks) / values:.1f}")

    # As one array: a single copy, into memory of one's own.
    time = np.empty(store.size("time").bytes // 8)
    store.get_into("time", time)
    print("time goes up:", bool((np.diff(time) == 1).all()))
