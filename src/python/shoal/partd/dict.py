"""A part in memory."""

import os
from typing import Any

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

    def __init__(self) -> None:
        self.store = Store.in_memory()
        self._locked = os.memfd_create("shoal.partd.Dict", os.MFD_CLOEXEC)
        self.lock = Gate(f"/proc/self/fd/{self._locked}")

    def __getstate__(self) -> dict[str, Any]:
        return {"records": {key: self.store.records(key) for key in self.store}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.store.extend(state["records"])

    def __del__(self) -> None:
        if hasattr(self, "_locked"):
            os.close(self._locked)
