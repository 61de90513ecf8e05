"""What the tasks of one shuffle share: each writes a piece of many partitions, then every partition is read.

A task that a scheduler runs twice, since the worker that had its result was killed, writes its pieces twice. So each
run is an attempt with a name of its own, which is the task's result, and who reads takes the pieces of those attempts
alone whose names have come through the graph.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dask import config

from .. import Store
from ..errors import Error, StoreNotFound

ATTEMPT_BYTES = 8
_WRITTEN = b"attempts"  # the key of all that were written to their end


@dataclass(frozen=True)
class Options:
    """How the stores of shuffles are made; see `shoal.dask.enable`."""

    folder: str | None = None
    memory_limit_bytes: int = 0
    codec: str = "none"
    arena_dir: str | None = None


class Exchange:
    """An open store of pieces.

    Parameters
    ----------
    name : str
        That of its `Source`.
    store : Store
    """

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.store = store
        self._notes: dict[bytes, Any] = {}

    def __reduce__(self) -> tuple[Callable[..., Exchange], tuple[str, str]]:
        return attached, (self.name, self.store.path)

    def close(self) -> None:
        """Whoever still has it, a traceback for instance, cannot use it any more."""
        with _open_lock:
            if _open.get(self.store.path) is self:
                del _open[self.store.path]
        self.store.close()

    def write(self, pieces: Mapping[int, Iterable[Any]]) -> bytes:
        """Adds a piece to each partition.

        Parameters
        ----------
        pieces : mapping of int to iterable of buffers
            The bytes of each partition's piece, in parts.

        Returns
        -------
        bytes
            The attempt.
        """
        attempt = secrets.token_bytes(ATTEMPT_BYTES)
        records = {b"%d" % number: b"".join((attempt, *parts)) for number, parts in pieces.items()}
        self.store.append({**records, _WRITTEN: attempt})
        return attempt

    def read(self, partition: int, attempts: bytes) -> list[memoryview]:
        """The pieces of a partition, each without its attempt, where they lie.

        Parameters
        ----------
        partition : int
        attempts : bytes
            What `write` has returned, one after the other.

        Raises
        ------
        Error
            The store has not all of the attempts: it is another one than they were written to.
        """
        known = set(split(attempts))
        lost = known.difference(split(self.store.get(_WRITTEN, b"")))
        if lost:
            raise Error(f"{len(lost)} of {len(known)} inputs of a shuffle went with its store: compute it again")
        key = b"%d" % partition
        records = self.store.view_records(key) if key in self.store else ()
        return [record[ATTEMPT_BYTES:] for record in records if bytes(record[:ATTEMPT_BYTES]) in known]

    def note(self, name: bytes, value: bytes) -> None:
        """Keeps what pieces refer to by its name, once."""
        if name not in self._notes:
            self.store.iset(b"note " + name, value)
            self._notes[name] = None

    def noted(self, name: bytes, load: Callable[[bytes], Any]) -> Any:
        """What was noted, loaded once in this process."""
        if self._notes.get(name) is None:
            self._notes[name] = load(self.store[b"note " + name])
        return self._notes[name]


def split(attempts: bytes) -> list[bytes]:
    """Each attempt of many, one after the other.

    >>> split(b"attempt1attempt2")
    [b'attempt1', b'attempt2']
    """
    return [attempts[at : at + ATTEMPT_BYTES] for at in range(0, len(attempts), ATTEMPT_BYTES)]


@dataclass(frozen=True)
class Source:
    """Where the tasks of a graph get their `Exchange` from, by way of one task: whoever runs it first makes the store.

    Attributes
    ----------
    name : str
        In the keys of all tasks whose results have the exchange in them.
    path : str
        The store's.
    options : Options
    """

    name: str
    path: str
    options: Options

    @classmethod
    def new(cls, name: str, options: Options) -> Source:
        folder = options.folder or config.get("temporary_directory", None) or tempfile.gettempdir()
        return cls(name, os.path.abspath(os.path.join(folder, f"shoal-dask-{secrets.token_hex(8)}")), options)

    def exchange(self) -> Exchange:
        """The exchange of this process."""
        return attached(self.name, self.path, self.store)

    def store(self) -> Store:
        """The store, made if it is not there; what killed processes have left goes first."""
        with suppress(Error):
            Store.collect(min_age_s=0, only_temporary=True)
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        try:
            return Store(
                self.path,
                temporary=True,
                spill_dir=self.path,
                memory_limit_bytes=self.options.memory_limit_bytes,
                codec=self.options.codec,
                arena_dir=self.options.arena_dir,
            )
        except BaseException:
            with suppress(OSError):
                os.rmdir(self.path)
            raise

    def close(self, errored: bool) -> None:
        """Removes the store at the end of a computation, whoever has it open.

        A store that this process still uses stays: another of its threads computes the same graph, and it goes with
        that. After an error it does not stay, since what still uses it may be the error's traceback.
        """
        exchange = _open.get(self.path)
        if exchange is not None and not errored:
            return
        with suppress(StoreNotFound):
            Store.destroy(self.path, force=True)
        if exchange is not None:
            exchange.close()


_open: weakref.WeakValueDictionary[str, Exchange] = weakref.WeakValueDictionary()
_open_lock = threading.Lock()


def attached(name: str, path: str, make: Callable[[], Store] | None = None) -> Exchange:
    """The exchange of that store, opened once in this process; by `make` where it may have to be made."""
    with _open_lock:
        exchange = _open.get(path)
        if exchange is None:
            try:
                exchange = _open[path] = Exchange(name, make() if make else Store.attach(path))
            except StoreNotFound as error:
                raise StoreNotFound(
                    error.errno,
                    f"the store of a shuffle is not at {path}: the shuffle is over, or this is another host than that "
                    "of the other workers, and shoal.dask is for those of one host",
                ) from error
        return exchange
