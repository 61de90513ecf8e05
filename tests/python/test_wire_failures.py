"""shoal.partd.Server and Client when processes are killed, stopped, forked or interrupted, and when parts fail."""

import os
import pickle
import signal
import socket
import threading
from contextlib import suppress

import pytest

import shoal
import shoal.partd as partd
import wire_workers
from wire_pairs import PATIENCE_S, SOON_S, own_client, own_server, process_of, real_client

zmq = pytest.importorskip("zmq")
wire = pytest.importorskip("shoal.partd.zmq")
pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")


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
