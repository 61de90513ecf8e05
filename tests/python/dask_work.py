"""What the tasks of tests/python/test_dask.py do: in a module of its own, so that workers find it.

As a program it shuffles and never ends: ``dask_work.py SCHEDULER FOLDER STARTED``.
"""

import os
import signal
import sys
import time

import pandas as pd


def parity(number):
    return number % 7


def spread(group):
    return group["value"].max() - group["value"].min()


def fail_once_shuffled(df):
    if len(df):  # not where Dask only asks for the type of the result
        raise RuntimeError("of the test")
    return df


def kill_own_worker_once(df, flag):
    """The first to come takes its worker with it, after others have written pieces."""
    if len(df):
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return df
        os.kill(os.getpid(), signal.SIGKILL)
    return df


def never_end(df, started):
    """Says that its partition was read, and stays."""
    if len(df):
        open(started, "w").close()
        while True:
            time.sleep(1)
    return df


def main(scheduler, folder, started):
    import dask
    import dask.dataframe as dd

    import shoal.dask

    shoal.dask.enable(folder=folder)
    frame = dd.from_pandas(pd.DataFrame({"key": range(1000)}), npartitions=4)
    with dask.config.set(scheduler=scheduler, num_workers=2):  # both shuffle on disk unless told otherwise
        frame.shuffle("key").map_partitions(never_end, started, meta=frame._meta).compute()


if __name__ == "__main__":
    main(*sys.argv[1:])
