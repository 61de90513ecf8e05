"""What all parts have in common."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from .. import Store
from ..errors import InvalidArgument
from .gate import Gate, NotALock
from .keys import all_encoded, encoded

_Self = TypeVar("_Self", bound="Interface")


def flatten(keys: Iterable[Any]) -> Iterator[Any]:
    """The keys of nested lists, one after the other; tuples are keys.

    >>> list(flatten([["a"], ("b", "c"), [["d"]]]))
    ['a', ('b', 'c'), 'd']
    """
    for key in keys:
        if isinstance(key, list):
            yield from flatten(key)
        else:
            yield key


def nested(keys: list[Any], values: Iterator[Any]) -> list[Any]:
    """The values, of an iterator, in the form of the keys."""
    return [nested(key, values) if isinstance(key, list) else next(values) for key in keys]


class Interface:
    """A part: keys with values that grow.

    A class of one's own has `append`, `_get`, `_iset`, `_delete`, `drop` and `lock`.
    """

    lock: Any
    append: Any
    _get: Any
    _iset: Any
    _delete: Any
    drop: Any

    def iset(self, key: Any, value: Any, **kwargs: Any) -> Any:
        """Sets a value once; the first of all wins."""
        return self._iset(key, value, **kwargs)

    def iget(self, key: Any) -> Any:
        """The value of one key, without the lock."""
        return self._get([key], lock=False)[0]

    def get(self, keys: Any, **kwargs: Any) -> Any:
        """The value of a key, or those of a list of keys or of such lists, in its form."""
        if not isinstance(keys, list):
            return self._get([keys], **kwargs)[0]
        return nested(keys, iter(self._get(list(flatten(keys)), **kwargs)))

    def delete(self, keys: Any, **kwargs: Any) -> Any:
        """Removes a key, or a list of keys."""
        return self._delete(keys if isinstance(keys, list) else [keys], **kwargs)

    def pop(self, keys: Any, **kwargs: Any) -> Any:
        """As `get`, and removes what it gives; nothing that is appended meanwhile is lost."""
        if not isinstance(keys, list):
            return self._pop([keys], **kwargs)[0]
        return nested(keys, iter(self._pop(list(flatten(keys)), **kwargs)))

    def _pop(self, keys: list[Any], **kwargs: Any) -> list[Any]:
        """The values of a list of keys, which go as they are taken."""
        if isinstance(self.lock, NotALock):
            raise InvalidArgument(f"{type(self).__name__} cannot pop from a server: pop bytes, lists or pickled values")
        with self.lock:
            values: list[Any] = self._get(keys, lock=False, **kwargs)
            self._delete(keys, lock=False)
        return values

    def _several(
        self, kwargs: dict[str, Any], alone: bool = False
    ) -> tuple[AbstractContextManager[Any], dict[str, Any]]:
        """What to hold for several calls of another part that are to be as one for others, and those calls' arguments:
        beside others that do the same, or alone."""
        if kwargs.get("lock", True) and isinstance(self.lock, Gate):
            return self.lock if alone else self.lock.shared(), kwargs | {"lock": False}
        return nullcontext(), kwargs

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.drop()


class StorePart(Interface):
    """A part that is a store: it has `store` and `lock`."""

    store: Store
    durable = True  # if it is synced

    def append(self, data: dict[Any, Any], lock: bool = True, fsync: bool = False, **kwargs: Any) -> None:
        """Adds bytes to the value of each key.

        Parameters
        ----------
        data : dict of key to bytes
        lock : bool
            False where the caller has the lock.
        fsync : bool
            Return when all that the part holds would outlive a loss of power: `shoal.Store.sync`, which writes what
            changed since the last one, and a list of all keys. A part without files does nothing for it.
        """
        with self.lock.shared() if lock else nullcontext():
            self.store.extend(zip(all_encoded(data), data.values()))
        if fsync and self.durable:
            self.store.sync()

    def _get(self, keys: list[Any], lock: bool = True, **kwargs: Any) -> list[bytes]:
        return self.store.get(all_encoded(keys), b"")

    def _iset(self, key: Any, value: Any, lock: bool = True, **kwargs: Any) -> None:
        self.store.iset(encoded(key), value)

    def _delete(self, keys: list[Any], lock: bool = True, **kwargs: Any) -> None:
        with self.lock if lock else nullcontext():
            for key in keys:
                self.store.delete(encoded(key))

    def drop(self) -> None:
        """Removes every key."""
        self.store.drop()
