"""shoal.partd.Server and Client: with each other, with partd's own at either end, and when things go wrong."""

import gc
import multiprocessing
import os
import pickle
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain

import numpy as np
import pandas as pd
import partd as real
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
import shoal.partd as partd
import wire_workers

zmq = pytest.importorskip("zmq")
wire = pytest.importorskip("shoal.partd.zmq")

PATIENCE_S = 300  # a watchdog
SOON_S = 0.3  # for what is to time out

PLAIN = st.text("abcXYZ019 _.()-", min_size=1, max_size=6)
KEYS = st.one_of(
    st.text(max_size=8),
    PLAIN,
    st.integers(),
    st.binary(max_size=8),
    st.floats(allow_nan=False),
    st.none(),
    st.tuples(PLAIN, st.one_of(PLAIN, st.integers(), st.tuples(st.text(max_size=2)))),
    st.sampled_from(["1", 1, b"1", "Foo!", "Foo", "../x", ("a", "b"), "a-|-b", ("a",), "shoal.aTE", "", ()]),
)


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def no_descriptor_is_left(nothing_is_left):
    """Sockets too, which the fixture for all tests does not count."""
    before = descriptors()
    yield
    gc.collect()
    assert descriptors() == before


@contextmanager
def own_server(part=None, **options):
    """A server, and its part, until the end."""
    with partd.Server(part, **options) as server:
        yield server


@contextmanager
def real_server(part=None):
    server = real.Server(part or real.Dict(), hostname="127.0.0.1")
    try:
        yield server
    finally:
        server.close()


@contextmanager
def own_client(server, **options):
    client = partd.Client(server.address, **options)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def real_client(server):
    client = real.Client(server.address)
    try:
        yield client
    finally:
        client.close()


PAIRS = {
    "both are shoal's": (own_server, own_client),
    "a real client": (own_server, real_client),
    "a real server": (real_server, own_client),
}


@contextmanager
def pair(name):
    server_kind, client_kind = PAIRS[name]
    with server_kind() as server, client_kind(server) as client:
        yield client


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_appended_through_a_client_is_what_a_dictionary_holds(name):
    keys = st.one_of(PLAIN, st.tuples(PLAIN, PLAIN)) if name == "a real client" else KEYS
    appends = st.lists(st.dictionaries(keys, st.binary(max_size=20), max_size=4), max_size=4)

    with pair(name) as client:

        @settings(max_examples=12 if name == "a real client" else 60)  # whose drop sleeps
        @given(appends, st.lists(keys, max_size=2))
        def check(history, deleted):
            client.drop()
            model = {}
            for data in history:
                client.append(data)
                for key, value in data.items():
                    model[key] = model.get(key, b"") + value
            if deleted:
                client.delete(deleted)
            model = {key: value for key, value in model.items() if key not in deleted}
            if model:
                assert client.get([list(model), list(model)]) == [list(model.values())] * 2
            assert client.get(deleted or ["never appended"]) == [b""] * max(1, len(deleted))

        check()


@given(KEYS, KEYS)
def test_frames_are_one_where_the_keys_are_and_only_there(one, other):
    frames = [wire.serialize_key(key) for key in (one, other)]
    assert (frames[0] == frames[1]) == (one == other)
    assert wire.deserialize_key(frames[0]) == one


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_every_frame_is_a_key(rest, other):
    for frame in (rest, b"shoal." + rest, rest + b"-|-" + other):
        hash(wire.deserialize_key(frame))


def test_plain_keys_have_the_form_that_partd_gives_them():
    real_form = pytest.importorskip("partd.zmq").serialize_key
    for key in ("x", "a b", ("x", "y"), ("x", "0", "z")):
        assert wire.serialize_key(key) == real_form(key)


def test_shoals_and_real_clients_meet_at_the_same_keys():
    for server_kind in (own_server, real_server):
        with server_kind() as server, own_client(server) as own, real_client(server) as foreign:
            own.append({"x": b"1", ("x", "y"): b"2"})
            foreign.append({"x": b"3", ("x", "y"): b"4"})
            foreign.get("x")  # it does not wait for what it appends
            assert own.get(["x", ("x", "y")]) == foreign.get(["x", ("x", "y")]) == [b"13", b"24"]
    with own_server() as server, own_client(server) as own, real_client(server) as foreign:
        foreign.append({"\u00e9": b"1", "a/b": b"2"})
        foreign.get("x")
        assert own.get(["\u00e9", "a/b"]) == server.partd.get(["\u00e9", "a/b"]) == [b"1", b"2"]
        foreign.iset("z", b"once")
        foreign.get("z")
        own.iset("z", b"twice")
        assert foreign.get("z") == b"once"


