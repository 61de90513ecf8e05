"""shoal.partd: each class against a plain dictionary, alone and composed, and beside the real partd."""

import doctest
import gc
import importlib
import multiprocessing
import os
import pickle
import pkgutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import partd as real
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
import shoal.partd as partd
from shoal.partd.keys import all_encoded, encoded

KEYS = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.booleans(),
    st.binary(max_size=8),
    st.floats(allow_nan=False),
    st.none(),
    st.tuples(st.sampled_from(["a", "b", 1]), st.text(max_size=3)),
    st.sampled_from(["1", 1, "Foo!", "Foo", "../x", "a/b", ("a", "b"), "\u00e9", "x.dtype", ".lock", ""]),
)
BYTES = st.binary(max_size=50)
LISTS = st.lists(st.one_of(st.integers(), st.text(max_size=5), st.tuples(st.integers()), st.none()), max_size=4)
ARRAYS = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5).map(lambda values: np.array(values, "i4"))

# How to make each, what it holds, and what joins that.
PARTS = {
    "Dict": (partd.Dict, BYTES, b"".join),
    "File": (partd.File, BYTES, b"".join),
    "Buffer": (lambda: partd.Buffer(partd.Dict(), partd.File(), available_memory=1e7), BYTES, b"".join),
    "Buffer of foreign parts": (lambda: partd.Buffer(real.Dict(), partd.Dict(), 60), BYTES, b"".join),
    "Pickle": (lambda: partd.Pickle(partd.Dict()), LISTS, lambda lists: sum(lists, [])),
    "Python": (lambda: partd.Python(partd.Dict()), LISTS, lambda lists: sum(lists, [])),
    "ZLib": (lambda: partd.ZLib(partd.Dict()), BYTES, b"".join),
    "Pickle(BZ2(File))": (lambda: partd.Pickle(partd.BZ2(partd.File())), LISTS, lambda lists: sum(lists, [])),
    "Numpy": (lambda: partd.Numpy(partd.Dict()), ARRAYS, lambda arrays: np.concatenate([np.empty(0, "i4"), *arrays])),
    "Pickle of a foreign part": (lambda: partd.Pickle(real.Dict()), LISTS, lambda lists: sum(lists, [])),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_holds_what_a_dictionary_holds(name):
    make, values, join = PARTS[name]
    appends = st.lists(st.dictionaries(KEYS, values, max_size=4), max_size=5)

    @given(appends, st.lists(KEYS, max_size=2))
    def check(history, deleted):
        with make() as part:
            model = {}
            for data in history:
                part.append(data)
                for key, value in data.items():
                    model.setdefault(key, []).append(value)
            part.delete(deleted)
            model = {key: value for key, value in model.items() if key not in deleted}
            keys = list(model)
            for got, key in zip(part.get([keys, keys])[1], keys):
                expected = join(model[key])
                assert (got == expected).all() if isinstance(got, np.ndarray) else got == expected
            part.drop()
            assert all(len(part.get(key)) == 0 for key in keys)

    check()


@given(KEYS, KEYS)
def test_keys_are_one_where_python_says_so_and_only_there(a, b):
    assert (encoded(a) == encoded(b)) == (a == b)


@given(st.lists(st.one_of(KEYS, st.text(st.characters(exclude_categories=[])))))
def test_many_keys_are_encoded_as_each_is(keys):
    assert all_encoded(keys) == list(map(encoded, keys))


class Fruit:
    """Of a kind that shoal knows only the text of."""

    def __str__(self):
        return "fruit"


def test_keys_that_are_one_in_the_store_lose_no_value_in_one_append():
    with partd.Dict() as part:
        part.append({Fruit(): b"1", Fruit(): b"2"})
        assert part.get(Fruit()) == b"12"


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(partd.__path__)])
def test_the_examples_of(name):
    failed, _ = doctest.testmod(importlib.import_module(f"shoal.partd.{name}"))
    assert failed == 0


# The real Numpy and PandasColumns ask a Dict for a destructor that it has not.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["Dict", "File", "Pickle", "Numpy", "PandasBlocks", "PandasColumns"])
def test_the_same_calls_have_the_results_that_the_real_partd_has(kind, tmp_path):
    values = {
        "Pickle": ([1, "a"], [None]),
        "Numpy": (np.array([1.5, 2.5]), np.array([3.5])),
        "PandasBlocks": (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), pd.DataFrame({"a": [3], "b": ["z"]})),
        "PandasColumns": (pd.DataFrame({"a": [1, 2], "b": [1.5, 2.5]}), pd.DataFrame({"a": [3], "b": [3.5]})),
    }.get(kind, (b"one", b"two"))
    seen = []
    for module in (real, partd):
        inner = () if kind in ("Dict", "File") else (module.Dict(),)
        part = getattr(module, kind)(*inner)
        part.append({"x": values[0], ("y", 1): values[1]})
        part.append({"x": values[1]}, lock=True)
        seen.append([part.get("x"), part.get(["x", [("y", 1)]])])
        with part.lock:
            seen[-1].append(part.get("x", lock=False))
        if kind not in ("Numpy", "PandasColumns"):  # of which the real ones cannot be deleted from
            part.delete("x")
            part.append({"x": values[0]})
            seen[-1].append(part.get("x"))
        part.drop()
        if kind == "File":
            part.__exit__(None, None, None)
        del part
        gc.collect()
    assert repr(seen[0]) == repr(seen[1])


