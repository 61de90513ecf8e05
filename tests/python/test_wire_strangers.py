"""Who reaches a shoal.partd.Server, and what those can do that say what is no command."""

import os
import pickle
import socket
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
import shoal.partd as partd
from wire_pairs import PATIENCE_S, SOON_S, own_client, own_server

zmq = pytest.importorskip("zmq")
wire = pytest.importorskip("shoal.partd.zmq")
pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")


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
