"""Keys of any kind as keys of a store, each with its identity: '1' is not 1, nor is ('a', 'b') 'a/b'.

What Python calls equal is equal here too: 1, True and 1.0 are one key, as in a dictionary.
"""

import operator
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Named:
    """A key of a kind that `decoded` knows no more of than its bytes; `encoded` gives those back."""

    encoded: bytes


def encoded(key: Any) -> bytes:
    """The bytes that stand for the key.

    >>> encoded("x"), encoded(b"x"), encoded(7), encoded(("x", 7))
    (b'sx', b'bx', b'i7', b't2:sx2:i7')
    """
    if isinstance(key, str):
        return b"s" + key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return b"b" + key
    if isinstance(key, tuple):
        items = [encoded(item) for item in key]
        return b"t" + b"".join(b"%d:%s" % (len(item), item) for item in items)
    if key is None:
        return b"n"
    if isinstance(key, Named):
        return key.encoded
    if isinstance(key, float):
        return b"i%d" % int(key) if key.is_integer() else b"f" + repr(float(key)).encode()
    try:
        return b"i%d" % operator.index(key)  # NumPy's integers too
    except TypeError:
        kind = type(key)
        return f"o{kind.__module__}.{kind.__qualname__}:{key}".encode("utf-8", "surrogatepass")


def all_encoded(keys: Collection[Any]) -> list[bytes]:
    """The bytes of each key; of text, which most are, without a call for each.

    >>> all_encoded(["x", 7])
    [b'sx', b'i7']
    """
    try:
        return [b"s" + key.encode() if type(key) is str else encoded(key) for key in keys]
    except UnicodeEncodeError:  # of surrogates
        return list(map(encoded, keys))


def decoded(data: bytes) -> Hashable:
    """The key that `encoded` makes these bytes of; ValueError where there is none.

    >>> decoded(b"t2:sx2:i7")
    ('x', 7)
    """
    key = _decoded(data)
    if encoded(key) != data:  # as of i07 and of f7.0
        raise ValueError("these bytes are no key's")
    return key


def _decoded(data: bytes) -> Hashable:
    kind, text = data[:1], data[1:]
    if kind == b"s":
        return text.decode("utf-8", "surrogatepass")
    if kind == b"b":
        return text
    if kind == b"i":
        return int(text)
    if kind == b"f":
        return float(text)
    if kind == b"t":
        return tuple(_items(text))
    return Named(data) if kind == b"o" else None


def _items(text: bytes) -> Iterator[Hashable]:
    while text:
        size, _, rest = text.partition(b":")
        length = int(size)
        if not 0 < length <= len(rest):
            raise ValueError("these bytes are no key's")
        yield _decoded(rest[:length])
        text = rest[length:]
