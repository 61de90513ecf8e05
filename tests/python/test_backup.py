"""Backups, to files and to what writes and reads as files do."""

import errno
import io
import os

import pytest
import shoal


def filled(store):
    store.append({"empty": b"", "one": b"1", b"\xff\x00": b"\x00\xff"})
    store.extend("many", [b"%d" % number for number in range(1000)])
    store.append("long", os.urandom(20_000_000))
    return {key: store.records(key) for key in store}


def test_a_restored_store_holds_what_was_backed_up(path, tmp_path):
    told = []
    with shoal.Store(path) as store:
        wanted = filled(store)
        done = store.backup(tmp_path / "backup", codec="lz4", progress=told.append)
    assert done.keys == len(wanted) and done.records == sum(map(len, wanted.values()))
    assert done.file_bytes == os.stat(tmp_path / "backup").st_size
    assert sum(told) == done.payload_bytes
    told.clear()
    restored = shoal.restore(tmp_path / "backup", tmp_path / "restored", progress=told.append)
    assert (restored.keys, restored.records) == (done.keys, done.records)
    assert sum(told) == done.payload_bytes and not restored.synced
    with shoal.Store.attach(tmp_path / "restored") as store:
        assert {key: store.records(key) for key in store} == wanted
    with pytest.raises(shoal.InvalidArgument):
        shoal.restore(tmp_path / "backup", tmp_path / "restored")
    shoal.Store.destroy(tmp_path / "restored")
    with pytest.raises(shoal.SystemCallFailed) as raised:
        shoal.restore(tmp_path / "none", tmp_path / "restored")
    assert raised.value.errno == errno.ENOENT


def test_what_writes_and_reads_as_files_do_takes_and_gives_a_backup(path, tmp_path):
    class Slow(io.RawIOBase):  # takes and gives some bytes at a time
        def __init__(self, data=b""):
            self.data = bytearray(data)

        def write(self, data):
            self.data += data[:100_000]
            return min(len(data), 100_000)

        def read(self, size):
            some = bytes(self.data[: min(size, 300_000)])
            del self.data[: len(some)]
            return some

    with shoal.Store(path) as store:
        wanted = filled(store)
        memory, slow = io.BytesIO(), Slow()
        assert store.backup(memory).file_bytes == len(memory.getvalue())
        store.backup(slow)
    for source in (io.BytesIO(memory.getvalue()), slow):
        shoal.restore(source, tmp_path / "restored", memory_limit_bytes=64 << 20)
        with shoal.Store.attach(tmp_path / "restored") as store:
            assert {key: store.records(key) for key in store} == wanted
            assert store.stats().memory_limit_bytes == 64 << 20
        shoal.Store.destroy(tmp_path / "restored")
    with pytest.raises(shoal.Damaged, match="cut off"):
        shoal.restore(io.BytesIO(memory.getvalue()[:-1]), tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_what_a_callback_raises_comes_through_and_the_backup_is_resumed(path, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    class Broken:
        def write(self, data):
            raise BrokenPipeError("nobody reads")

        def read(self, size):
            return "text"

    with shoal.Store(path, durable=True) as store:
        for key in range(40):
            store.append(str(key), os.urandom(1_000_000))
        wanted = {key: store.records(key) for key in store}
        with pytest.raises(KeyboardInterrupt):
            store.backup(tmp_path / "backup", progress=stop)
        assert not (tmp_path / "backup").exists()
        assert store.backup(tmp_path / "backup", resume=True).resumed_bytes > 1_000_000
        with pytest.raises(BrokenPipeError):
            store.backup(Broken())
    with pytest.raises(TypeError):
        shoal.restore(Broken(), tmp_path / "restored")
    with pytest.raises(KeyboardInterrupt):
        shoal.restore(tmp_path / "backup", tmp_path / "restored", progress=stop)
    assert not (tmp_path / "restored").exists()
    assert shoal.restore(tmp_path / "backup", tmp_path / "restored").synced
    with shoal.Store.attach(tmp_path / "restored") as store:
        arena = store.stats().arena_path
    os.unlink(arena)
    with shoal.Store.attach(tmp_path / "restored") as store:
        assert {key: store.records(key) for key in store} == wanted
    shoal.Store.destroy(tmp_path / "restored")
