"""The graph of a shuffle: every task that writes pieces, then one that gathers their names, then one a partition.

Each part is a function of this package and travels by its name, so that scheduler and workers need nothing but it
installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from dask.callbacks import Callback

from .exchange import Options, Source
from .keeping import opened

_PREFIX = "shoal-exchange-"
_sources: WeakValueDictionary[str, Source] = WeakValueDictionary()


def shuffle_graph(
    writes: Callable[[Any], Iterable[tuple[Any, ...]]],
    reads: Callable[[Any, Any], Mapping[Any, tuple[Any, ...]]],
    options: Options,
) -> dict[Any, Any]:
    """A graph with a store of its own.

    Parameters
    ----------
    writes : callable
        Of the key of the exchange: a task for each input, which returns the attempts that it was.
    reads : callable
        Of the keys of the exchange and of all attempts: the tasks of the partitions by their keys.
    """
    source = Source(options)
    exchange = (_PREFIX + source.name,)
    _sources[exchange[0]] = source
    graph: dict[Any, Any] = {exchange: (opened, source, os.getpid())}
    written = {("shoal-write-" + source.name, number): task for number, task in enumerate(writes(exchange))}
    attempts = ("shoal-attempts-" + source.name,)
    return {**graph, **written, attempts: (b"".join, list(written)), **reads(exchange, attempts)}


class CloseStores(Callback):
    """Removes the stores of a graph when threads or processes have done with it: an error's traceback would hold it."""

    def _finish(self, dsk: Mapping[Any, Any], state: Any, errored: bool) -> None:
        for key in dsk:
            if isinstance(key, tuple) and isinstance(key[0], str) and key[0].startswith(_PREFIX):
                source = _sources.get(key[0])
                if source is not None:
                    source.close()
