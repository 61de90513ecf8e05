"""A part in memory before one on disk."""

import threading
from bisect import bisect
from collections import Counter
from heapq import nlargest
from itertools import accumulate
from typing import Any

from .core import Interface
from .dict import Dict
from .file import File

LEAST_STORE_BYTES = 8 << 20
KEYS_A_FLUSH = 20


def keys_to_flush(lengths: dict[Any, int], fraction: float = 0.1, maxcount: int = 100_000) -> list[Any]:
    """The keys that have the most bytes: as many as make up this fraction of all, one at least, half of them at most.

    >>> keys_to_flush({"a": 20, "b": 10, "c": 15, "d": 15, "e": 10, "f": 25, "g": 5}, 0.5)
    ['f', 'a']
    """
    largest = nlargest(min(maxcount, max(1, len(lengths) // 2)), lengths, key=lengths.__getitem__)
    sums = list(accumulate(lengths[key] for key in largest))
    return largest[: max(1, bisect(sums, fraction * sum(lengths.values())))]


class Buffer(Interface):
    """What is appended stays in `fast` until there is more of it than `available_memory`; then keys go to `slow`.

    Of a `Dict` and a `File` it is the file's store alone, which keeps in memory what it has room for; so it can be
    pickled, and processes share it. Other parts are used by what `Interface` has.

    Parameters
    ----------
    fast, slow : Interface
        What is in `fast` already must have come through a buffer.
    available_memory : number
        Bytes.

    Examples
    --------
    >>> with Buffer(Dict(), File(), available_memory=1e8) as part:
    ...     part.append({"x": b"abc"})
    ...     part.get(["x", "y"])
    [b'abc', b'']
    """

    def __init__(self, fast: Any, slow: Any, available_memory: float = 1e9) -> None:
        self.fast = fast
        self.slow = slow
        self.available_memory = available_memory
        self._begin()
        if self._is_one_store and "store" not in vars(slow):
            slow.memory_limit_bytes = max(int(available_memory), LEAST_STORE_BYTES)

    def _begin(self) -> None:
        self._is_one_store = isinstance(self.fast, Dict) and isinstance(self.slow, File)
        self.lengths: Counter[Any] = Counter()
        self._own_lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("fast", "slow", "available_memory")} | {
            "lengths": dict(self.lengths)
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        lengths = state.pop("lengths")
        vars(self).update(state)
        self._begin()
        self.lengths.update(lengths)

    @property
    def lock(self) -> Any:
        return self.slow.lock if self._is_one_store else self._own_lock

    @property
    def memory_usage(self) -> int:
        """Bytes in `fast`; of one store, of its data in memory."""
        if self._is_one_store:
            stats = self.slow.store.stats()
            return int(stats.payload_bytes - stats.spilled_bytes)
        return sum(self.lengths.values())

    def append(self, data: dict[Any, Any], lock: bool = True, **kwargs: Any) -> None:
        """Adds bytes to the value of each key."""
        if self._is_one_store:
            self.slow.append(data, lock=lock, **kwargs)
            return
        with self._own_lock:
            self.fast.append(data, lock=False)
            for key, value in data.items():
                self.lengths[key] += len(value)
            while sum(self.lengths.values()) > self.available_memory:
                self.flush(keys_to_flush(self.lengths, maxcount=KEYS_A_FLUSH))

    def _get(self, keys: list[Any], lock: bool = True, **kwargs: Any) -> Any:
        if self._is_one_store:
            return self.slow._get(keys, lock=lock)
        with self._own_lock:  # what is in slow came before what is in fast
            return [old + new for old, new in zip(self.slow.get(keys, lock=False), self.fast.get(keys, lock=False))]

    def _iset(self, key: Any, value: Any, lock: bool = True, **kwargs: Any) -> Any:
        if self._is_one_store:
            return self.slow._iset(key, value)
        with self._own_lock:  # not by their own iset, which may know nothing of what was deleted
            if not self._get([key])[0]:
                self.append({key: value})

    def _delete(self, keys: list[Any], lock: bool = True, **kwargs: Any) -> Any:
        if self._is_one_store:
            return self.slow._delete(keys, lock=lock)
        with self._own_lock:
            for part in (self.fast, self.slow):
                part.delete(keys, lock=False)
            for key in keys:
                self.lengths.pop(key, None)

    def drop(self) -> None:
        """Removes every key."""
        with self._own_lock:
            self.fast.drop()
            self.slow.drop()
            self.lengths.clear()

    def flush(self, keys: list[Any] | None = None, block: bool | None = None) -> None:
        """Writes keys out to `slow`: all, or those that are given; of one store all that can be."""
        if self._is_one_store:
            self.slow.store.spill()
            return
        with self._own_lock:
            keys = list(self.lengths) if keys is None else keys
            self.slow.append(dict(zip(keys, self.fast.get(keys, lock=False))), lock=False)
            self.fast.delete(keys, lock=False)
            for key in keys:
                self.lengths.pop(key, None)

    def __exit__(self, *error: object) -> None:
        self.fast.__exit__(*error)
        self.slow.__exit__(*error)