def test_a_real_client_gets_something_for_no_keys_and_goes_on():
    with own_server() as server, real_client(server) as foreign:
        foreign.get([])
        foreign.append({"x": b"1"})
        assert foreign.get("x") == b"1"


def test_a_key_of_any_kind_is_the_same_on_both_sides():
    stamp = pd.Timestamp("2020-01-01")
    with own_server(partd.Dict()) as server, own_client(server) as client:
        client.append({stamp: b"1", ("x", 1): b"2", 1: b"3", "1": b"4"})
        assert server.partd.get([stamp, ("x", 1), 1, "1"]) == [b"1", b"2", b"3", b"4"]
    with own_server(real.Dict()) as server, own_client(server) as client:
        client.append({stamp: b"1", 1: b"3"})
        assert client.get([stamp, 1]) == [b"1", b"3"]
        assert server.partd.get(1) == b"3"


def test_parts_go_around_a_client_in_any_order():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    with own_server() as server, ExitStack() as stack:

        def client():
            return stack.enter_context(own_client(server))

        lists = partd.Pickle(partd.BZ2(client()))
        lists.append({"lists": [1, 2]})
        lists.append({"lists": ["3"]})
        assert lists.get(["lists", ["lists"]]) == [[1, 2, "3"], [[1, 2, "3"]]]
        arrays = partd.Numpy(partd.ZLib(client()))
        arrays.append({"arrays": np.array([1, 2])})
        assert arrays.get("arrays").tolist() == [1, 2]
        for kind in (partd.PandasColumns, partd.PandasBlocks):
            frames = kind(client())
            frames.append({kind: frame})
            pd.testing.assert_frame_equal(frames.get(kind), frame)
        buffer = partd.Buffer(partd.Dict(), client(), available_memory=10)
        for number in range(9):
            buffer.append({"buffered": b"%d;" % number, "other": b"12345"})
        assert buffer.get("buffered") == b"0;1;2;3;4;5;6;7;8;"


def test_partds_own_test_of_a_client_that_is_pickled():
    with partd.Server() as server, partd.Client(server.address) as part:
        part.append({"x": b"123"})
        again = pickle.loads(pickle.dumps(part))
        assert again.get("x") == b"123"
        del again


