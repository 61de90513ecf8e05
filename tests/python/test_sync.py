"""What was synced outlives the arena."""

import os
import shutil

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


def test_a_copy_is_refused_while_its_original_lives_and_is_a_store_of_its_own_without_an_arena(path, tmp_path):
    copy = tmp_path / "copy"
    with shoal.Store(path, durable=True) as store:
        store.append("a", b"1")
        store.sync()
        shutil.copytree(path, copy)
        for use in (shoal.Store, shoal.Store.attach, shoal.Store.destroy):
            with pytest.raises(shoal.Copied, match=f"shoal recover {copy}"):
                use(copy)
        arena = store.stats().arena_path
    os.unlink(arena)
    with shoal.Store.attach(copy) as own, shoal.Store.attach(path) as store:
        own.append("a", b", of the copy")
        assert (own["a"], store["a"]) == (b"1, of the copy", b"1")
        assert own.stats().store_id != store.stats().store_id
    shoal.Store.destroy(copy)
    assert not copy.exists() and path.exists()
