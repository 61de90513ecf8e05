"""What goes wrong, as exceptions: all are `shoal.Error`, and also what Python has for the same.

Each says what happened, where, and what to do about it.
"""

import errno


class Error(Exception):
    """The base of all errors of shoal's own.

    Attributes
    ----------
    code : str
        The name of the C++ library's `shoal::Code`, for instance ``"memory limit"``.
    appended : int
        Records of this call that were appended all the same: its first ones.
    """

    code = "error"
    appended = 0


class InvalidArgument(Error, ValueError):
    """The call itself is wrong; nothing was touched."""

    code = "invalid argument"


class Closed(InvalidArgument):
    """The store was closed in this process."""

    code = "closed"


class KeyNotFound(Error, KeyError):
    """The key has no value."""

    code = "not found"
    __str__ = Exception.__str__  # KeyError's shows the message as a literal


class StoreNotFound(Error, FileNotFoundError):
    """There is no store at that path."""

    code = "no store"


class BufferTooSmall(Error, ValueError):
    """`get_into` was given too little memory.

    Attributes
    ----------
    needed : int
        Bytes of the value.
    """

    code = "buffer too small"
    needed = 0


class MemoryLimit(Error, MemoryError):
    """The store's own limit is reached; what was appended stays."""

    code = "memory limit"
    # MemoryError's refuses to make any other class, which is what tblib asks it for.
    __new__ = Exception.__new__  # type: ignore[assignment]


class NoSpace(Error, OSError):
    """The file system of the arena or of the spill files is full, or a limit on file sizes too low."""

    code = "no space"


class PermissionDenied(Error, PermissionError):
    """The operating system refused, or the files belong to somebody else."""

    code = "permission"


class Incompatible(Error):
    """The arena is of another layout of shoal, or a file of a later version of its format; the message names both."""

    code = "incompatible"


class Damaged(Error):
    """Bytes in the metadata, the arena or a spill file cannot be right; the message says where."""

    code = "damaged"


class ArenaGone(Error):
    """The store's directory is there and its arena is not: after a reboot, for instance."""

    code = "arena gone"


class InUse(Error):
    """Processes have the store open where it must not be; the message names them, as far as it can."""

    code = "in use"


class Copied(Error):
    """The store's directory is a copy of another store's, which lives: ``shoal recover`` makes it one of its own."""

    code = "copied"


class Destroyed(Error):
    """The store was destroyed while this process had it open."""

    code = "destroyed"


class TooManyThreads(Error):
    """Every place for an attached thread is taken."""

    code = "too many threads"


class ReadOnly(Error):
    """The call changes the store, or attaches to it, and it was opened with ``read_only``."""

    code = "read only"


class SystemCallFailed(Error, OSError):
    """Another system call failed: see ``errno``."""

    code = "system"


_BY_CODE: dict[str, type[Error]] = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        KeyNotFound,
        StoreNotFound,
        BufferTooSmall,
        MemoryLimit,
        NoSpace,
        PermissionDenied,
        Incompatible,
        Damaged,
        ArenaGone,
        InUse,
        Copied,
        Destroyed,
        TooManyThreads,
        ReadOnly,
        SystemCallFailed,
    )
}

_ERRNO = {"no store": errno.ENOENT, "no space": errno.ENOSPC, "permission": errno.EACCES, "system": errno.EIO}


def _made(code: str, message: str, system_errno: int, count: int) -> Error:
    """The exception for an error of the C++ library; `_native` raises it."""
    kind = _BY_CODE[code]
    error: Error
    if issubclass(kind, OSError):
        error = kind(system_errno or _ERRNO[code], message)
    else:
        error = kind(message)
    if isinstance(error, BufferTooSmall):
        error.needed = count
    elif count:
        error.appended = count
    return error
