"""shoal.dask: what Dask computes by it is pandas' own result, on every scheduler, and nothing is left of it."""

import doctest
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")
db = pytest.importorskip("dask.bag")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from dask.callbacks import Callback  # noqa: E402
from dask_work import fail_once_shuffled, kill_own_worker_once, parity, spread  # noqa: E402

import shoal  # noqa: E402
import shoal.dask  # noqa: E402
from shoal.dask import frames  # noqa: E402
from shoal.dask.exchange import Exchange, Options, Source  # noqa: E402

ON_DISK = {"shuffle" if dask.__version__ < "2023" else "dataframe.shuffle.method": "disk"}

LEFT = pd.DataFrame(
    {
        "key": np.random.default_rng(1).integers(0, 50, 3000),
        "value": np.random.default_rng(2).random(3000),
        "text": [f"text {number % 97}" for number in range(3000)],
    }
)
RIGHT = pd.DataFrame({"key": range(0, 60, 2), "name": [f"name {number}" for number in range(30)]})


def in_order(df):
    """Rows of a partition come as tasks have written them, which is in no order."""
    return df.sort_values(list(df.columns), kind="stable").reset_index(drop=True)


def assert_same_rows(found, expected):
    pd.testing.assert_frame_equal(in_order(found), in_order(expected), check_dtype=False, check_categorical=False)


def arenas_of(folder):
    """Which arenas there are of stores in it, open or left."""
    found = shoal.Store.collect(dry_run=True)
    return [arena.arena_path for arena in found if arena.store_path.startswith(str(folder))]


@pytest.fixture
def folder(tmp_path):
    """Where the shuffles of a test have their stores."""
    with dask.config.set({**ON_DISK, "temporary_directory": str(tmp_path)}):
        yield tmp_path
    assert_nothing_is_left(tmp_path)


