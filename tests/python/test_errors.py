"""The tree of exceptions, and what they carry."""

import copy
import errno
import pickle

import pytest

import shoal
from conftest import MIB

SECOND_BASES = {
    shoal.InvalidArgument: ValueError,
    shoal.Closed: ValueError,
    shoal.KeyNotFound: KeyError,
    shoal.StoreNotFound: FileNotFoundError,
    shoal.BufferTooSmall: ValueError,
    shoal.MemoryLimit: MemoryError,
    shoal.NoSpace: OSError,
    shoal.PermissionDenied: PermissionError,
    shoal.SystemCallFailed: OSError,
}


def test_all_are_shoal_errors_and_what_python_has_for_the_same():
    kinds = [kind for kind in vars(shoal).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert set(SECOND_BASES) < set(kinds)
    assert all(issubclass(kind, shoal.Error) for kind in kinds)
    for kind, base in SECOND_BASES.items():
        assert issubclass(kind, base)


def test_at_the_memory_limit_the_error_says_how_much_was_appended():
    with shoal.Store.in_memory(memory_limit_bytes=8 * MIB) as store:
        records = [bytes(100_000)] * 100
        with pytest.raises(MemoryError) as raised:
            store.extend("key", records)
        assert isinstance(raised.value, shoal.MemoryLimit)
        assert "memory_limit_bytes" in str(raised.value)
        assert 0 < raised.value.appended < 100
        assert store.size("key").records == raised.value.appended
        assert copy.copy(raised.value).appended == raised.value.appended
        store.delete("key")
        store.extend("key", records[:10])
        assert store.size("key").records == 10


def test_errors_of_the_system_have_their_errno(path):
    with pytest.raises(OSError) as raised:
        shoal.Store.attach(path)
    assert raised.value.errno == errno.ENOENT
    assert str(path) in str(raised.value)
    with pytest.raises(shoal.Error) as raised:
        shoal.Store(path / "no" / "parent")
    assert str(path) in str(raised.value)


def test_a_missing_key_is_named_in_words_that_can_be_read(store):
    with pytest.raises(KeyError, match=r"^no such key: 'plum'$"):
        store["plum"]


@pytest.mark.parametrize("kind", sorted(SECOND_BASES, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_errors_can_be_made_empty_as_tblib_does_that_carries_them_from_the_workers_of_distributed(kind):
    error = kind.__new__(kind)
    error.args = ("message",)
    assert isinstance(error, SECOND_BASES[kind])


@pytest.mark.parametrize("kind", sorted(SECOND_BASES, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_errors_can_be_pickled(kind):
    error = kind(errno.EIO, "message") if issubclass(kind, OSError) else kind("message")
    error.appended = 3
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error) and again.appended == 3
    assert getattr(again, "errno", None) == getattr(error, "errno", None)
