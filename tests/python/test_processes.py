"""Several processes on one store: pickled, forked, killed."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

import shoal
import workers

# A watchdog, not a bound: what it waits for is a process that starts an interpreter.
PATIENCE_S = 300


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request):
    yield multiprocessing.get_context(request.param)
    if request.param == "forkserver":
        from multiprocessing import forkserver, resource_tracker

        forkserver._forkserver._stop()
    else:
        from multiprocessing import resource_tracker
    resource_tracker._resource_tracker._stop()


def test_workers_share_the_store_that_they_are_given(store, context):
    workers_count, records = 3, 200
    with ProcessPoolExecutor(workers_count, mp_context=context) as pool:
        jobs = [pool.submit(workers.append_numbers, store, worker, records) for worker in range(workers_count)]
        assert os.getpid() not in {job.result(PATIENCE_S) for job in jobs}
        assert pool.submit(workers.read, store, "key 0").result(PATIENCE_S) == store["key 0"]
        assert pool.submit(workers.open_view, store, "all").result(PATIENCE_S) == store.size("all").bytes
    written = store["all"].split(b";")[:-1]
    assert len(written) == workers_count * records
    for worker in range(workers_count):
        own = [int(record.split(b":")[1]) for record in written if record.startswith(b"%d:" % worker)]
        assert own == list(range(records))


def test_a_pickled_store_is_the_same_store(store):
    store.append("key", b"one")
    with pickle.loads(pickle.dumps(store)) as again:
        assert again.path == store.path
        again.append("key", b"two")
    assert store["key"] == b"onetwo"


def test_what_cannot_be_reached_by_path_cannot_be_pickled(path):
    with shoal.Store.in_memory() as store:
        with pytest.raises(TypeError, match="temporary=True"):
            pickle.dumps(store)
    store = shoal.Store(path)
    pickled = pickle.dumps(store)
    store.close()
    with pytest.raises(shoal.Closed):
        pickle.dumps(store)
    shoal.Store.destroy(path)
    with pytest.raises(shoal.StoreNotFound):
        pickle.loads(pickled)


def in_child(deed):
    """The exit status of a forked child that does it; 0 when that is True."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if deed() is True else 1)
        except BaseException as error:
            print("in the child:", repr(error), file=sys.stderr)
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_uses_the_store_and_its_end_takes_nothing(store):
    store.append("key", b"parent ")

    def deed():
        store.append("key", b"child")
        return store["key"] == b"parent child"

    assert in_child(deed) == 0
    assert store["key"] == b"parent child"
    with shoal.Store.in_memory() as memory:
        assert in_child(lambda: memory.append("key", b"of the child") is None) == 0
        assert memory["key"] == b"of the child"


def test_a_forked_child_that_closes_a_temporary_store_leaves_it_to_its_parent(path):
    with shoal.Store(path, temporary=True) as store:
        store.append("key", b"value")
        assert in_child(lambda: store.close() is None) == 0
        assert store["key"] == b"value"
    assert not path.exists()


def test_a_view_is_refused_in_a_forked_child_and_made_anew_there(store):
    store.append("key", b"value")
    view = store.view("key")

    def deed():
        with pytest.raises(shoal.InvalidArgument, match="forked"):
            view[0]
        with pytest.raises(shoal.InvalidArgument):
            memoryview(view)
        return store.view("key")[0] == b"value"

    assert in_child(deed) == 0
    assert view[0] == b"value"


def start(target, *arguments):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    worker = context.Process(target=target, args=(*arguments, started))
    worker.start()
    assert started.wait(PATIENCE_S)
    return worker


def kill(worker):
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(PATIENCE_S)
    assert worker.exitcode == -signal.SIGKILL
    worker.close()


def test_a_killed_writer_takes_nothing_back_and_holds_up_nobody(store, path):
    kill(start(workers.append_until_killed, path))
    value = store["of the killed"]
    assert value.startswith(b"acknowledged;") and value.replace(b"more;", b"") == b"acknowledged;"
    store.append("of the killed", b"afterwards")
    assert store["of the killed"] == value + b"afterwards"
    store.close()
    assert shoal.Store.verify(path).sound


def test_a_temporary_store_whose_owner_was_killed_is_collected(path):
    kill(start(workers.hold_temporary_store, path))
    assert path.exists()
    found = shoal.Store.collect(dry_run=True, min_age_s=0)
    found = [leftover for leftover in found if leftover.store_path == str(path)]
    assert [leftover.removed for leftover in found] == [True] and path.exists()
    shoal.Store.collect(only_temporary=True)
    assert path.exists()  # younger than a day
    shoal.Store.collect(min_age_s=0, only_temporary=True)
    assert not path.exists() and not os.path.exists(found[0].arena_path)


def test_a_temporary_store_goes_when_its_interpreter_ends(path):
    program = f"import workers; workers.leave_temporary_store_open({str(path)!r})"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert not path.exists()


def test_the_resource_tracker_knows_nothing_of_stores(store, path):
    """What multiprocessing.shared_memory is known for: a child's end removes what others still use."""
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=workers.append_numbers, args=(store, 0, 10))
    worker.start()
    worker.join(PATIENCE_S)
    assert worker.exitcode == 0
    worker.close()
    assert store.size("all").records == 10
    with shoal.Store.attach(path) as again:
        assert again.size("all").records == 10
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._stop()
