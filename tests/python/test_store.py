"""What each operation of shoal.Store does."""

import array
import dataclasses
import os
import pickle
import re
import threading
from pathlib import Path

import numpy
import pytest

import shoal
from conftest import MIB


def test_a_value_is_its_records_in_the_order_of_their_appends(store):
    store.append("key", b"one ")
    store.append({"key": b"two "})
    store.extend("key", [b"three ", b"four"])
    assert store["key"] == b"one two three four"
    assert store.records("key") == [b"one ", b"two ", b"three ", b"four"]


def test_str_and_bytes_are_one_key_and_come_back_as_bytes(store):
    store.append("gr\u00fcn", b"1")
    store.append("gr\u00fcn".encode(), b"2")
    assert store.get("gr\u00fcn") == b"12"
    assert list(store) == ["gr\u00fcn".encode()]


def test_keys_are_any_bytes_up_to_their_limit(store):
    keys = [b"", b"\0", bytes(range(256)), b"x" * 65536, b"1", b"\x01"]
    for number, key in enumerate(keys):
        store.append(key, b"%d" % number)
    assert {key: store[key] for key in store} == {key: b"%d" % number for number, key in enumerate(keys)}
    with pytest.raises(shoal.InvalidArgument, match="65536"):
        store.append(b"x" * 65537, b"")


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview")[2:6],
        array.array("d", [1.5, 2.5]),
        numpy.arange(6, dtype=numpy.int16).reshape(2, 3),
        numpy.float64(1.5),
        b"",
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_whatever_has_the_buffer_protocol(store, value):
    store.append("one", value)
    store.append({"mapping": value})
    store.extend("many", [value, value])
    store.iset("once", value)
    assert store["one"] == store["mapping"] == store["once"] == bytes(value)
    assert store.records("many") == [bytes(value)] * 2


def test_what_is_no_value_or_no_key_is_refused_before_anything_is_appended(store):
    for wrong in ("text", 1, None, [b"list"]):
        with pytest.raises(TypeError):
            store.append({"before": b"fine", "key": wrong})
        with pytest.raises(TypeError):
            store.extend("before", [b"fine", wrong])
        with pytest.raises(TypeError):
            store.iset("key", wrong)
    for wrong in (1, None, ("a",), bytearray(b"a")):
        with pytest.raises(TypeError):
            store.append(wrong, b"value")
        with pytest.raises(TypeError):
            store.get(wrong)
        with pytest.raises(TypeError):
            wrong in store
    with pytest.raises(TypeError, match="for a single one there is append"):
        store.extend("key", b"not a list")
    with pytest.raises(ValueError, match="a key and a record"):
        store.extend([("key", b"1", b"2")])
    with pytest.raises(UnicodeEncodeError):
        store.append("\udcff", b"")
    with pytest.raises((BufferError, ValueError)):
        store.append("key", numpy.arange(10)[::2])
    assert len(store) == 0


def test_a_bytearray_that_was_appended_can_be_resized_again(store):
    value = bytearray(b"abc")
    store.append({"key": value})
    value.extend(b"def")
    assert store["key"] == b"abc"


def test_get_of_a_list_has_its_form(store):
    store.append({"a": b"1", b"b": b"2"})
    assert store.get(["a", ["b", [], ["missing", "a"]]]) == [b"1", [b"2", [], [None, b"1"]]]
    assert store.get(["missing"], default=b"") == [b""]
    endless = []
    endless.append(endless)
    with pytest.raises(RecursionError):
        store.get(endless)


def test_any_mapping_can_be_appended_and_extended(store):
    class Items:
        def items(self):
            return iter([("a", b"1"), ("b", b"2")])

        def __len__(self):
            return 2

    store.append(Items())
    store.extend({"a": (record for record in (b"3", b"4")), "b": []})
    assert store.get(["a", "b"]) == [b"134", b"2"]


