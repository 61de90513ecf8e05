"""A lock-free store of appendable values that the processes of one host share.

>>> import tempfile, shoal
>>> with tempfile.TemporaryDirectory() as folder, shoal.Store(folder + "/words") as store:
...     store.append("apple", b"red,")
...     store.append({"apple": b"green,", "pear": b"yellow,"})
...     store["apple"], sorted(store)
...     shoal.Store.destroy(store.path, force=True)  # it is open here
(b'red,green,', [b'apple', b'pear'])

`Store` has all that it does; `shoal.errors` what can go wrong; `shoal.reports` what a store tells of itself.
"""

from ._native import Store, View
from .errors import (
    ArenaGone,
    BufferTooSmall,
    Closed,
    Copied,
    Damaged,
    Destroyed,
    Error,
    InUse,
    Incompatible,
    InvalidArgument,
    KeyNotFound,
    MemoryLimit,
    NoSpace,
    PermissionDenied,
    ReadOnly,
    StoreNotFound,
    SystemCallFailed,
    TooManyThreads,
)
from .reports import Attached, BackedUp, Damage, Leftover, Restored, Stats, Synced, ValueSize, VerifyReport

restore = Store.restore

__all__ = [
    "ArenaGone",
    "Attached",
    "BackedUp",
    "BufferTooSmall",
    "Closed",
    "Copied",
    "Damage",
    "Damaged",
    "Destroyed",
    "Error",
    "InUse",
    "Incompatible",
    "InvalidArgument",
    "KeyNotFound",
    "Leftover",
    "MemoryLimit",
    "NoSpace",
    "PermissionDenied",
    "ReadOnly",
    "Restored",
    "Stats",
    "Store",
    "StoreNotFound",
    "Synced",
    "SystemCallFailed",
    "TooManyThreads",
    "ValueSize",
    "VerifyReport",
    "View",
    "restore",
]
