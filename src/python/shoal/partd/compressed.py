"""Parts that compress each value that is appended; those whose packages are installed."""

import bz2
import zlib
from contextlib import suppress
from functools import partial

from .encode import Encode

__all__ = ["BZ2", "ZLib"]

join = b"".join

ZLib = partial(Encode, zlib.compress, zlib.decompress, join)
BZ2 = partial(Encode, bz2.compress, bz2.decompress, join)

with suppress(ImportError, AttributeError):  # another package is called snappy too, and compresses nothing
    import snappy

    Snappy = partial(Encode, snappy.compress, snappy.decompress, join)
    __all__.append("Snappy")

with suppress(ImportError):
    import blosc

    blosc.set_nthreads(1)  # as partd does: parts are used by threads already, and it keeps those that it starts
    Blosc = partial(Encode, blosc.compress, blosc.decompress, join)
    __all__.append("Blosc")

with suppress(ImportError):
    import lz4.frame

    LZ4 = partial(Encode, lz4.frame.compress, lz4.frame.decompress, join)
    __all__.append("LZ4")

with suppress(ImportError):
    import zstandard

    Zstd = partial(Encode, zstandard.compress, zstandard.decompress, join)
    __all__.append("Zstd")