def test_what_is_missing_is_a_default_or_a_key_error(store):
    assert store.get("missing") is None
    assert store.get("missing", 7) == 7
    assert "missing" not in store
    assert not store.delete("missing")
    for look in (store.__getitem__, store.__delitem__, store.records, store.view, store.view_records, store.size):
        with pytest.raises(KeyError) as raised:
            look("missing")
        assert isinstance(raised.value, shoal.KeyNotFound)


def test_get_into_fills_memory_of_the_callers(store):
    store.append("key", b"12345")
    memory = numpy.zeros(8, dtype=numpy.uint8)
    assert store.get_into("key", memory) == 5
    assert bytes(memory) == b"12345\0\0\0"
    with pytest.raises(shoal.BufferTooSmall) as raised:
        store.get_into("key", bytearray(4))
    assert raised.value.needed == 5
    with pytest.raises(BufferError):
        store.get_into("key", b"readonly")


def test_values_larger_than_a_segment_come_back_whole(store):
    value = os.urandom(5 * MIB + 3)
    store.append("large", value)
    store.append("large", memoryview(value)[:MIB])
    assert store["large"] == value + value[:MIB]
    assert store.get(["large"]) == [value + value[:MIB]]


def test_delete_and_drop_remove_keys(store):
    store.append({"a": b"1", "b": b"2", "c": b"3"})
    assert store.delete("a")
    del store["b"]
    assert store.keys() == [b"c"]
    store.drop()
    assert len(store) == 0 and list(store) == []
    store.append("a", b"anew")
    assert store["a"] == b"anew"


def test_keys_are_iterated_without_a_list_and_by_prefix(store):
    names = {f"user:{number}".encode() for number in range(3000)}
    store.append({name: b"value" for name in names})
    store.append({b"": b"1", b"user": b"2", b"\x00\xff": b"3"})
    assert sorted(store) == sorted(store.keys()) == sorted(names | {b"", b"user", b"\x00\xff"})
    assert set(store.iter_keys("user:")) == set(store.iter_keys(prefix=b"user:")) == names
    assert list(store.iter_keys(b"\x00")) == [b"\x00\xff"]
    assert list(store.iter_keys("none")) == []
    keys = iter(store)
    assert iter(keys) is keys
    first = next(keys)
    assert first not in set(keys)
    with pytest.raises(StopIteration):
        next(keys)


def test_a_store_may_be_changed_while_its_keys_are_iterated(store):
    store.append({f"key {number}": b"value" for number in range(2000)})
    seen = []
    for key in store:
        seen.append(key)
        store.delete(key)
        store.append(key, b"again")
        store.append(b"new " + key if not key.startswith(b"new ") and len(seen) < 2000 else b"new", b"value")
    assert len(seen) == len(set(seen))
    assert len([key for key in seen if key.startswith(b"key ")]) == 2000
    for key in store:
        store.drop()
    assert list(store) == []


def test_an_iterator_of_a_closed_store_raises(path):
    store = shoal.Store(path, memory_limit_bytes=64 * MIB)
    store.append({f"key {number}": b"value" for number in range(10)})
    keys = iter(store)
    next(keys)
    store.close()
    with pytest.raises(shoal.Closed):
        next(keys)
    with pytest.raises(shoal.Closed):
        store.iter_keys()
    shoal.Store.destroy(path)


def test_an_iterator_is_for_one_thread_at_a_time_and_others_are_told(store):
    store.append({f"key {number}": b"value" for number in range(20_000)})
    keys, seen, told = iter(store), [], []

    def take():
        while True:
            try:
                seen.append(next(keys))
            except ValueError as error:
                told.append(error)
            except StopIteration:
                return

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen)) == 20_000


