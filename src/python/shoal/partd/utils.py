"""What partd has under this name."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .core import flatten
from .encode import frame, framesplit

__all__ = [
    "extend",
    "flatten",
    "frame",
    "framesplit",
    "nested_get",
    "partition_all",
    "raises",
    "suffix",
    "tmpfile",
]


def nested_get(ind: Any, coll: Any, lazy: bool = False) -> Any:
    """What a collection has at an index, or at each of a list of them or of such lists; an iterator of that if `lazy`.

    >>> nested_get([[1, 0], 2], "abc")
    [['b', 'a'], 'c']
    """
    if not isinstance(ind, list):
        return coll[ind]
    each = (nested_get(index, coll, lazy) for index in ind)
    return each if lazy else list(each)


def partition_all(n: int, bytes: Any) -> Iterator[Any]:
    """The bytes in pieces of `n`, the last of what is left.

    >>> list(partition_all(2, b"Hello"))
    [b'He', b'll', b'o']
    """
    for begin in range(0, max(1, len(bytes)), n):
        yield bytes[begin : begin + n]


def suffix(key: Any, term: str) -> Any:
    """The key with text behind it, a tuple with it behind its last.

    >>> suffix("x", ".dtype"), suffix(("a", 1), ".dtype")
    ('x.dtype', ('a', '1.dtype'))
    """
    if isinstance(key, tuple):
        return (*key[:-1], suffix(key[-1], term))
    return f"{key}{term}"


def extend(key: Any, term: Any) -> tuple[Any, ...]:
    """The key as a tuple, with one more, or those of a tuple, at its end.

    >>> extend("x", ".index"), extend(("x", "y"), 1)
    (('x', '.index'), ('x', 'y', '1'))
    """
    more = term if isinstance(term, tuple) else (str(term),)
    return (*key, *more) if isinstance(key, tuple) else (key, *more)


def raises(exc: type[BaseException], lamda: Callable[[], object]) -> bool:
    """Whether the call raises that.

    >>> raises(KeyError, lambda: {}["x"]), raises(KeyError, dict)
    (True, False)
    """
    try:
        lamda()
    except exc:
        return True
    return False


@contextmanager
def tmpfile(extension: str = "") -> Iterator[str]:
    """A path where there is nothing yet; what is there at the end goes."""
    folder = tempfile.mkdtemp()
    try:
        yield os.path.join(folder, f"file.{extension.lstrip('.')}")
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