@pytest.mark.parametrize("kind", ["tcp", "ipc"])
def test_many_clients_append_at_once_and_nothing_is_lost(kind, tmp_path):
    context = multiprocessing.get_context("spawn")
    bind = f"ipc://{tmp_path}/socket" if kind == "ipc" else None
    with own_server(bind=bind) as server, ExitStack() as stack:
        client = stack.enter_context(own_client(server))
        clients = [client, client, *(stack.enter_context(own_client(server)) for _ in range(10))]
        deed = wire_workers.append_numbers
        workers = [context.Process(target=deed, args=(client, number, 100)) for number in range(2)]
        workers += [
            threading.Thread(target=lambda c=c, n=n: [c.append({"x": b"%d:%d;" % (n, i)}) for i in range(100)])
            for n, c in enumerate(clients, start=2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(PATIENCE_S)
        written = client.get("x").split(b";")[:-1]
        assert sorted(written) == sorted(b"%d:%d" % (worker, number) for worker in range(14) for number in range(100))
        for worker in range(14):
            own = [record for record in written if record.startswith(b"%d:" % worker)]
            assert own == [b"%d:%d" % (worker, number) for number in range(100)]
        assert client.get(("own", 1)) == b"".join(b"%d;" % number for number in range(100))
    assert os.listdir(tmp_path) == []
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._stop()


@pytest.mark.parametrize("name", PAIRS)
def test_values_of_many_megabytes_go_both_ways(name):
    value = os.urandom(1 << 20) * 48
    with pair(name) as client:
        client.append({"x": value})
        client.append({"x": memoryview(value)[:5] if name == "a real server" else value[:5], "y": b"1"})
        assert client.get(["x", "y"]) == [value + value[:5], b"1"]


def test_append_returns_when_the_server_has_appended():
    with own_server() as server, own_client(server) as client:
        for number in range(50):
            client.append({"x": b"%d;" % number})
            assert server.partd.get("x").endswith(b";%d;" % number if number else b"0;")


@contextmanager
def process_of(target, *arguments):
    """A process that says something and goes on; killed in the end."""
    context = multiprocessing.get_context("fork")
    ours, its = context.Pipe(duplex=False)
    worker = context.Process(target=target, args=(*arguments, its))
    worker.start()
    its.close()
    try:
        yield worker, ours
    finally:
        ours.close()
        worker.kill()
        worker.join(PATIENCE_S)
        worker.close()


def test_what_a_killed_server_has_acknowledged_is_with_the_next_one(tmp_path):
    path, bind = str(tmp_path / "part"), f"ipc://{tmp_path}/socket"
    acknowledged = []
    with process_of(wire_workers.serve, path, bind) as (worker, ready):
        address = ready.recv()
        client = partd.Client(address, timeout=PATIENCE_S)

        def append():
            for number in range(1_000_000):
                client.append({"x": b"%d;" % number})
                acknowledged.append(number)

        def expected_to_fail():
            with pytest.raises(shoal.partd.zmq.ServerGone, match="may have done this append"):
                append()
            acknowledged.append("failed")

        thread = threading.Thread(target=expected_to_fail)
        thread.start()
        while len(acknowledged) < 100 and thread.is_alive():
            pass
        worker.kill()
        thread.join(PATIENCE_S)
        assert acknowledged.pop() == "failed"
    with partd.Server(partd.File(path), bind=bind) as server:
        assert server.address == address
        there = [int(number) for number in client.get("x").split(b";")[:-1]]
        assert there in (acknowledged, [*acknowledged, len(acknowledged)])
        client.append({"y": b"1"})
        assert server.get("y") == b"1"
        client.close()
    assert os.listdir(tmp_path) == []


def test_a_killed_client_leaves_the_server_and_what_it_appended():
    with own_server() as server:
        client = partd.Client(server.address)
        with process_of(wire_workers.append_for_ever, client) as (_, ready):
            for _ in range(20):
                ready.recv()
        assert client.get("x").startswith(b"0123456789;" * 20)
        client.close()


def test_without_a_server_there_is_an_error_in_time_that_says_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        client = partd.Client(address, timeout=SOON_S)
        with pytest.raises(ConnectionError, match=r"no server answers at tcp.*Nothing was sent.*timeout") as raised:
            client.append({"x": b"1"})
        assert isinstance(raised.value, shoal.Error)
        assert isinstance(pickle.loads(pickle.dumps(raised.value)), wire.ServerGone)
    client.timeout = PATIENCE_S
    with own_server(bind=address), suppress(AttributeError):
        client.append({"x": b"2"})
        assert client.get("x") == b"2"
    client.close()
    with pytest.raises(shoal.Closed):
        client.get("x")


def test_a_client_may_be_there_before_its_server(tmp_path):
    client = partd.Client(f"ipc://{tmp_path}/socket")
    appended = threading.Thread(target=lambda: client.append({"x": b"1"}))
    appended.start()
    with own_server(bind=client.address) as server:
        appended.join(PATIENCE_S)
        assert server.partd.get("x") == b"1"
    client.close()


def test_a_server_that_is_stopped_is_not_waited_for_and_its_late_answers_are_nobodys(tmp_path):
    path, bind = str(tmp_path / "part"), f"ipc://{tmp_path}/socket"
    with process_of(wire_workers.serve, path, bind) as (worker, ready):
        client = partd.Client(ready.recv(), timeout=PATIENCE_S)
        client.append({"x": b"x", "y": b"y"})
        os.kill(worker.pid, signal.SIGSTOP)
        client.timeout = SOON_S
        with pytest.raises(wire.ServerGone, match="may have done this get, or not"):
            client.get("x")
        os.kill(worker.pid, signal.SIGCONT)
        client.timeout = PATIENCE_S
        assert client.get(["y", "x"]) == [b"y", b"x"]
        client.close_server()
        worker.join(PATIENCE_S)
        client.close()
    shoal.Store.destroy(path)


class Obstinate(partd.core.Interface):
    """A part of one's own, that does what a test says."""

    def __init__(self, deed):
        self.deed = deed
        self.lock = threading.Lock()

    def append(self, data, lock=True, **kwargs):
        self.deed()

    def _get(self, keys, lock=True, **kwargs):
        return [b"value"] * len(keys) if keys == ["x"] else self.deed()

    def _delete(self, keys, lock=True, **kwargs):
        self.deed()

    def drop(self):
        pass


def raising(error):
    def deed():
        raise error

    return deed


def test_errors_of_the_part_are_the_clients_and_the_server_goes_on():
    limit = shoal.MemoryLimit("memory_limit_bytes is reached")
    limit.appended = 3
    for error, kind in (
        (limit, shoal.MemoryLimit),
        (shoal.NoSpace(28, "full"), shoal.NoSpace),
        (ZeroDivisionError("by zero"), wire.ServerFailed),
    ):
        with own_server(Obstinate(raising(error))) as server, own_client(server) as client:
            with pytest.raises(kind, match="the server at tcp://127.0.0.1:") as raised:
                client.append({"x": b"1"})
            assert str(error) in str(raised.value)
            assert raised.value.appended == getattr(error, "appended", 0)
            assert getattr(raised.value, "errno", None) == getattr(error, "errno", None)
            assert client.get("x") == b"value"


def test_a_real_client_is_told_that_its_append_failed():
    with own_server(Obstinate(raising(shoal.MemoryLimit("full")))) as server, real_client(server) as client:
        client.append({"x": b"1"})
        with pytest.raises(AssertionError):
            client.get("x")


def test_an_interrupted_call_is_not_answered_by_the_next_one():
    goes_on = threading.Event()

    class Interrupt(Exception):
        pass

    def interrupt(*_):
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with own_server(Obstinate(lambda: goes_on.wait(PATIENCE_S))) as server, own_client(server) as client:
            client.get("x")
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interrupt):
                client.append({"x": b"1"})
            goes_on.set()
            assert client.get("x") == b"value"
    finally:
        signal.signal(signal.SIGALRM, before)


class Opens:
    """What runs when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@contextmanager
def stranger(server, kind=zmq.DEALER):
    with zmq.Context() as context, context.socket(kind) as made:
        made.linger, made.rcvhwm = 0, 1
        made.connect(server.address)
        yield made


STRANGE = [
    [b""],
    [b"", b"append", b"x", b"1"],
    [b"append", b"x"],
    [b"iset"],
    [b"iset", b"x"],
    [b"iset", b"x", b"1", b"2"],
    [b"APPEND", b"x", b"1"],
    [b"\xff" * 1000],
    [b"x" * (1 << 20)],
    [b"append", b"k" * (1 << 17), b"1"],
    [b"error", b"", b"", b"", b""],
    [b"ack"],
]


def test_what_is_no_command_is_an_error_and_the_server_lives_on(tmp_path):
    with own_server() as server, stranger(server) as foreign, own_client(server) as client:
        for message in STRANGE:
            foreign.send_multipart(message)
            assert foreign.poll(PATIENCE_S * 1000)
            assert foreign.recv_multipart()[0] == b"error"
        bomb = pickle.dumps(Opens(str(tmp_path / "ran")))
        deep = b"shoal." + b"dDE6" * 30_000
        foreign.send_multipart([b"append", bomb, bomb, b"shoal." + bomb, bomb, deep[:60_000], b"deep"])
        assert foreign.recv_multipart() == [b"ack"]
        assert client.get(wire.deserialize_key(bomb)) == bomb
        assert os.listdir(tmp_path) == []
        client.append({"x": b"1"})
        assert client.get("x") == b"1"


def test_one_append_with_a_key_twice_has_both_values():
    with own_server() as server, stranger(server) as foreign:
        foreign.send_multipart([b"append", b"x", b"1", b"y", b"2", b"x", b"3"])
        assert foreign.recv_multipart() == [b"ack"]
        assert server.get(["x", "y"]) == [b"13", b"2"]


def test_whatever_frames_come_the_server_lives_on():
    with own_server(partd.Dict()) as server, own_client(server) as client:

        @settings(max_examples=60)
        @given(
            st.sampled_from([b"append", b"get", b"delete", b"iset", b"pop", b"syn", None]),
            st.lists(st.binary(max_size=30), min_size=1, max_size=5),
        )
        def check(command, frames):
            with stranger(server) as foreign:
                foreign.send_multipart(frames if command is None else [command, *frames])
            client.append({"x": b"1"})

        check()
        client.drop()
        client.append({"x": b"1"})
        assert client.get("x") == b"1"


def test_what_is_no_zeromq_at_all_is_ignored():
    with own_server() as server, own_client(server) as client:
        host, _, port = server.address.decode().removeprefix("tcp://").rpartition(":")
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100_000, b""):
            with socket.create_connection((host, int(port))) as raw, suppress(OSError):
                raw.sendall(noise)
        client.append({"x": b"1"})
        assert client.get("x") == b"1"


def memory_kib():
    with open("/proc/self/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS:")))


def test_who_asks_and_does_not_read_costs_the_server_a_bounded_memory():
    value = bytes(1 << 20)
    with own_server() as server, stranger(server) as foreign, own_client(server) as client:
        client.append({"x": value})
        before = memory_kib()
        for _ in range(500):
            foreign.send_multipart([b"get", b"x"])
        foreign.send_multipart([b"append", b"y", b"all read"])
        while client.get("y") == b"":
            pass
        assert memory_kib() - before < 200 << 10


def test_a_server_is_reached_from_this_host_alone_unless_told_otherwise():
    for bind, reached in ((None, False), ("tcp://127.0.0.1:*", False), ("tcp://*:*", True)):
        with own_server(bind=bind) as server:
            port = int(server.address.rpartition(b":")[2])
            with socket.socket() as other_address:
                assert (other_address.connect_ex(("127.0.0.2", port)) == 0) == reached
    with own_server(hostname="localhost") as server, own_client(server) as client:
        assert server.address.startswith(b"tcp://localhost:")
        client.append({"x": b"1"})
        assert client.get("x") == b"1"
    with pytest.raises(shoal.InvalidArgument, match="by bind where"):
        partd.Server(partd.Dict(), hostname="no.such.host.invalid")


def test_an_address_in_use_and_one_that_is_none_are_errors(tmp_path):
    with own_server() as server:
        with pytest.raises(OSError, match="give another bind"):
            partd.Server(partd.Dict(), bind=server.address)
    for wrong in (None, 7, "localhost:80", "inproc://x", "tcp://", "tcp://127.0.0.1:port"):
        with pytest.raises(ValueError):
            partd.Client(wrong)
        if wrong is not None:
            with pytest.raises(shoal.Error):
                partd.Server(partd.Dict(), bind=wrong)
    with pytest.raises(shoal.Error):
        partd.Server(partd.Dict(), bind=f"ipc://{tmp_path}/{'long' * 50}")


def test_a_server_takes_the_socket_of_a_dead_one_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_server(bind="ipc://server") as server, own_client(server) as client:
        assert server.address == f"ipc://{tmp_path}/server".encode()
        client.append({"x": b"1"})
        with pytest.raises(OSError, match="another server listens"):
            partd.Server(partd.Dict(), bind="ipc://server")
        assert client.get("x") == b"1"
    (tmp_path / "server").write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        partd.Server(partd.Dict(), bind="ipc://server")
    assert (tmp_path / "server").read_text() == "precious"
    (tmp_path / "server").unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "server"))
    with own_server(bind="ipc://server") as server, partd.Client("ipc://server") as client:
        client.append({"x": b"1"})
        assert server.get("x") == b"1"
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not zmq.has("curve"), reason="this ZeroMQ was built without CURVE")
def test_with_keys_only_those_get_in_that_have_them():
    server_keys, known, unknown = (zmq.curve_keypair() for _ in range(3))
    public = server_keys[0]
    with own_server(curve=server_keys) as server, own_client(server, curve_server=public) as client:
        client.append({"x": b"1"})
        again = pickle.loads(pickle.dumps(client))
        assert again.get("x") == b"1"
        again.close()
        for options in ({}, {"curve_server": unknown[0]}):
            with own_client(server, timeout=SOON_S, **options) as refused, pytest.raises(wire.ServerGone, match="keys"):
                refused.get("x")
    with own_server(curve=server_keys, curve_clients=[known[0]]) as server:
        with own_client(server, curve_server=public, curve=known) as client:
            client.append({"x": b"2"})
            assert client.get("x") == b"2"
            with own_client(server, curve_server=public, curve=unknown, timeout=PATIENCE_S) as refused:
                with pytest.raises(wire.ServerGone, match="does not let in"):
                    refused.get("x")
            assert client.get("x") == b"2"
    with pytest.raises(shoal.InvalidArgument):
        partd.Server(partd.Dict(), curve_clients=[known[0]])


def test_pop_takes_each_record_once_while_clients_append():
    with own_server() as server, ExitStack() as stack:
        clients = [partd.Pickle(stack.enter_context(own_client(server))) for _ in range(3)]
        threads = [
            threading.Thread(target=lambda c=c, n=n: [c.append({"x": [(n, i)]}) for i in range(200)])
            for n, c in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        popper = partd.Pickle(stack.enter_context(own_client(server)))
        taken = []
        while any(thread.is_alive() for thread in threads):
            taken += popper.pop("x")
        taken += chain.from_iterable(popper.pop(["x", "never"]))
        assert sorted(taken) == [(n, i) for n in range(3) for i in range(200)]


def test_pop_where_it_cannot_be_alone_is_refused_and_takes_nothing():
    with real_server() as server, own_client(server) as client:
        client.append({"x": b"1"})
        with pytest.raises(wire.ServerFailed, match="no pop"):
            client.pop("x")
        assert client.get("x") == b"1"
    with own_server() as server, own_client(server) as client:
        arrays = partd.Numpy(client)
        arrays.append({"x": np.array([1])})
        with pytest.raises(shoal.InvalidArgument, match="pop"):
            arrays.pop("x")
        assert arrays.get("x").tolist() == [1]
        client.append({"y": b"\xff" * 8 + b"no frame"})
        with pytest.raises(ValueError, match="cut off"):
            partd.Pickle(client).pop("y")
        assert client.get("y") == b"\xff" * 8 + b"no frame"


def test_a_forked_child_has_a_connection_of_its_own():
    with own_server() as server, own_client(server) as client:
        client.append({"x": b"parent,"})
        child = os.fork()
        if child == 0:
            status = 1
            with suppress(BaseException):
                client.append({"x": b"child,"})
                server.close()
                status = 0 if client.get("x") == b"parent,child," else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.append({"x": b"parent"})
        assert client.get("x") == b"parent,child,parent"


def test_a_server_is_closed_by_itself_by_a_client_or_before_it_began():
    server = partd.Server(partd.Dict(), start=False)
    assert server.status == "created"
    server.close()
    server.close()
    assert server.status == "closed"
    with pytest.raises(shoal.Closed):
        server.start()
    for client_kind in (own_client, real_client):
        server = partd.Server(partd.Dict())
        assert server.status == "run"
        with client_kind(server) as client:
            client.append({"x": b"1"})
            client.close_server()
            server.block()
        assert server.status == "closed" and server.get("x") == b"1"
        server.close()


def test_a_server_may_listen_in_a_thread_of_ones_own():
    server = partd.Server(partd.Dict(), start=False)
    listening = threading.Thread(target=server.listen)
    listening.start()
    with own_client(server) as client:
        client.append({"x": b"1"})
        assert client.get("x") == b"1"
    server.close()
    listening.join(PATIENCE_S)
    assert server.get("x") == b"1"
    server.listen()  # returns


def test_what_the_part_gives_that_is_no_bytes_is_an_error():
    with own_server(partd.Pickle(partd.Dict())) as server, own_client(server) as client:
        server.append({"x": [1]})
        with pytest.raises(wire.ServerFailed, match="bytes-like"):
            client.get("x")
        assert client.get([]) == []


def test_block_returns_when_a_client_closes_the_server(tmp_path):
    bind = f"ipc://{tmp_path}/socket"
    closing = threading.Thread(target=lambda: partd.Client(bind).close_server())
    closing.start()
    assert partd.Server(partd.Dict(), bind=bind, block=True).status == "closed"
    closing.join(PATIENCE_S)


def test_clients_of_a_server_that_closes_are_told():
    with own_server() as server, own_client(server, timeout=PATIENCE_S) as client:
        client.append({"x": b"1"})
        server.close()
        client.timeout = SOON_S
        with pytest.raises(wire.ServerGone):
            client.get("x")
