"""What partd's servers and clients say to each other over ZeroMQ, and what shoal's add to that.

A client's socket is a DEALER, a server's a ROUTER. A message is a command and its arguments, a frame each:

=========================  ===========================================
``syn``                    answered by ``ack``; a client begins with it
``append key value ...``   ``ack``
``iset key value``         ``ack``
``get key ...``            the values, then ``ack`` as another message
``delete key ...``         ``ack``
``drop``                   ``ack``
``close``                  ``ack``, and the server ends
=========================  ===========================================

A client of shoal's has a routing id that begins with `MARK`, and a server of shoal's answers such a one's ``syn`` with
``ack`` and `MARK`. From then on each answer is one message, ``ack`` and the values or ``error`` and what `failure`
makes of it, and there is ``pop key ...``. Neither minds one of partd's own at the other end.
"""

import base64
import re
from collections.abc import Hashable

from ..errors import _BY_CODE, Error, InvalidArgument, _made
from .keys import decoded, encoded

MARK = b"shoal"
SEPARATOR = b"-|-"
ESCAPED = b"shoal."

# What partd's own servers, and the files that they may write, keep apart as it is.
_PLAIN = re.compile(r"(?!shoal\.)[A-Za-z0-9_.() -]+")


class ServerGone(Error, ConnectionError):
    """No answer came from the server: it is not there, went away, or took longer than the client's `timeout`."""

    code = "server gone"


class ServerFailed(Error, RuntimeError):
    """The server answered that it could not do what it was asked to."""

    code = "server failed"


def serialize_key(key: Hashable) -> bytes:
    """The frame that stands for a key: partd's own for plain text and tuples of that, and escaped where that could be
    another key's too.

    >>> serialize_key("x"), serialize_key(("x", "y"))
    (b'x', b'x-|-y')
    >>> serialize_key("1"), serialize_key(1)
    (b'1', b'shoal.aTE')
    """
    texts = key if isinstance(key, tuple) and len(key) > 1 else (key,)
    if all(isinstance(text, str) and _PLAIN.fullmatch(text) for text in texts):
        return SEPARATOR.join(text.encode() for text in texts)
    return ESCAPED + base64.urlsafe_b64encode(encoded(key)).rstrip(b"=")


def deserialize_key(frame: bytes) -> Hashable:
    """The key of a frame; every frame is one.

    >>> deserialize_key(b"x"), deserialize_key(b"x-|-y"), deserialize_key(b"shoal.aTE"), deserialize_key(b"\\xff")
    ('x', ('x', 'y'), 1, b'\\xff')
    """
    if frame.startswith(ESCAPED):
        text = frame.removeprefix(ESCAPED)
        try:
            return decoded(base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True))
        except (ValueError, RecursionError):
            pass  # partd's clients escape nothing
    if SEPARATOR in frame:
        return tuple(map(_text, frame.split(SEPARATOR)))
    return _text(frame)


def _text(frame: bytes) -> str | bytes:
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return frame


def failure(error: Exception) -> list[bytes]:
    """The frames that tell a client of shoal's what went wrong."""
    code = error.code if isinstance(error, Error) else ""
    number = error.errno if isinstance(error, OSError) else None
    text = str(error) if code else f"{type(error).__name__}: {error}"
    appended = error.appended if isinstance(error, Error) else 0
    return [code.encode(), b"%d" % (number or 0), b"%d" % appended, text.encode("utf-8", "backslashreplace")]


def failed(address: str, frames: list[bytes]) -> Error:
    """The exception that the frames of `failure` tell of.

    >>> failed("tcp://127.0.0.1:1", failure(ValueError("no such thing")))
    ServerFailed('the server at tcp://127.0.0.1:1 failed: ValueError: no such thing')
    """
    code, number, appended, text = (frame.decode("utf-8", "replace") for frame in frames)
    message = f"the server at {address} failed: {text}"
    if code not in _BY_CODE:
        return ServerFailed(message)
    return _made(code, message, int(number), int(appended))


def text_of(address: object) -> str:
    """An address as text, InvalidArgument if it is none.

    >>> text_of(b"tcp://127.0.0.1:5000")
    'tcp://127.0.0.1:5000'
    """
    text = address.decode("utf-8", "replace") if isinstance(address, bytes) else address
    if not isinstance(text, str) or not text.startswith(("tcp://", "ipc://")):
        raise InvalidArgument(f"an address is tcp://HOST:PORT or ipc://PATH, and not {address!r}")
    return text
