"""Shuffles of data frames by an exchange, for Dask's that plans its queries and for the one of before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pandas as pd

from . import frames
from .exchange import Exchange, Options
from .graph import shuffle_graph
from .keeping import keep


def write(df: pd.DataFrame, column: Any, partitions: Collection[int], exchange: Exchange) -> bytes:
    """The task of an input."""
    return frames.write(df, column, partitions, keep(exchange))


def read(gathered: tuple[Exchange, bytes], number: int, meta: pd.DataFrame) -> pd.DataFrame:
    """The task of a partition."""
    exchange, attempts = gathered
    return frames.read(keep(exchange), number, meta, attempts)


def frame_graph(
    name: str, inputs: Iterable[Any], column: Any, partitions: Collection[int], meta: pd.DataFrame, options: Options
) -> dict[Any, Any]:
    """The graph whose results are (name, 0), (name, 1) and so on."""
    return shuffle_graph(
        lambda exchange: ((write, key, column, partitions, exchange) for key in inputs),
        lambda gathered: {(name, at): (read, gathered, number, meta) for at, number in enumerate(partitions)},
        options,
    )


def rearrange_by_column_disk(options: Options, original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for the function of that name, in Dask that does not plan."""
    from dask.base import tokenize
    from dask.dataframe.core import new_dd_object
    from dask.highlevelgraph import HighLevelGraph

    def rearrange_by_column_disk(df: Any, column: Any, npartitions: int | None = None, compute: bool = False) -> Any:
        if type(df._meta) is not pd.DataFrame:
            return original(df, column, npartitions, compute)
        count = npartitions or df.npartitions
        name = "shuffle-collect-" + tokenize(df, column, count)
        graph = frame_graph(name, df.__dask_keys__(), column, range(count), df._meta, options)
        layers = HighLevelGraph.from_collections(name, graph, dependencies=[df])
        return new_dd_object(layers, name, df._meta, (None,) * (count + 1))

    return rearrange_by_column_disk