def assert_nothing_is_left(folder):
    """No store in it, nor the arena of one; workers look only now and then whether they still need theirs."""
    deadline = time.monotonic() + 60
    while (list(folder.glob("shoal-dask-*")) or arenas_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (list(folder.glob("shoal-dask-*")), arenas_of(folder)) == ([], [])


@contextmanager
def distributed_workers():
    """Two that are processes of one thread each, and their scheduler in this one."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
        ) as made,
        distributed.Client(made),
    ):
        yield


@pytest.fixture
def threads(folder):
    """Dask's, but none of a pool that outlives the test."""
    with ThreadPoolExecutor(2) as pool, dask.config.set(scheduler="threads", pool=pool):
        yield


@pytest.fixture
def processes(folder):
    """Dask's, of a pool that each computation makes."""
    with dask.config.set(scheduler="processes", num_workers=2):
        yield


@pytest.fixture
def distributed(folder, event_loops):
    with distributed_workers():
        yield
        assert_nothing_is_left(folder)


SCHEDULERS = pytest.mark.parametrize("scheduler", ["threads", "processes", "distributed"])


@SCHEDULERS
def test_what_is_computed_is_pandas_own_result(scheduler, request):
    request.getfixturevalue(scheduler)
    left = dd.from_pandas(LEFT, npartitions=5)
    right = dd.from_pandas(RIGHT, npartitions=3)
    with shoal.dask.shuffle():
        by_value = left.set_index("value")
        merged = left.merge(right, on="key", how="inner")
        applied = left.groupby("key").apply(spread, meta=("value", "f8"))
        groups = db.from_sequence(range(1000), npartitions=4).groupby(parity, shuffle="disk")
        by_value, merged, applied, groups = dask.compute(by_value, merged, applied, groups)
    pd.testing.assert_frame_equal(by_value, LEFT.set_index("value").sort_index(), check_dtype=False)
    assert_same_rows(merged, LEFT.merge(RIGHT, on="key", how="inner"))
    expected = LEFT.groupby("key")[["value"]].apply(spread)
    pd.testing.assert_series_equal(applied.sort_index(), expected, check_names=False)
    assert {key: sorted(values) for key, values in groups} == {
        key: [number for number in range(1000) if number % 7 == key] for key in range(7)
    }


def test_rows_of_a_key_are_in_one_partition_with_their_index_and_types(threads):
    frame = dd.from_pandas(LEFT.set_index(LEFT.index + 7), npartitions=5)
    with shoal.dask.shuffle():
        parts = dask.compute(*frame.shuffle("key", npartitions=8).to_delayed())
    assert len(parts) == 8 and sum(map(len, parts)) == len(LEFT)
    assert sum(part["key"].nunique() for part in parts) == LEFT["key"].nunique()
    whole = pd.concat(parts).sort_index()
    pd.testing.assert_frame_equal(whole, frame.compute(scheduler="sync"), check_index_type=False)
    pd.testing.assert_index_equal(parts[0].columns, LEFT.columns, exact=False)


TIMES = pd.date_range("2020-01-01", periods=12, freq="h")
KINDS = {
    "numbers": [1, -2, 3] * 4,
    "small numbers": np.arange(12, dtype="i1"),
    "objects": pd.Series([[1, 2], None, "text", ("a", "b")] * 3, dtype=object),
    "strings": pd.array(["", "a", None, "\u00e9\u00e9\u00e9"] * 3, dtype="string"),
    "whole numbers with missing ones": pd.array([1, None, 3] * 4, dtype="Int64"),
    "truths with missing ones": pd.array([True, None, False] * 4, dtype="boolean"),
    "categories": pd.Categorical(["x", None, "y"] * 4, ordered=True),
    "times": TIMES,
    "times of a zone": TIMES.tz_localize("Europe/Paris"),
    "spans": TIMES - TIMES[0],
    "periods": TIMES.to_period("D"),
    "intervals": pd.arrays.IntervalArray.from_breaks(range(13)),
}
try:
    import pyarrow

    KINDS["arrow's strings"] = pd.array(["", "a", None, "\u00e9\u00e9\u00e9"] * 3, dtype="string[pyarrow]")
    KINDS["no missing string"] = pd.array(["", "a", "b"] * 4, dtype="string[pyarrow]")
    KINDS["arrow's numbers"] = pd.array([1, None, 3] * 4, dtype=pd.ArrowDtype(pyarrow.int64()))
except (ImportError, AttributeError):
    pass


class Measured(pd.DataFrame):
    @property
    def _constructor(self):
        return Measured


@pytest.fixture
def exchange(path):
    with shoal.Store(path) as store:
        yield Exchange("of the test", store)


def read_all(exchange, attempts, meta):
    return {number: frames.read(exchange, number, meta, b"".join(attempts)) for number in range(4)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_comes_back_as_it_was(exchange, kind):
    """In two pieces a partition, in the order of its rows; as a column, and as the index."""
    df = pd.DataFrame({kind: KINDS[kind], "to": np.array([0, 3, 0, 1] * 3, "u4")})
    for frame in (df, df.set_index(kind)):
        attempts = [frames.write(half, "to", range(4), exchange) for half in (frame[:5], frame[5:])]
        found = read_all(exchange, attempts, frame[:0])
        for number in range(4):
            pd.testing.assert_frame_equal(found[number], frame[frame["to"] == number], check_freq=False)


def test_names_of_any_kind_and_levels_of_an_index_come_back(exchange):
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["letter", None])
    df = pd.DataFrame([[1, 2.5, 0], [3, 4.5, 1], [5, 6.5, 0], [7, 8.5, 1]], index=index)
    df.columns = pd.Index([("a", 1), None, "to"], dtype=object)
    found = read_all(exchange, [frames.write(df, "to", range(4), exchange)], df[:0])
    for number in range(4):
        pd.testing.assert_frame_equal(found[number], df[df["to"] == number])


def test_pieces_of_different_types_are_joined_as_pandas_joins_them(exchange):
    first = pd.DataFrame({"to": [1, 1], "a": [1, 2], "c": pd.Categorical(["x", "y"])})
    second = pd.DataFrame({"to": [1, 1], "a": [0.5, 1.5], "c": pd.Categorical(["z", "x"])})
    attempts = [frames.write(df, "to", range(4), exchange) for df in (first, second, first)]
    found = frames.read(exchange, 1, first[:0], b"".join(attempts))
    assert sorted(found["a"]) == [0.5, 1, 1, 1.5, 2, 2] and found["a"].dtype == "f8"
    assert sorted(found["c"]) == ["x", "x", "x", "y", "y", "z"] and set(found["c"].cat.categories) == set("xyz")


def test_categories_in_another_order_keep_their_meaning(exchange):
    orders = (["x", "y"], ["y", "x"])
    written = [pd.DataFrame({"to": [1, 1], "c": pd.Categorical(["x", "x"], categories=order)}) for order in orders]
    attempts = [frames.write(df, "to", range(4), exchange) for df in written]
    assert frames.read(exchange, 1, written[0][:0], b"".join(attempts))["c"].tolist() == ["x"] * 4


def test_partitions_may_be_numbers_with_missing_ones_of_pandas_own(exchange):
    df = pd.DataFrame({"to": pd.array([3, None, 1, 3], dtype="Int64"), "a": range(4)})
    attempt = frames.write(df, "to", range(4), exchange)
    pd.testing.assert_frame_equal(frames.read(exchange, 3, df[:0], attempt), df[df["to"] == 3])


def test_a_class_of_data_frames_of_ones_own_comes_back(exchange):
    df = Measured({"to": [0, 1, 0], "a": [1, 2, 3]})
    found = read_all(exchange, [frames.write(df, "to", range(4), exchange)], df[:0])
    assert type(found[0]) is Measured and found[0]["a"].tolist() == [1, 3]


def test_only_partitions_that_are_wanted_are_written(exchange):
    df = pd.DataFrame({"to": [0.0, 1.0, np.nan, 2.0]})
    attempt = frames.write(df, "to", [0, 2], exchange)
    assert [len(found) for found in read_all(exchange, [attempt], df[:0]).values()] == [1, 0, 1, 0]


def test_a_task_that_ran_twice_counts_once(exchange):
    df = pd.DataFrame({"to": [0, 1, 0], "a": [1, 2, 3]})
    lost, kept = (frames.write(df, "to", range(4), exchange) for _ in range(2))
    assert frames.read(exchange, 0, df[:0], kept)["a"].tolist() == [1, 3]
    assert frames.read(exchange, 0, df[:0], lost + kept)["a"].tolist() == [1, 3, 1, 3]


def spilled(df, folder):
    """Adds up files as long as they are there."""
    found = sum(os.stat(os.path.join(at, name)).st_blocks * 512 for at, _, names in os.walk(folder) for name in names)
    return pd.Series([len(df), found])


def test_a_shuffle_larger_than_its_memory_is_spilled(folder, threads):
    rows = 1_000_000
    frame = dd.from_pandas(pd.DataFrame({"key": np.arange(rows), "value": np.random.default_rng(3).random(rows)}), 10)
    with shoal.dask.shuffle(memory_limit="8 MiB"):
        shuffled = frame.shuffle("key")
        found = dask.compute(*(dask.delayed(spilled)(part, str(folder)) for part in shuffled.to_delayed()))
    assert sum(rows for rows, _ in found) == rows
    assert max(size for _, size in found) > 4 << 20


@SCHEDULERS
def test_an_error_in_a_task_leaves_nothing(scheduler, request):
    request.getfixturevalue(scheduler)
    frame = dd.from_pandas(LEFT, npartitions=5)
    with shoal.dask.shuffle():
        shuffled = frame.shuffle("key").map_partitions(fail_once_shuffled, meta=frame._meta)
        with pytest.raises(RuntimeError, match="of the test"):
            shuffled.compute()


def test_a_killed_worker_takes_no_row_and_doubles_none(distributed, tmp_path):
    flag = str(tmp_path / "flag")
    frame = dd.from_pandas(LEFT, npartitions=8)
    with shoal.dask.shuffle():
        found = frame.shuffle("key").map_partitions(kill_own_worker_once, flag, meta=frame._meta).compute()
    assert os.path.exists(flag)
    assert_same_rows(found, LEFT)


def kill_session(session):
    """All its processes but the one by which Python removes the semaphores of those that were killed."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            with open(f"/proc/{process}/cmdline") as command:
                if os.getsid(int(process)) == session and "resource_tracker" not in command.read():
                    os.kill(int(process), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_what_killed_processes_leave_is_collected(folder, tmp_path, kind):
    started = tmp_path / "started"
    program = subprocess.Popen(
        [sys.executable, os.path.join(os.path.dirname(__file__), "dask_work.py"), kind, str(folder), str(started)],
        start_new_session=True,
    )
    while not started.exists():
        assert program.poll() is None
        time.sleep(0.01)
    kill_session(program.pid)
    program.wait()
    (left,) = folder.glob("shoal-dask-*")
    deadline = time.monotonic() + 60
    while left.exists() and time.monotonic() < deadline:  # the kernel may be about to close the files of the killed
        shoal.Store.collect(min_age_s=0, only_temporary=True)
    assert not left.exists()


def test_the_examples_of_docstrings(threads):
    failed, examples = doctest.testmod(shoal.dask)
    assert examples and not failed
    assert doctest.testmod(shoal.dask.exchange).failed == 0


def test_disable_puts_dasks_own_back():
    core = sys.modules["dask.bag.core"]
    own = core.groupby_disk
    with shoal.dask.shuffle():
        outer = core.groupby_disk
        with shoal.dask.shuffle(codec="lz4"):
            assert core.groupby_disk not in (own, outer)
        assert core.groupby_disk is not own
    assert core.groupby_disk is own
    shoal.dask.enable()
    shoal.dask.enable(memory_limit="1 GB")
    assert core.groupby_disk is not own
    shoal.dask.disable()
    shoal.dask.disable()
    assert core.groupby_disk is own


def test_a_source_is_one_store_in_every_process(folder):
    source = Source.new("of the test", Options())
    exchange = source.exchange()
    copy = pickle.loads(pickle.dumps(exchange))
    attempt = copy.write({1: [b"piece"]})
    assert copy is exchange and exchange is pickle.loads(pickle.dumps(source)).exchange()
    assert [bytes(piece) for piece in exchange.read(1, attempt)] == [b"piece"]
    pickled = pickle.dumps(copy)
    source.close(errored=False)
    assert exchange.read(1, attempt)  # somebody still uses it
    source.close(errored=True)
    with pytest.raises(shoal.StoreNotFound, match="one host"):
        pickle.loads(pickled)
    with pytest.raises(shoal.Error, match="1 of 1 inputs"):
        source.exchange().read(1, attempt)


class ResultTypes(Callback):
    """Of all tasks of a graph."""

    def __init__(self):
        self.found = set()

    def _posttask(self, key, result, dsk, state, worker_id):
        self.found.add(type(result))


def test_no_data_frame_goes_from_process_to_process(processes):
    """The task that has it goes on with it: pipes take more than half of the time of a shuffle."""
    frame = dd.from_map(every_fourth_row, range(4), meta=LEFT[:0])
    with shoal.dask.shuffle(), ResultTypes() as types:
        found = frame.shuffle("key").map_partitions(len).compute()
    assert sum(found) == len(LEFT)
    if dask.__version__ > "2024":  # in those of before the inputs do
        assert pd.DataFrame not in types.found


def every_fourth_row(number):
    return LEFT[number::4]


def test_a_shuffle_that_is_computed_twice_at_once_is_whole_in_both(threads):
    bag = db.from_sequence(range(2000), npartitions=4)
    with shoal.dask.shuffle():
        groups = bag.groupby(parity, shuffle="disk")
        shuffled = dd.from_pandas(LEFT, npartitions=5).shuffle("key")
    for collection, count in ((groups, 7), (shuffled, len(LEFT))):
        with ThreadPoolExecutor(3) as pool:
            for found in pool.map(lambda _: collection.compute(scheduler="sync"), range(6)):
                assert len(found) == count


@SCHEDULERS
def test_what_is_kept_of_a_shuffle_outlives_its_store(scheduler, request, folder):
    request.getfixturevalue(scheduler)
    with shoal.dask.shuffle():
        kept = dd.from_pandas(LEFT, npartitions=5).shuffle("key").persist()
        assert_same_rows(kept.compute(), LEFT)  # with distributed it is not there before
        assert_nothing_is_left(folder)
        assert_same_rows(kept.compute(), LEFT)


def test_only_what_is_wanted_of_a_shuffle_is_written(threads, tmp_path):
    frame = dd.from_pandas(LEFT, npartitions=5)
    with shoal.dask.shuffle():
        shuffled = frame.shuffle("key", npartitions=6)
        parts = dask.compute(*(shuffled.partitions[number] for number in range(6)))
        two = shuffled.partitions[[1, 4]].compute()
        if dask.__version__ > "2024":  # those of before write all
            keys = shuffled.partitions[3].map_partitions(keys_of_store, str(tmp_path), meta=("keys", "i8"))
            assert keys.compute().tolist() == [3]
    assert_same_rows(pd.concat(parts), LEFT)
    assert_same_rows(two, pd.concat([parts[1], parts[4]]))


def keys_of_store(df, folder):
    (path,) = (os.path.join(folder, name) for name in os.listdir(folder) if name.startswith("shoal-dask-"))
    with shoal.Store.attach(path) as store:
        return pd.Series([int(key) for key in store if key.isdigit()], name="keys")


def test_a_graph_that_is_not_computed_leaves_nothing(folder):
    with shoal.dask.shuffle():
        shuffled = dd.from_pandas(LEFT, npartitions=2).shuffle("key")
        graph = (shuffled.optimize() if hasattr(shuffled, "optimize") else shuffled).__dask_graph__()
    assert any("shoal" in str(key) for key in graph)
    assert list(folder.glob("shoal-dask-*")) == []
