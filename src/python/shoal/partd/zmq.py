"""A part that several processes, of partd's too, reach through one `Server`, each by a `Client`.

By the module's name in partd. It needs the package pyzmq.
"""

from .buffer import Buffer, keys_to_flush
from .client import Client
from .dict import Dict
from .file import File
from .gate import NotALock
from .server import Server
from .wire import ServerFailed, ServerGone, deserialize_key, serialize_key

__all__ = [
    "Buffer",
    "Client",
    "Dict",
    "File",
    "NotALock",
    "Server",
    "ServerFailed",
    "ServerGone",
    "deserialize_key",
    "keys_to_flush",
    "serialize_key",
]
