"""The graph of a shuffle: every task that writes pieces, then one that gathers their names, then one a partition.

Each part is a function of this package and travels by its name, so that scheduler and workers need nothing but it
installed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dask.callbacks import Callback

from .exchange import Exchange, Options, Source
from .keeping import keep, opened

# The keys of the tasks `opened` and `gathered` begin by these and the exchange's name.
EXCHANGE = "shoal-exchange-"
ATTEMPTS = "shoal-attempts-"


def shuffle_graph(
    writes: Callable[[Any], Iterable[tuple[Any, ...]]],
    reads: Callable[[Any], Mapping[Any, tuple[Any, ...]]],
    options: Options,
) -> dict[Any, Any]:
    """A graph with a store of its own.

    Parameters
    ----------
    writes : callable
        Of the key of the exchange: a task for each input, which returns the attempts that it was.
    reads : callable
        Of the key of what `gathered` returns: the tasks of the partitions by their keys.
    """
    token = secrets.token_hex(8)
    exchange, attempts = (EXCHANGE + token,), (ATTEMPTS + token,)
    written = {("shoal-write-" + token, number): task for number, task in enumerate(writes(exchange))}
    return {
        exchange: (opened, Source.new(token, options)),
        **written,
        attempts: (gathered, exchange, list(written)),
        **reads(attempts),
    }


def gathered(exchange: Exchange, attempts: Iterable[bytes]) -> tuple[Exchange, bytes]:
    """The task after all that write. Those that read depend on it alone, and Dask may join them to what comes next."""
    return keep(exchange), b"".join(attempts)


class CloseStores(Callback):
    """Removes the stores of a graph when threads or processes have done with it."""

    def _finish(self, dsk: Mapping[Any, Any], state: Any, errored: bool) -> None:
        for key, task in dsk.items():
            if isinstance(key, tuple) and isinstance(key[0], str) and key[0].startswith(EXCHANGE):
                (source,) = task.args if hasattr(task, "args") else task[1:]
                source.close(errored)