def test_a_store_that_is_only_read_gives_all_and_changes_nothing(store, path):
    store.extend("apple", [b"red,", b"", b"green,"])
    store.append("large", b"x" * 3_000_000)
    with shoal.Store.attach(path, read_only=True) as own, shoal.Store(path, read_only=True) as again:
        assert own["apple"] == again["apple"] == b"red,green,"
        assert own.records("apple") == [b"red,", b"", b"green,"]
        assert bytes(own.view("large")) == store["large"]
        assert own.get(["apple", "pear"]) == [b"red,green,", None]
        assert sorted(own) == [b"apple", b"large"] and len(own) == 2 and "apple" in own
        assert own.size("apple") == shoal.ValueSize(bytes=10, records=3)
        for change in (
            lambda: own.append("apple", b"x"),
            lambda: own.extend("apple", [b"x"]),
            lambda: own.iset("pear", b"x"),
            lambda: own.delete("apple"),
            own.drop,
            own.sync,
            own.spill,
            own.attached,
        ):
            with pytest.raises(shoal.ReadOnly, match="read_only"):
                change()
        with pickle.loads(pickle.dumps(own)) as copy:
            assert copy["apple"] == b"red,green,"
            with pytest.raises(shoal.ReadOnly):
                copy.append("apple", b"x")
    assert store["apple"] == b"red,green,"
    with pytest.raises(shoal.StoreNotFound):
        shoal.Store(str(path) + "-none", read_only=True)


def test_stats_and_size_count(store, path):
    store.extend("key", [b"12", b"345"])
    assert store.size("key") == shoal.ValueSize(bytes=5, records=2)
    stats = store.stats()
    assert (stats.path, stats.keys, stats.records, stats.payload_bytes) == (str(path), 1, 2, 5)
    assert stats.memory_limit_bytes == 64 * MIB
    mine = [attached for attached in store.attached() if attached.process_id == os.getpid()]
    assert mine and all(attached.alive for attached in mine)


@pytest.mark.parametrize(
    "kind, header",
    [
        (shoal.Stats, "options.hpp"),
        (shoal.Attached, "options.hpp"),
        (shoal.ValueSize, "options.hpp"),
        (shoal.Synced, "options.hpp"),
        (shoal.Leftover, "leftover.hpp"),
        (shoal.Damage, "verify.hpp"),
        (shoal.VerifyReport, "verify.hpp"),
    ],
)
def test_a_report_has_the_fields_that_it_has_in_c_plus_plus(kind, header):
    source = (Path(__file__).parents[2] / "include" / "shoal" / header).read_text()
    body = re.search(rf"^struct {kind.__name__} {{$(.*?)^}};$", source, re.M | re.S)[1]
    declarations = re.sub(r"//.*|\[\[.*|static .*?;", "", body)
    names = re.findall(r"(\w+)(?:\s*=[^;]*)?;", declarations)
    assert [field.name for field in dataclasses.fields(kind)] == names


def test_verify_counts_and_finds_nothing_wrong(store, path):
    store.append({"a": b"1", "b": b"22"})
    report = shoal.Store.verify(path)
    assert report.sound and report.damage == ()
    assert (report.keys, report.records, report.payload_bytes) == (2, 2, 3)


def test_a_closed_store_says_so_and_closes_once_more(path):
    store = shoal.Store(path)
    with store:
        store.append("key", b"value")
    assert store.closed
    store.close()
    for use in (lambda: store["key"], lambda: store.append("key", b""), lambda: len(store), lambda: store.stats()):
        with pytest.raises(shoal.Closed):
            use()
    with shoal.Store.attach(path) as again:
        assert again["key"] == b"value"


def test_attach_makes_nothing_and_destroy_leaves_nothing(path, tmp_path):
    with pytest.raises(FileNotFoundError):
        shoal.Store.attach(path)
    with pytest.raises(FileNotFoundError):
        shoal.Store.destroy(path)
    assert os.listdir(tmp_path) == []
    with shoal.Store(os.fsencode(path)) as store:
        store.append("key", b"value")
        arena = store.stats().arena_path
        with pytest.raises(shoal.InUse, match="this process"):
            shoal.Store.destroy(path)
        store.append("key", b"value")
        shoal.Store.destroy(path, force=True)
        with pytest.raises(shoal.Destroyed):
            store.append("key", b"value")
    assert os.listdir(tmp_path) == [] and not os.path.exists(arena)


def test_a_temporary_store_goes_when_its_last_owner_closes_it(path):
    first = shoal.Store(path, temporary=True)
    second = shoal.Store(path)
    first.append("key", b"value")
    first.close()
    assert second["key"] == b"value"
    second.close()
    assert not path.exists()


