"""A part that holds what an encoder makes bytes of."""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .core import Interface
from .file import File
from .gate import NotALock

_LENGTH = struct.Struct("<Q")


def frame(data: Any) -> bytes:
    """The bytes behind their length.

    >>> frame(b"Hello")
    b'\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00Hello'
    """
    return b"".join((_LENGTH.pack(len(data)), data))


def framesplit(data: Any) -> Iterator[Any]:
    """The frames of a value, one after the other.

    >>> list(framesplit(frame(b"Hello") + frame(b"World")))
    [b'Hello', b'World']
    """
    at = 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if size > len(data) - at:
            raise ValueError(f"a frame of {size} bytes is cut off after {len(data) - at}")
        yield data[at : at + size]
        at += size


class Encode(Interface):
    """What `encode` makes bytes of, in another part.

    Parameters
    ----------
    encode, decode : callable
        From a value to bytes, and back.
    join : callable
        From a list of values to one.
    partd : Interface or str, optional
        The part that holds the bytes; or a path, or nothing, for a `File`.
    """

    def __init__(
        self,
        encode: Callable[[Any], Any],
        decode: Callable[[Any], Any],
        join: Callable[[list[Any]], Any],
        partd: Any = None,
    ) -> None:
        self.partd = File(partd) if partd is None or isinstance(partd, str) else partd
        self.encode = encode
        self.decode = decode
        self.join = join

    @property
    def lock(self) -> Any:
        return self.partd.lock

    def append(self, data: dict[Any, Any], **kwargs: Any) -> None:
        """Adds a value to each key."""
        self.partd.append({key: frame(self.encode(value)) for key, value in data.items()}, **kwargs)

    def _decoded(self, chunks: Iterable[Any]) -> list[Any]:
        return [self.join([self.decode(data) for data in framesplit(chunk)]) for chunk in chunks]

    def _get(self, keys: list[Any], **kwargs: Any) -> list[Any]:
        return self._decoded(self.partd._get(keys, **kwargs))

    def _pop(self, keys: list[Any], **kwargs: Any) -> list[Any]:
        if not isinstance(self.lock, NotALock):
            return super()._pop(keys, **kwargs)
        chunks = self.partd._pop(keys, **kwargs)
        try:
            return self._decoded(chunks)
        except BaseException:  # where it can be locked it would not have been deleted
            self.partd.append({key: chunk for key, chunk in zip(keys, chunks) if chunk})
            raise

    def _iset(self, key: Any, value: Any, **kwargs: Any) -> Any:
        return self.partd.iset(key, frame(self.encode(value)), **kwargs)

    def _delete(self, keys: list[Any], **kwargs: Any) -> Any:
        return self.partd.delete(keys, **kwargs)

    def drop(self) -> Any:
        """Removes every key."""
        return self.partd.drop()

    def __exit__(self, *error: object) -> None:
        self.partd.__exit__(*error)
