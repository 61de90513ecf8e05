"""A part that other processes reach through a socket."""

import errno
import logging
import os
import socket
import stat
import threading
import traceback
from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Any

import zmq
from zmq.utils import z85

from ..errors import Closed, Error, InvalidArgument, PermissionDenied, SystemCallFailed
from .file import File
from .wire import MARK, deserialize_key, failure, text_of

logger = logging.getLogger(__name__)

# Messages that wait for one client. It takes one after the other, so these are of one that does not read.
MOST_WAITING = 16
# Milliseconds that a server which ends takes at most to send its last answers.
LINGER_MS = 1000
ZAP = "inproc://zeromq.zap.01"


class Server:
    """Does for clients, of shoal's and of partd's own, what they ask for, one command after the other.

    What it has answered it has done: it then lies in the part, and outlives the server as that does.

    Parameters
    ----------
    partd : Interface, optional
        The part, of shoal's or a foreign one; without it a new `File`.
    bind : str or bytes, optional
        Where to listen: ``tcp://ADDRESS:PORT``, with ``*`` for any port, or ``ipc://PATH``. Without it at any port of
        the local host, or of `hostname`. ``tcp://*:PORT`` is every network that there is: give it keys.
    start : bool
        Listen at once, in a thread of its own.
    block : bool
        Return when it has ended.
    hostname : str, optional
        What the address shows, and without `bind` also where it listens.
    curve : pair of bytes, optional
        Its public and its secret key, as `zmq.curve_keypair` makes them. Then all is encrypted, and only clients that
        know the public key get in.
    curve_clients : iterable of bytes, optional
        The public keys of those that get in.

    Attributes
    ----------
    address : bytes
        For `Client`.
    partd : Interface
    status : str
        ``created``, ``run`` or ``closed``.

    Examples
    --------
    >>> from shoal.partd import Client, Dict
    >>> with Server(Dict()) as server, Client(server.address) as part:
    ...     part.append({"x": b"abc", ("y", 1): b"d"})
    ...     part.append({"x": b"ef"})
    ...     part.get(["x", [("y", 1)]])
    [b'abcef', [b'd']]
    """

    def __init__(
        self,
        partd: Any = None,
        bind: str | bytes | None = None,
        start: bool = True,
        block: bool = False,
        hostname: str | None = None,
        *,
        curve: tuple[bytes, bytes] | None = None,
        curve_clients: Iterable[bytes] | None = None,
    ) -> None:
        if curve is None and curve_clients is not None:
            raise InvalidArgument("curve_clients are let in by the server's own keys: give it those too, as curve")
        self.partd = File() if partd is None else partd
        self._process = os.getpid()
        self._thread: threading.Thread | None = None
        self._ending = threading.Lock()
        self._listens = False
        self._ended = threading.Event()
        self._allowed = None if curve_clients is None else {z85.decode(key) for key in curve_clients}
        self._zap: zmq.Socket[bytes] | None = None
        self.context = zmq.Context()
        try:
            self.socket = self._made_socket(curve)
            self.address = self._bound(bind, hostname).encode()
        except BaseException:
            self.context.destroy(linger=0)
            raise
        self._wake: int | None = os.eventfd(0, os.EFD_CLOEXEC)
        self.status = "created"
        if start:
            self.start()
        if block:
            self.block()

    def _made_socket(self, curve: tuple[bytes, bytes] | None) -> "zmq.Socket[bytes]":
        made = self.context.socket(zmq.ROUTER)
        made.router_mandatory = True  # else what a client has no room for is dropped, and nobody told
        made.sndhwm = MOST_WAITING
        if curve is not None:
            made.curve_publickey, made.curve_secretkey = curve
            made.curve_server = True
        if self._allowed is not None:
            self._zap = self.context.socket(zmq.REP)
            self._zap.linger = 0
            self._zap.bind(ZAP)
            made.zap_domain = b"shoal"
        return made

    def _bound(self, bind: str | bytes | None, hostname: str | None) -> str:
        """Listens, and says under which address."""
        wanted = f"tcp://{_interface(hostname)}:*" if bind is None else text_of(bind)
        path = None
        if wanted.startswith("ipc://") and not wanted.startswith("ipc://@"):  # which is no file
            path = os.path.abspath(wanted[6:])
            _make_room_for(path)
            wanted = f"ipc://{path}"
        try:
            self.socket.bind(wanted)
            self._file = None if path is None else (path, os.stat(path).st_ino)
        except OSError as error:
            raise _refused(wanted, error) from error
        except zmq.ZMQError as error:
            raise _refused(wanted, error) from error
        found = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        if not found.startswith("tcp://"):
            return found
        host, _, port = found.removeprefix("tcp://").rpartition(":")
        everywhere = host in ("0.0.0.0", "[::]")
        return f"tcp://{hostname or (socket.gethostname() if everywhere else host)}:{port}"

    def start(self) -> None:
        """Begins to listen, unless it does already."""
        if self.status == "closed":
            raise Closed("this server was closed: make another")
        if self.status != "run":
            self.status = "run"
            self._thread = threading.Thread(target=self.listen, name="shoal.partd.Server")
            self._thread.start()

    def block(self) -> None:
        """Waits until it has ended."""
        if self._thread is not None:
            self._thread.join()

    def listen(self) -> None:
        """Answers until the server is closed; `start` has a thread do it."""
        with self._ending:
            if self.status == "closed":
                return
            self._listens = True
        try:
            waiting = zmq.Poller()
            for readable in (self.socket, self._wake, self._zap):
                if readable is not None:
                    waiting.register(readable, zmq.POLLIN)
            while self.status != "closed":
                ready = dict(waiting.poll())
                if self._zap is not None and self._zap in ready:
                    self._let_in_or_not(self._zap)
                if self.socket in ready:
                    client, *message = self.socket.recv_multipart()
                    self._send(client, self._answers(client, message))
        finally:
            self._end()

    def _let_in_or_not(self, zap: "zmq.Socket[bytes]") -> None:
        """Answers ZeroMQ, which asks by its own protocol whether a client with that key may connect."""
        version, request, _domain, _address, _client, _mechanism, key = zap.recv_multipart()
        allowed = self._allowed is not None and key in self._allowed
        verdict = [b"200", b"OK"] if allowed else [b"400", b"a key that this server has not been given"]
        zap.send_multipart([version, request, *verdict, b"", b""])

    def _answers(self, client: bytes, message: list[bytes]) -> list[list[bytes | memoryview]]:
        """The messages that a client gets; whatever it sent, the server goes on."""
        own_kind = client.startswith(MARK)
        try:
            command, *arguments = message
            values = self._done(command, arguments)
        except Exception as error:
            if isinstance(error, InvalidArgument):  # the client's fault
                logger.info("the server at %s refused: %s", self.address.decode(), error)
            else:  # as text: a traceback would keep the part alive with the record
                logger.warning("the server at %s failed:\n%s", self.address.decode(), traceback.format_exc())
            if own_kind:
                return [[b"error", *failure(error)]]
            # What came instead of values such a client would take for values: it waits, as it does for partd's server.
            return [] if message[:1] == [b"get"] else [[b"error", *failure(error)]]
        if own_kind:
            return [[b"ack", *values]]
        return [values or [b""], [b"ack"]] if command == b"get" else [[b"ack"]]

    def _done(self, command: bytes, arguments: list[bytes]) -> list[bytes | memoryview]:
        """Does what a command says, and gives back the values that it asks for."""
        if command == b"append":
            if len(arguments) % 2:
                raise InvalidArgument("an append without a value for its last key")
            data: dict[Hashable, bytes] = {}
            for key, value in zip(map(deserialize_key, arguments[::2]), arguments[1::2]):
                data[key] = data[key] + value if key in data else value
            self.partd.append(data)
        elif command == b"iset":
            if len(arguments) != 2:
                raise InvalidArgument("an iset of other than a key and a value")
            self.partd.iset(deserialize_key(arguments[0]), arguments[1])
        elif command in (b"get", b"pop"):
            keys = list(map(deserialize_key, arguments))
            values = self.partd.get(keys) if command == b"get" else self.partd.pop(keys)
            return [memoryview(value) for value in values]
        elif command == b"delete":
            self.partd.delete(list(map(deserialize_key, arguments)))
        elif command == b"drop":
            self.partd.drop()
        elif command == b"close":
            self.status = "closed"
        elif command == b"syn":
            return [MARK]
        else:
            raise InvalidArgument(f"no such command: {command[:40]!r}")
        return []

    def _send(self, client: bytes, messages: list[list[bytes | memoryview]]) -> None:
        try:
            for message in messages:
                self.socket.send_multipart([client, *message], zmq.DONTWAIT)
        except zmq.ZMQError as error:  # it went away, or does not read
            logger.info("the server at %s could not answer: %s", self.address.decode(), error)

    def append(self, data: dict[Hashable, bytes]) -> None:
        """Adds bytes to the value of each key, as a client's `append` does."""
        self.partd.append(data)

    def get(self, keys: Any) -> Any:
        """The value of a key, or those of a list of keys."""
        return self.partd.get(keys)

    def drop(self) -> None:
        """Removes every key."""
        self.partd.drop()

    def close(self) -> None:
        """Ends it, when the command that it is at is done. The part stays as it is."""
        if os.getpid() != self._process:
            return  # a forked child has a copy of this object and nothing of the server
        with self._ending:
            self.status = "closed"
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)
        if not self._listens:
            self._end()
        self._ended.wait()
        self.block()

    def _end(self) -> None:
        """Gives back what it had open."""
        with self._ending:
            self.status = "closed"
            if self._wake is not None:
                if self._file is not None:
                    _remove(*self._file)
                self.context.destroy(linger=LINGER_MS)
                os.close(self._wake)
                self._wake = None
        self._ended.set()

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        if os.getpid() == self._process:
            self.partd.__exit__(*error)


def _interface(hostname: str | None) -> str:
    if hostname is None:
        return "127.0.0.1"
    try:
        return socket.gethostbyname(hostname)
    except OSError as error:
        raise InvalidArgument(f"no address is known of {hostname!r} ({error}): say by bind where to listen") from error


def _refused(wanted: str, error: OSError | zmq.ZMQError) -> Error:
    kind = PermissionDenied if error.errno == errno.EACCES else SystemCallFailed
    return kind(error.errno, f"cannot listen at {wanted}: {error.strerror}; give another bind")


def _remove(path: str, inode: int) -> None:
    """Removes a socket's file, which ZeroMQ leaves, if it is the one that was made. No other server takes it meanwhile,
    as this one still listens."""
    with suppress(OSError):
        if os.lstat(path).st_ino == inode:
            os.unlink(path)


def _make_room_for(path: str) -> None:
    """ZeroMQ removes whatever lies at `path`; so only a socket without a server may lie there."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SystemCallFailed(errno.EEXIST, f"{path} is there and no socket: give another bind")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == 0:
            raise SystemCallFailed(errno.EADDRINUSE, f"another server listens at {path}: close that, or bind elsewhere")
