"""shoal.partd.Server and Client: with each other, and with partd's own at either end."""

import multiprocessing
import os
import pickle
import threading
from contextlib import ExitStack
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
from wire_pairs import PAIRS, PATIENCE_S, own_client, own_server, pair, real_client, real_server

zmq = pytest.importorskip("zmq")
wire = pytest.importorskip("shoal.partd.zmq")
pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")

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
