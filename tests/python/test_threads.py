"""Threads of one interpreter: who lets the interpreter's lock go, and when."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import shoal
from conftest import MIB


def test_threads_append_at_once_and_nothing_is_lost(store):
    def write(thread):
        for number in range(500):
            store.append({"small": b"%d:%d;" % (thread, number), "large": bytes([thread]) * 20_000})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(2)))
    assert store.size("small").records == 1000
    large = store.records("large")
    assert sorted(set(large)) == [bytes([thread]) * 20_000 for thread in range(2)] and len(large) == 1000


@pytest.fixture
def nobody_is_interrupted():
    """A thread that has the interpreter's lock has it until it lets it go."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    yield
    sys.setswitchinterval(before)


def test_an_append_that_waits_for_room_lets_other_threads_run(path, tmp_path, nobody_is_interrupted):
    """Views hold all of the memory; the thread that has them can only let them go while the append waits."""
    (tmp_path / "spill").mkdir()
    options = {"memory_limit_bytes": 8 * MIB, "spill_dir": tmp_path / "spill", "room_wait_ms": 30_000}
    with shoal.Store(path, temporary=True, **options) as store:
        held = []
        with shoal.Store(path, room_wait_ms=300) as impatient:
            for bytes_of_record in (200_000, 20_000, 2_000, 200_000):
                with pytest.raises(shoal.MemoryLimit):
                    while True:  # what is viewed stays in memory, spilled or not
                        impatient.append("more", bytes(bytes_of_record))
                        held.append(impatient.view("more"))
            records = impatient.size("more").records

        waiting = threading.Event()

        def append():
            waiting.set()
            store.append("more", bytes(2_000))  # too few for the lock to be let go of for the copy

        thread = threading.Thread(target=append)
        thread.start()
        assert waiting.wait()
        held.clear()
        thread.join()
        assert store.size("more").records == records + 1


def test_close_takes_the_store_away_from_nobody_who_uses_it(path):
    store = shoal.Store(path, memory_limit_bytes=64 * MIB)
    value = os.urandom(8 * MIB)
    store.append("key", value)
    seen = []

    def read():
        try:
            while True:
                seen.append(store["key"] == value)
        except shoal.Closed:
            seen.append("closed")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(seen) < 6:
        pass
    store.close()
    for thread in threads:
        thread.join()
    assert seen.count("closed") == 3 and False not in seen