def test_a_file_is_there_again_by_its_path_and_goes_at_the_end_of_with(tmp_path):
    path = str(tmp_path / "part")
    partd.File(path).append({"x": b"abc"})
    assert partd.File(path).get("x") == b"abc"
    with partd.File(path) as part:
        part.append({"x": b"def"})
        assert part.get("x") == b"abcdef"
    assert not os.path.exists(path)


def test_no_key_leads_out_of_the_folder(tmp_path):
    with partd.File(str(tmp_path / "part")) as part:
        part.append({"../../outside": b"1", "/tmp/outside": b"2", "a\0b": b"3"})
        assert part.get(["../../outside", "/tmp/outside", "a\0b"]) == [b"1", b"2", b"3"]
        assert os.listdir(tmp_path) == ["part"]


def test_iset_is_of_the_first_and_what_is_deleted_can_be_set_again():
    for make in (partd.Dict, partd.File, lambda: partd.Buffer(real.Dict(), partd.Dict())):
        with make() as part:
            part.iset("x", b"first")
            part.iset("x", b"second")
            assert part.get("x") == part.iget("x") == b"first"
            part.delete("x")
            part.iset("x", b"third")
            assert part.get("x") == b"third"


def test_parts_are_pickled_files_by_path_and_dictionaries_by_content():
    with partd.Pickle(partd.File()) as part:
        part.append({"x": [1]})
        again = pickle.loads(pickle.dumps(part))
        again.append({"x": [2]})
        assert part.get("x") == [1, 2]
        again.partd.store.close()
    part = partd.Dict()
    part.append({"x": b"1"})
    again = pickle.loads(pickle.dumps(part))
    again.append({"x": b"2"})
    assert (part.get("x"), again.get("x")) == (b"1", b"12")


def append_numbers(part, worker):
    for number in range(200):
        part.append({"x": b"%d:%d;" % (worker, number)})


def test_pop_takes_each_record_once_while_processes_and_threads_append():
    with partd.File() as part:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=append_numbers, args=(part, number)) for number in range(2)]
        workers.append(threading.Thread(target=append_numbers, args=(part, 2)))
        for worker in workers:
            worker.start()
        taken = b""
        while any(worker.is_alive() for worker in workers):
            taken += part.pop("x")
        for worker in workers:
            worker.join()
        taken += part.pop("x")
        assert sorted(taken.split(b";")[:-1]) == sorted(b"%d:%d" % (w, n) for w in range(3) for n in range(200))
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._stop()


@pytest.mark.parametrize("kind", ["Numpy", "PandasColumns"])
def test_what_takes_several_steps_is_one_for_others(kind):
    """While threads append, others pop and get: each row comes once, whole, and no call fails."""
    interval, count = sys.getswitchinterval(), 3000 if kind == "Numpy" else 100
    sys.setswitchinterval(1e-5)
    try:
        with getattr(partd, kind)(partd.Dict()) as part:

            def value(number):
                if kind == "Numpy":
                    return np.array([number])
                return pd.DataFrame({"a": [number], "b": [number]}, index=[number])

            def numbers(got):
                if kind == "PandasColumns" and len(got):
                    assert (got.a == got.b).all() and (got.a == got.index).all()
                    got = got.a
                return [int(number) for number in got]

            with ThreadPoolExecutor() as threads:
                jobs = [
                    threads.submit(lambda n=n: [part.append({"x": value(n * count + i)}) for i in range(count)])
                    for n in range(3)
                ]
                taken = []
                while not all(job.done() for job in jobs):
                    taken += numbers(part.pop("x"))
                    numbers(part.get("x"))
                for job in jobs:
                    job.result()
            taken += numbers(part.pop("x"))
            assert sorted(taken) == list(range(3 * count))
            assert len(part.get("x")) == 0
    finally:
        sys.setswitchinterval(interval)


def test_who_has_the_lock_is_alone_until_it_is_given_back():
    with partd.Dict() as part:
        appended = threading.Event()

        def append():
            part.append({"x": b"late"})
            appended.set()

        with part.lock:
            thread = threading.Thread(target=append)
            thread.start()
            part.append({"x": b"early,"}, lock=False)
            assert part.get("x", lock=False) == b"early,"
            assert not appended.is_set()
        thread.join()
        assert part.get("x") == b"early,late"
        with pytest.raises(RuntimeError):
            part.lock.release()


