"""Dask's shuffle by one of its methods, CSV to CSV. Usage: shuffle_dask.py disk|tasks|p2p|shoal TABLE OUT SCRATCH"""

import sys

import dask
import dask.dataframe

PARTITIONS = 16


def shuffle(method: str, table: str, out: str) -> None:
    rows = dask.dataframe.read_csv(table, dtype=str, keep_default_na=False, blocksize="64MB")
    shuffled = rows.shuffle(on="carrier", npartitions=PARTITIONS, shuffle_method=method)
    shuffled.to_csv(out + "/*.csv", index=False)


def main() -> None:
    method, table, out, scratch = sys.argv[1:]
    dask.config.set({"temporary_directory": scratch})
    if method == "shoal":
        import shoal.dask

        shoal.dask.enable(folder=scratch)  # in the place of partd, where Dask's method is "disk"
        method = "disk"
    elif method == "disk":
        with dask.config.set(scheduler="processes", num_workers=2):
            shuffle(method, table, out)
        return
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="8GiB", dashboard_address=None,
                      local_directory=scratch) as cluster, Client(cluster):
        shuffle(method, table, out)


if __name__ == "__main__":
    main()
