"""What the package `partd` has, on `shoal.Store`: ``import shoal.partd as partd``.

>>> import shoal.partd as partd
>>> with partd.Pickle(partd.BZ2(partd.Dict())) as parts:
...     parts.append({"a": [1, 2], "b": [3]})
...     parts.append({"a": [4]})
...     parts.get(["a", ["b"]])
[[1, 2, 4], [[3]]]

``src/python/PARTD.md`` says what is the same, what was mended, and what differs.
"""

from contextlib import suppress

from . import compressed, utils
from .buffer import Buffer
from .compressed import *  # noqa: F403
from .dict import Dict
from .encode import Encode
from .file import File
from .pickle import Pickle
from .python import Python

__version__ = "1.4.2"  # the partd whose interface this is

__all__ = ["Buffer", "Dict", "Encode", "File", "Pickle", "Python", "utils", *compressed.__all__]

with suppress(ImportError):
    from .arrow import Arrow

    __all__.append("Arrow")

with suppress(ImportError):
    from .numpy import Numpy

    __all__.append("Numpy")

with suppress(ImportError):
    from .pandas import PandasBlocks, PandasColumns

    __all__ += ["PandasBlocks", "PandasColumns"]

with suppress(ImportError):  # without pyzmq
    from .zmq import Client, Server

    __all__ += ["Client", "Server"]
