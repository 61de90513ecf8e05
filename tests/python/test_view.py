"""Values where they lie: what a view shows, and how long it holds."""

import gc
import os

import numpy
import pytest

import shoal
from conftest import MIB


def test_a_view_is_a_sequence_of_read_only_memoryviews(store):
    store.extend("key", [b"one", b"", b"three"])
    view = store.view("key")
    assert b"".join(view) == b"onethree" and view.nbytes == 8
    records = store.view_records("key")
    assert [bytes(record) for record in records] == [b"one", b"", b"three"]
    assert [bytes(record) for record in records[1:]] == [b"", b"three"]
    assert records[-1] == b"three" and records[-1].readonly and len(records[5:]) == 0
    for wrong in (3, -4):
        with pytest.raises(IndexError):
            records[wrong]
    with pytest.raises(TypeError):
        records["1"]
    with pytest.raises(ValueError):
        records[::2]


def test_numpy_reads_a_view_without_a_copy_and_cannot_write_to_it(store):
    numbers = numpy.arange(100_000, dtype=numpy.int64)
    store.append("numbers", numbers)
    array = numpy.frombuffer(store.view("numbers"), dtype=numpy.int64)
    assert (array == numbers).all()
    assert not array.flags.owndata and not array.flags.writeable
    assert array.ctypes.data == numpy.frombuffer(store.view("numbers")[0]).ctypes.data


def test_a_view_of_several_pieces_is_no_buffer_and_says_what_to_do(store):
    store.extend("key", [b"one", b"two"])
    with pytest.raises(BufferError, match="2 pieces"):
        memoryview(store.view("key"))
    assert memoryview(store.view("key")[:1]) == b"one"
    store.append("empty", b"")
    assert bytes(store.view("empty")) == b""


def test_memoryviews_outlive_view_key_and_store(path):
    with shoal.Store(path, temporary=True, memory_limit_bytes=16 * MIB) as store:
        value = os.urandom(MIB)
        store.append("key", value)
        piece = store.view("key")[0]
        array = numpy.frombuffer(store.view("key"), dtype=numpy.uint8)
        store.delete("key")
        for number in range(8):  # over what was deleted, if it were given back
            store.append("other", bytes(MIB))
    gc.collect()
    assert piece == value and bytes(array) == value


def test_a_view_shows_what_was_there_when_it_was_made(store):
    store.append("key", b"one")
    view = store.view("key")
    store.append("key", b"two")
    assert b"".join(view) == b"one"


def test_views_of_spilled_values_are_the_same(spilling):
    rows = [os.urandom(1000) for _ in range(1000)]
    spilling.extend("key", rows)
    spilling.spill()
    records = spilling.view_records("key")
    assert [bytes(record) for record in records] == rows
    assert records.loaded_bytes > 0
    assert b"".join(spilling.view("key")) == b"".join(rows) == spilling["key"]


def test_a_view_cannot_be_made_by_hand():
    with pytest.raises(TypeError):
        shoal.View()
