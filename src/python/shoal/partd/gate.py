"""A lock that appends share, so that `pop` can take what is there without losing what comes meanwhile.

Appends go on at once, in threads and processes; only who asks for the lock itself, `pop` for instance, is alone. It is
the kernel's lock on an open file (flock), so it goes with a process that is killed.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Handle:
    """An open file of one thread, in one process: it is what holds the lock."""

    def __init__(self, file: str) -> None:
        self.process = os.getpid()
        self.descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self.depth = 0

    def __del__(self) -> None:
        os.close(self.descriptor)


class Gate:
    """The lock of one part: ``with gate:`` is alone, ``with gate.shared():`` only not with those.

    Parameters
    ----------
    file : path
        What is locked; any file or folder that all who share the part can open.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._own = threading.local()

    def _handle(self) -> _Handle:
        handle: _Handle | None = getattr(self._own, "handle", None)
        if handle is None or handle.process != os.getpid():
            handle = self._own.handle = _Handle(self._file)
        return handle

    def acquire(self) -> bool:
        """Waits until nobody else has it. One thread can take it several times."""
        handle = self._handle()
        if handle.depth == 0:
            fcntl.flock(handle.descriptor, fcntl.LOCK_EX)
        handle.depth += 1
        return True

    def release(self) -> None:
        """Gives it back as often as it was taken."""
        handle = self._handle()
        if handle.depth == 0:
            raise RuntimeError("release of a lock that this thread has not")
        handle.depth -= 1
        if handle.depth == 0:
            fcntl.flock(handle.descriptor, fcntl.LOCK_UN)

    def __enter__(self) -> "Gate":
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """For what may go on at once."""
        handle = self._handle()
        if handle.depth:  # it is this thread's alone already
            yield
            return
        fcntl.flock(handle.descriptor, fcntl.LOCK_SH)
        try:
            yield
        finally:
            fcntl.flock(handle.descriptor, fcntl.LOCK_UN)


class NotALock:
    """In the place of a lock where there is none: a server takes one command after the other."""

    def acquire(self) -> bool:
        """Does nothing."""
        return True

    def release(self) -> None:
        """Does nothing."""

    def __enter__(self) -> "NotALock":
        return self

    def __exit__(self, *error: object) -> None:
        pass
