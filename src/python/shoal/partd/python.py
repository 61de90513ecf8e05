"""A part of lists of Python's objects: by msgpack where that is installed and gives them back as they are, else
pickled. The first byte says which."""

import pickle
from functools import partial
from typing import Any

from .encode import Encode
from .pickle import concat

try:
    import msgpack
except ImportError:
    msgpack = None


def dumps(values: Any) -> bytes:
    """The list as bytes."""
    if msgpack is not None:
        try:
            packed: bytes = msgpack.packb(values, use_bin_type=True, strict_types=True)
            return b"m" + packed
        except (TypeError, ValueError, OverflowError):
            pass  # it holds what msgpack has not
    return b"p" + pickle.dumps(values, protocol=pickle.HIGHEST_PROTOCOL)


def loads(data: Any) -> Any:
    """The list again."""
    if data[:1] == b"p":
        return pickle.loads(memoryview(data)[1:])
    if data[:1] == b"m":
        if msgpack is None:
            raise ImportError("this was written by msgpack, which is not installed here")
        return msgpack.unpackb(memoryview(data)[1:], raw=False, strict_map_key=False)
    raise ValueError("this was not written by Python")


Python = partial(Encode, dumps, loads, concat)
