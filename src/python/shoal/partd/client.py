"""A part that lies with a `Server`."""

import os
import secrets
import threading
import time
import weakref
from collections.abc import Hashable, Mapping
from itertools import chain
from math import ceil
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from ..errors import Closed, InvalidArgument
from .core import Interface
from .gate import NotALock
from .wire import MARK, ServerFailed, ServerGone, failed, serialize_key, text_of

REFUSED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
LOST = zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
# Between two attempts to reach a server that hangs up.
PAUSE_S = 0.05


class _Lost(Exception):
    """No answer came; `again` where another connection may get one."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


class _Connection:
    """A socket whose server has been greeted; used for one command after the other, and not again after a failure."""

    def __init__(self, address: str, curve_server: bytes | None, curve: tuple[bytes, bytes] | None) -> None:
        self.context = zmq.Context()
        try:
            self.socket = self.context.socket(zmq.DEALER)
            self.socket.linger = 0
            self.socket.routing_id = MARK + secrets.token_bytes(16)
            if curve_server is not None:
                self.socket.curve_serverkey = curve_server
                self.socket.curve_publickey, self.socket.curve_secretkey = curve or zmq.curve_keypair()
            self.monitor = self.socket.get_monitor_socket(REFUSED | LOST)
            self.socket.connect(address)
            self.socket.send(b"syn")
        except BaseException:
            self.close()
            raise
        self.server_is_ours: bool | None = None  # until it has answered
        self.poller = zmq.Poller()
        self.poller.register(self.socket, zmq.POLLIN)
        self.poller.register(self.monitor, zmq.POLLIN)

    def received(self, deadline: float | None) -> list[bytes]:
        """The next message."""
        while True:
            left = None if deadline is None else max(0, ceil((deadline - time.monotonic()) * 1000))
            ready = dict(self.poller.poll(left))
            if self.socket.poll(0):  # it may have answered before it went away
                return self.socket.recv_multipart()
            if self.monitor in ready:
                event = parse_monitor_message(self.monitor.recv_multipart())["event"]
                if event & REFUSED:
                    raise _Lost("it does not let in who has these CURVE keys, or none")
                if not self.socket.poll(0):
                    raise _Lost("it hung up", again=True)
            elif not ready:
                raise _Lost("its time is over")

    def close(self) -> None:
        """Takes nothing back of what was sent."""
        self.context.destroy(linger=0)


class Client(Interface):
    """A part that lies with a `Server`, of shoal's or of partd's own.

    What a call returns from is done: `append` waits for the server's word that it has appended. Where a call raises
    `ServerGone` its message says whether it can have been done all the same. Threads can share a client, and take
    turns; a forked child, and a process that it is pickled to, have a connection of their own.

    Parameters
    ----------
    address : str or bytes
        The server's, ``tcp://HOST:PORT`` or ``ipc://PATH``. It may be there later than the client.
    create_server : bool
        Not looked at, nor are arguments of other names; partd does not either.
    timeout : float, optional
        Seconds until a call fails when there is no server, or no answer from it. None: as long as it takes.
    curve_server : bytes, optional
        The public key of a server that has keys.
    curve : pair of bytes, optional
        The client's own public and secret key, where the server asks for them. They are pickled with the client.

    Examples
    --------
    >>> from shoal.partd import Dict, Pickle, Server
    >>> with Server(Dict()) as server, Pickle(Client(server.address)) as part:
    ...     part.append({"x": [1, 2]})
    ...     part.append({"x": [3]})
    ...     part.get("x")
    [1, 2, 3]
    """

    def __init__(
        self,
        address: str | bytes | None = None,
        create_server: bool = False,
        *,
        timeout: float | None = 60.0,
        curve_server: bytes | None = None,
        curve: tuple[bytes, bytes] | None = None,
        **kwargs: object,
    ) -> None:
        self.address = text_of(address)
        self.timeout = timeout
        self.curve_server = curve_server
        self.curve = curve
        self.lock = NotALock()
        self._closed = False
        self._turn = threading.RLock()
        self._connection: _Connection | None = self._connected()
        _clients.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("address", "timeout", "curve_server", "curve")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _connected(self) -> _Connection:
        try:
            return _Connection(self.address, self.curve_server, self.curve)
        except zmq.ZMQError as error:
            raise InvalidArgument(f"cannot connect to {self.address}: {error.strerror}") from error

    def _greeted(self, deadline: float | None) -> _Connection:
        """The connection, when a server is known to be at its other end."""
        while True:
            connection = self._connection = self._connection or self._connected()
            if connection.server_is_ours is not None:
                return connection
            try:
                connection.server_is_ours = connection.received(deadline)[1:] == [MARK]
            except _Lost as lost:
                if not lost.again:
                    raise
                self._disconnect()
                time.sleep(PAUSE_S)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, command: bytes, arguments: list[Any], values: int = 0) -> list[bytes]:
        """Has the server do it, and gives back as many values as it is to answer with."""
        with self._turn:
            if self._closed:
                raise Closed("this client was closed: make another")
            deadline = None if self.timeout is None else time.monotonic() + self.timeout
            sent = False
            try:
                connection = self._greeted(deadline)
                if command == b"pop" and not connection.server_is_ours:
                    raise ServerFailed(f"the server at {self.address} is partd's own, which has no pop: get and delete")
                sent = True
                connection.socket.send_multipart([command, *arguments])
                answer = connection.received(deadline)
                if command == b"get" and not connection.server_is_ours:
                    answer = [*connection.received(deadline), *answer]
                if (answer[0], len(answer)) not in ((b"ack", 1 + values), (b"error", 5)):
                    raise ServerFailed(f"what is at {self.address} does not answer as a server of partd's does")
            except _Lost as lost:
                self._disconnect()
                raise ServerGone(self._told(lost, command if sent else None)) from None
            except BaseException:
                self._disconnect()  # else a late answer would be taken for that to the next command
                raise
        if answer[0] == b"error":
            raise failed(self.address, answer[1:])
        return answer[1:]

    def _told(self, lost: _Lost, command: bytes | None) -> str:
        if command is None:
            return (
                f"no server answers at {self.address}: {lost}. Nothing was sent to it: see that it runs there, or give "
                f"its address, its keys, or more than these {self.timeout} seconds as timeout"
            )
        return (
            f"the server at {self.address} did not answer: {lost}. It may have done this {command.decode()}, or not: "
            f"when it is there again, look before you repeat it. The timeout is {self.timeout} seconds"
        )

    def append(self, data: Mapping[Hashable, Any], lock: object = None) -> None:
        """Adds bytes to the value of each key, and returns when the server has."""
        if data:
            self._ask(b"append", list(chain.from_iterable((serialize_key(key), value) for key, value in data.items())))

    def _get(self, keys: list[Hashable], lock: object = None) -> list[bytes]:
        return self._ask(b"get", list(map(serialize_key, keys)), len(keys)) if keys else []

    def _pop(self, keys: list[Hashable], **kwargs: object) -> list[bytes]:
        return self._ask(b"pop", list(map(serialize_key, keys)), len(keys)) if keys else []

    def _iset(self, key: Hashable, value: Any, lock: object = None) -> None:
        self._ask(b"iset", [serialize_key(key), value])

    def _delete(self, keys: list[Hashable], lock: object = None) -> None:
        if keys:
            self._ask(b"delete", list(map(serialize_key, keys)))

    def drop(self) -> None:
        """Removes every key."""
        self._ask(b"drop", [])

    def close_server(self) -> None:
        """Has the server end."""
        self._ask(b"close", [])

    def close(self) -> None:
        """Gives back the connection; the part stays with the server."""
        with self._turn:
            self._closed = True
            self._disconnect()

    def __exit__(self, *error: object) -> None:
        try:
            self.drop()
        finally:
            self.close()

    def __del__(self) -> None:
        if "_connection" in vars(self):  # it was made
            self.close()


# ZeroMQ's threads do not come along into a forked child, nor may it touch what it has of their sockets.
_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()
_inherited: list[_Connection] = []


def _begin_in_child() -> None:
    for client in _clients:
        client._turn = threading.RLock()
        if client._connection is not None:
            _inherited.append(client._connection)
            client._connection = None


os.register_at_fork(after_in_child=_begin_in_child)
