"""What every test of the package may use, and that each leaves nothing behind."""

import gc
import os
import time
from contextlib import suppress

import hypothesis
import pytest

import shoal

# Machines that are busy with other things draw examples slowly, which says nothing about shoal.
hypothesis.settings.register_profile("shoal", deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("shoal")

KIB = 1024
MIB = 1024 * KIB


def handles():
    """What the open descriptors of this process refer to."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:  # that of the folder itself
            continue
    return sorted(target for target in found if "shoal" in target or "anon_inode" in target)


def threads():
    return set(os.listdir("/proc/self/task"))


@pytest.fixture(scope="session", autouse=True)
def threads_of_arrow():
    """Which stay until the process ends: here they begin, so that no test is taken for the one that leaves them."""
    with suppress(ImportError):
        import pyarrow

        pyarrow.table({str(number): [number] for number in range(64)}).to_pandas()


@pytest.fixture
def event_loops():
    """For a test whose libraries keep threads with event loops until the process ends: then these are no leak."""


@pytest.fixture(autouse=True)
def nothing_is_left(request, tmp_path):
    """Descriptors, threads, and arenas of stores under the test's own folder."""
    before = handles(), threads()
    yield
    gc.collect()
    if "event_loops" in request.fixturenames:
        loop = "anon_inode:[eventpoll]"
        assert [handle for handle in handles() if handle != loop] == [handle for handle in before[0] if handle != loop]
    else:
        patience_ends = time.monotonic() + 60
        while threads() - before[1] and time.monotonic() < patience_ends:
            time.sleep(0.001)  # a thread that Python has done with may not have left the kernel yet, or not had before
        assert (handles(), threads() - before[1]) == (before[0], set())
    left = [leftover for leftover in shoal.Store.collect(dry_run=True) if leftover.store_path.startswith(str(tmp_path))]
    assert left == []


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


@pytest.fixture
def no_descriptor_is_left(nothing_is_left):
    """Not those of shoal's alone but any, sockets for instance."""
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() == before


@pytest.fixture
def path(tmp_path):
    """Where a test may make its store; what it leaves there is destroyed."""
    yield tmp_path / "store"
    if (tmp_path / "store").exists():
        shoal.Store.destroy(tmp_path / "store", force=True)


@pytest.fixture
def store(path):
    """A store of 64 MiB that other processes can open."""
    with shoal.Store(path, memory_limit_bytes=64 * MIB) as made:
        yield made


@pytest.fixture
def spilling(path, tmp_path):
    """A store of 8 MiB that spills."""
    (tmp_path / "spill").mkdir()
    with shoal.Store(path, memory_limit_bytes=8 * MIB, spill_dir=tmp_path / "spill", codec="lz4") as made:
        yield made
    shoal.Store.destroy(path)
    assert os.listdir(tmp_path / "spill") == []


def pytest_terminal_summary(terminalreporter):
    """The line that tools/test adds up."""
    count = {kind: len(terminalreporter.stats.get(kind, ())) for kind in ("passed", "failed", "error", "skipped")}
    terminalreporter.write_line(
        f"{count['passed']} passed, {count['failed'] + count['error']} failed, {count['skipped']} skipped"
    )
