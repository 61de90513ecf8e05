"""Keys of any kind as keys of a store, each with its identity: '1' is not 1, nor is ('a', 'b') 'a/b'.

What Python calls equal is equal here too: 1, True and 1.0 are one key, as in a dictionary.
"""

import operator


def encoded(key):
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
    if isinstance(key, float):
        return b"i%d" % int(key) if key.is_integer() else b"f" + repr(float(key)).encode()
    try:
        return b"i%d" % operator.index(key)  # NumPy's integers too
    except TypeError:
        kind = type(key)
        return f"o{kind.__module__}.{kind.__qualname__}:{key}".encode("utf-8", "surrogatepass")
