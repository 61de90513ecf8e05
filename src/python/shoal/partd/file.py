"""A part in a folder."""

import os
import secrets
import tempfile
from functools import cached_property
from typing import Any

from .. import Store
from .core import StorePart
from .gate import Gate

# Folders of parts that were made without a path. They go with their last owner, so nobody has to clean them up.
cleanup_files: list[str] = []


class File(StorePart):
    """A part in a folder: a store that spills there what memory has no room for. Pickled as its path.

    Parameters
    ----------
    path : str, optional
        The folder, made if there is none; what is in it already is there again. Without it a new one, which goes with
        the last process that has it open.
    dir : str, optional
        Where that new one is made.

    Examples
    --------
    >>> with File() as part:
    ...     part.append({"x": b"abc"})
    ...     part.append({"x": b"def"})
    ...     part.get("x")
    b'abcdef'
    """

    memory_limit_bytes = 0  # of the store, if it is made here; 0: half of what is free

    def __init__(self, path: str | None = None, dir: str | None = None) -> None:
        self._temporary = not path
        if not path:
            path = os.path.join(dir or tempfile.gettempdir(), f"{secrets.token_hex(8)}.partd")
            cleanup_files.append(path)
        else:
            os.makedirs(path, mode=0o700, exist_ok=True)
        self.path = os.path.abspath(path)

    @cached_property
    def store(self) -> Store:  # type: ignore[override]
        """The store, made or attached to at its first use."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        return Store(
            self.path,
            spill_dir=self.path,
            temporary=self._temporary,
            memory_limit_bytes=self.memory_limit_bytes,
        )

    @cached_property
    def lock(self) -> Gate:
        """What appends share and `pop` has alone."""
        assert self.store is not None  # with it comes the folder
        return Gate(self.path)

    def __getstate__(self) -> dict[str, Any]:
        assert self.store is not None  # else a temporary one would be made by each who unpickles it
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._temporary = False
        self.store = Store.attach(self.path)

    def __exit__(self, *error: object) -> None:
        if "store" in vars(self):
            self.store.close()
        if os.path.exists(os.path.join(self.path, "store.meta")):
            Store.destroy(self.path, force=True)
        elif os.path.isdir(self.path) and not os.listdir(self.path):
            os.rmdir(self.path)
