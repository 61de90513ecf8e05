"""How long a process keeps the store of a shuffle open: losing it costs mapping its memory anew, or the store itself.

Threads have it from the scheduler, as a part of results. A process of a pool, whose every task unpickles the exchange
anew, keeps it until the store is gone, or the process. A worker of distributed keeps it for as long as it has such a
result or is to have it, which is until all of the shuffle is read: so where all who kept the store are killed nobody
has the result either, and the scheduler has all of the shuffle done again.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

from .exchange import Exchange, Source

_LOOK_MS = 200
_of_pool: dict[str, Exchange] = {}
_of_workers: set[tuple[str, str]] = set()


def opened(source: Source) -> Exchange:
    """The task that all others of a shuffle get its exchange from."""
    return keep(source.exchange())


def keep(exchange: Exchange) -> Exchange:
    """Has this process keep it, and gives it back: at the start of every task."""
    worker = current_worker()
    path = exchange.store.path
    if worker is not None:
        if (worker.address, path) not in _of_workers:
            _of_workers.add((worker.address, path))
            worker.loop.add_callback(_keep_in_worker, worker, exchange)
    elif multiprocessing.parent_process() is not None and path not in _of_pool:
        for gone in [kept for kept in list(_of_pool) if not os.path.exists(kept)]:
            _of_pool.pop(gone, None)
        _of_pool[path] = exchange
    return exchange


def _keep_in_worker(worker: Any, exchange: Exchange) -> None:
    """Looks every now and then whether the worker still has, or awaits, a result that has the exchange in it."""
    if any(exchange.name in str(key) and task.state != "released" for key, task in worker.state.tasks.items()):
        worker.loop.call_later(_LOOK_MS / 1000, _keep_in_worker, worker, exchange)
    else:
        _of_workers.discard((worker.address, exchange.store.path))
        exchange.close()  # which an error's traceback might have


def current_worker() -> Any:
    """The worker of distributed that runs this task, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None
