"""What was synced outlives the arena."""

import os

import pytest
import shoal


def test_a_synced_store_comes_back_when_its_arena_is_gone(path):
    with shoal.Store(path, durable=True) as store:
        store.append({"a": b"1", "b": b"22"})
        synced = store.sync()
        assert (synced.keys, synced.payload_bytes, synced.copied_bytes) == (2, 3, 3)
        assert store.sync().copied_bytes == 0
        assert store.stats().synced_unix_s > 0
        arena = store.stats().arena_path
        store.append("a", b"by the close")
    os.unlink(arena)
    with shoal.Store.attach(path) as store:
        assert store["a"] == b"1by the close"
        store.append("a", b", and not synced")
    os.unlink(arena)
    with shoal.Store(path) as store:
        assert store["a"] == b"1by the close"
    assert shoal.Store.verify(path).synced_keys == 2


def test_a_store_without_files_cannot_be_synced(path):
    with shoal.Store(path) as store, pytest.raises(shoal.InvalidArgument):
        store.sync()
