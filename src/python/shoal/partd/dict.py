"""A part in memory."""

import os

from .. import Store
from .core import StorePart
from .gate import Gate


class Dict(StorePart):
    """A part in memory, of this process and those that it forks. Pickled with all that is in it.

    Examples
    --------
    >>> part = Dict()
    >>> part.append({"x": b"abc", ("y", 1): b"d"})
    >>> part.append({"x": b"ef"})
    >>> part.get(["x", [("y", 1), "z"]])
    [b'abcef', [b'd', b'']]
    """

    durable = False

    def __init__(self):
        self.store = Store.in_memory()
        self._locked = os.memfd_create("shoal.partd.Dict", os.MFD_CLOEXEC)
        self.lock = Gate(f"/proc/self/fd/{self._locked}")

    def __getstate__(self):
        return {"records": {key: self.store.records(key) for key in self.store}}

    def __setstate__(self, state):
        self.__init__()
        self.store.extend(state["records"])

    def __del__(self):
        if hasattr(self, "_locked"):
            os.close(self._locked)
