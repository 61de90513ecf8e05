"""What other processes of the tests do: at the top of a module, so that `spawn` finds it."""

import os
import signal

import shoal


def append_numbers(store, worker, records):
    """Records that say who wrote them, one by one and in batches."""
    for number in range(0, records, 10):
        store.append(f"key {number % 7}", b"%d:%d;" % (worker, number))
        store.extend([("all", b"%d:%d;" % (worker, number + step)) for step in range(10)])
    return os.getpid()


def read(store, key):
    return store[key]


def open_view(store, key):
    return sum(piece.nbytes for piece in store.view(key))


def append_until_killed(path, started):
    """Appends, says so, and goes on for ever."""
    store = shoal.Store.attach(path)
    store.append("of the killed", b"acknowledged;")
    started.set()
    while True:
        store.append("of the killed", b"more;")


def hold_temporary_store(path, started):
    """Makes a temporary store, and is killed."""
    store = shoal.Store(path, temporary=True)
    store.append("key", b"value")
    started.set()
    signal.pause()


def leave_temporary_store_open(path):
    """Ends as a program does, with a store in a global variable and a view of it in a cycle."""
    global store
    store = shoal.Store(path, temporary=True)
    store.append("key", b"value")
