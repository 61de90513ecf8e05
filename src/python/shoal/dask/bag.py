"""`Bag.groupby` by an exchange: Dask's own two halves of it, which append to a part and get from it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from dask.bag.core import collect, partition
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from .exchange import Exchange, Options
from .graph import shuffle_graph
from .keeping import keep


class Lists:
    """An exchange as that part of lists."""

    def __init__(self, exchange: Exchange, attempts: bytes = b"") -> None:
        self._exchange = exchange
        self.attempts = attempts

    def append(self, lists: Mapping[int, list[Any]], fsync: bool = False) -> None:
        pieces = {number: [pickle.dumps(values, pickle.HIGHEST_PROTOCOL)] for number, values in lists.items()}
        self.attempts += self._exchange.write(pieces)

    def get(self, number: int, lock: bool = True) -> list[Any]:
        return list(chain.from_iterable(map(pickle.loads, self._exchange.read(number, self.attempts))))


def write(grouper: Any, sequence: Iterable[Any], npartitions: int, blocksize: int, exchange: Exchange) -> bytes:
    """Sends each value to the partition of its group."""
    lists = Lists(keep(exchange))
    partition(grouper, sequence, npartitions, lists, blocksize)
    return lists.attempts


def read(grouper: Any, number: int, gathered: tuple[Exchange, bytes]) -> list[tuple[Any, list[Any]]]:
    """The groups of a partition."""
    exchange, attempts = gathered
    return collect(grouper, number, Lists(keep(exchange), attempts), None)


def groupby_disk(options: Options) -> Callable[..., Any]:
    """What stands for Dask's function of that name."""

    def groupby_disk(b: Any, grouper: Any, npartitions: int | None = None, blocksize: int = 2**20) -> Any:
        count = npartitions or b.npartitions
        name = "groupby-collect-" + tokenize(b, grouper, count, blocksize)
        graph = shuffle_graph(
            lambda exchange: ((write, grouper, key, count, blocksize, exchange) for key in b.__dask_keys__()),
            lambda gathered: {(name, number): (read, grouper, number, gathered) for number in range(count)},
            options,
        )
        return type(b)(HighLevelGraph.from_collections(name, graph, dependencies=[b]), name, count)

    return groupby_disk