def test_an_open_store_is_known_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with shoal.Store("relative", temporary=True) as store:
        assert store.path == str(tmp_path / "relative")
        assert repr(store) == f"<shoal.Store {str(tmp_path / 'relative')!r}>"
    assert repr(store).endswith("closed>")
    with shoal.Store.in_memory() as store:
        assert store.path == "" and repr(store) == "<shoal.Store in memory>"


def test_a_file_name_that_is_no_utf_8_is_a_path_all_the_same(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff"
    with shoal.Store(path, temporary=True) as store:
        assert os.fsencode(store.path) == path
        assert os.fsencode(store.stats().path) == path


def test_a_store_that_spills_holds_more_than_its_memory(spilling):
    values = {f"key {number}": os.urandom(MIB) for number in range(24)}
    for key, value in values.items():
        spilling.append(key, value)
    assert spilling.stats().spilled_bytes > 8 * MIB
    assert dict(zip(values, spilling.get(list(values)))) == values
    assert all(spilling[key] == value for key, value in values.items())
    assert spilling.view("key 0").loaded_bytes in (0, MIB)


def test_codecs_are_of_the_store_or_of_a_key(spilling):
    spilling.append({"plain": bytes(MIB), "packed": bytes(MIB)})
    spilling.set_codec("plain", "none")
    spilling.spill()
    stats = spilling.stats()
    assert stats.codec == "lz4" and stats.spilled_bytes == 2 * MIB
    assert MIB < stats.stored_bytes < 1.2 * MIB
    with pytest.raises(shoal.InvalidArgument, match="blosc"):
        spilling.set_codec("plain", "nonsense")
    with pytest.raises(shoal.KeyNotFound):
        spilling.set_codec("missing", "lz4")


def test_each_part_goes_through_a_value_until_it_is_told_to_stop(spilling):
    rows = [os.urandom(100_000) for _ in range(200)]
    spilling.extend("key", rows)
    seen, sizes = [], []

    def take(part):
        seen.extend(bytes(record) for record in part)
        sizes.append(part.nbytes)

    spilling.each_part("key", take, 2 * MIB)
    assert seen == rows and len(sizes) > 5
    calls = []
    spilling.each_part("key", lambda part: calls.append(part) or len(calls) < 2, 2 * MIB)
    assert len(calls) == 2
    with pytest.raises(ZeroDivisionError):
        spilling.each_part("key", lambda part: 1 / 0)
    with pytest.raises(shoal.KeyNotFound):
        spilling.each_part("missing", take)


def test_progress_of_gets_adds_up(spilling):
    values = {f"key {number}": os.urandom(MIB) for number in range(40)}
    spilling.append(values)
    spilling.append("large", b"".join(list(values.values())[:4]))
    done = []
    assert spilling.get(list(values), progress=done.append) == list(values.values())
    assert sum(done) == 40 * MIB and len(done) > 2
    done.clear()
    assert spilling.get("large", progress=done.append) == spilling["large"]
    assert sum(done) == 4 * MIB
    assert spilling.get("missing", b"", progress=done.append) == b""
    with pytest.raises(ZeroDivisionError):
        spilling.get("large", progress=lambda bytes: 1 / 0)


def test_progress_of_a_spill_adds_up_to_what_it_gives(path, tmp_path):
    (tmp_path / "spill").mkdir()
    # With so much room the store's own threads have no reason to spill before it does.
    with shoal.Store(path, memory_limit_bytes=1024 * MIB, spill_dir=tmp_path / "spill", temporary=True) as store:
        store.append({f"key {number}": bytes(MIB) for number in range(200)})
        before = store.stats()
        done = []
        freed = store.spill(100 * MIB, progress=done.append)
        assert len(done) == 2 and 100 * MIB <= sum(done) == freed < 150 * MIB
        freed += store.spill(progress=done.append)
        assert sum(done) == freed >= 200 * MIB
        assert store.stats().used_bytes <= before.used_bytes - 200 * MIB