def test_a_buffer_of_foreign_parts_keeps_to_its_memory_and_the_order_of_appends():
    fast, slow = real.Dict(), real.Dict()
    with partd.Buffer(fast, slow, available_memory=100) as part:
        for number in range(50):
            part.append({"x": b"%02d," % number, number: b"0123456789"})
            assert part.memory_usage <= 100
        assert part.get("x") == b"".join(b"%02d," % number for number in range(50))
        assert part.get(list(range(50))) == [b"0123456789"] * 50
        part.flush()
        assert part.memory_usage == 0 and fast.data == {}


def test_a_buffer_of_our_own_is_one_store_that_spills(tmp_path):
    with partd.Buffer(partd.Dict(), partd.File(str(tmp_path / "part")), available_memory=8 << 20) as part:
        values = {number: os.urandom(1 << 20) for number in range(24)}
        for number, value in values.items():
            part.append({number: value})
        assert part.get(list(values)) == list(values.values())
        stats = part.slow.store.stats()
        assert stats.memory_limit_bytes == 8 << 20 and stats.spilled_bytes > 8 << 20
        assert part.memory_usage < 8 << 20
    assert os.listdir(tmp_path) == []


def test_numpy_refuses_another_dtype_and_text_that_is_no_dtype():
    with partd.Numpy(partd.Dict()) as part:
        part.append({"x": np.array([1, 2]), "o": np.array(["a", None], object)})
        with pytest.raises(TypeError, match="'x'"):
            part.append({"x": np.array([1.5])})
        structured = np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])
        part.append({"s": structured, "o": np.array([3], object)})
        assert part.get("s").tolist() == [(1, 2.5)] and part.get("s").dtype == structured.dtype
        assert part.get("o").tolist() == ["a", None, 3]
        assert part.get("x").tolist() == [1, 2]
        with pytest.raises(ValueError):
            importlib.import_module("shoal.partd.numpy").parse_dtype(b"[__import__('os').getpid()]")


def test_pandas_frames_come_back_as_pandas_would_join_them():
    first = pd.DataFrame(
        {
            "number": [1, 2],
            "text": ["a", None],
            "when": pd.to_datetime(["2020-01-01", "2021-01-01"]).tz_localize("UTC"),
            "kind": pd.Categorical(["x", "y"]),
        },
        index=pd.Index([10, 11], name="id"),
    )
    joined = pd.concat([first, first.iloc[:1]])
    for make in (partd.PandasBlocks, partd.PandasColumns):
        with make(partd.Dict()) as part:
            part.append({"x": first})
            part.append({"x": first.iloc[:1]})
            pd.testing.assert_frame_equal(part.get("x"), joined)
            written = part.get("x")
            written.loc[10, "number"] = 7
            if make is partd.PandasColumns:
                pd.testing.assert_frame_equal(part.get("x", columns=["kind", "number"]), joined[["kind", "number"]])
            part.delete("x")
            part.append({"x": first})
            pd.testing.assert_frame_equal(part.get("x"), first)


def test_damaged_frames_are_an_error():
    with partd.Dict() as inner:
        part = partd.ZLib(inner)
        inner.append({"x": b"\xff" * 8 + b"short"})
        with pytest.raises(ValueError, match="cut off"):
            part.get("x")
        with pytest.raises(ValueError):
            partd.python.loads(b"unknown")


def test_a_part_without_a_path_leaves_no_folder():
    part = partd.File()
    part.append({"x": b"1"})
    path = part.path
    assert path in partd.file.cleanup_files and os.path.isdir(path)
    del part
    assert not os.path.exists(path)
    assert not any(leftover.store_path == path for leftover in shoal.Store.collect(dry_run=True))


def test_a_value_appended_with_fsync_outlives_its_arena(tmp_path):
    path = str(tmp_path / "part")
    for make in (partd.File, lambda path: partd.ZLib(partd.Buffer(partd.Dict(), partd.File(path)))):
        part = make(path)
        part.append({"x": b"1"})
        part.append({"x": b"2", ("y", 1): b"3"}, fsync=True)
        with shoal.Store.attach(path) as store:
            os.unlink(store.stats().arena_path)
        del part
        again = make(path)
        assert again.get(["x", ("y", 1)]) == [b"12", b"3"]
        again.__exit__(None, None, None)


def test_what_has_no_files_or_goes_anyway_takes_fsync_too():
    for part in (partd.Dict(), partd.File(), partd.Pickle(partd.Dict()), partd.Numpy(partd.Dict())):
        with part:
            part.append({}, fsync=True)


def test_fsync_of_a_part_that_cannot_be_synced_is_an_error(tmp_path):
    path = tmp_path / "part"
    with shoal.Store(path):
        part = partd.File(str(path))
        with pytest.raises(shoal.InvalidArgument):
            part.append({"x": b"1"}, fsync=True)
        assert part.get("x") == b"1"
        part.append({"x": b"2"})
    part.__exit__(None, None, None)
