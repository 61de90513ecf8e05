"""How long a process keeps the store of a shuffle open: losing it costs mapping its memory anew, or the store itself.

In the process that has the graph, the graph does that. A process of a pool, whose every task unpickles the exchange
anew, keeps it until the store is gone, or the process. A worker of distributed keeps it for as long as it has a
result of that shuffle, in memory or spilled: so where all who kept the store are killed no result is left either, and
the scheduler has all of the shuffle done again.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .exchange import Exchange, Source, attached

_LOOK_MS = 200
_of_pool: dict[str, Exchange] = {}
_of_workers: set[tuple[str, str]] = set()


def opened(source: Source, made_by: int) -> Exchange:
    """The task that all others of a shuffle get its exchange from.

    Parameters
    ----------
    source : Source
    made_by : int
        The process that has made the graph.
    """
    if made_by == os.getpid() and current_worker() is None:
        return source.exchange()
    return keep(attached(source.name, source.path, source.store))


def keep(exchange: Exchange) -> Exchange:
    """Has this process keep it, and gives it back: at the start of every task."""
    worker = current_worker()
    if worker is None:
        if exchange.name not in _of_pool:
            for name in [name for name, kept in list(_of_pool.items()) if not os.path.exists(kept.store.path)]:
                _of_pool.pop(name, None)
            _of_pool[exchange.name] = exchange
    elif (worker.address, exchange.name) not in _of_workers:
        _of_workers.add((worker.address, exchange.name))
        worker.loop.add_callback(_keep_in_worker, worker, exchange)
    return exchange


def _keep_in_worker(worker: Any, exchange: Exchange) -> None:
    """Looks every now and then whether the worker still has a result whose key bears the shuffle's name."""
    if any(exchange.name in str(key) for key in worker.data):
        worker.loop.call_later(_LOOK_MS / 1000, _keep_in_worker, worker, exchange)
    else:
        _of_workers.discard((worker.address, exchange.name))


def current_worker() -> Any:
    """The worker of distributed that runs this task, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None
