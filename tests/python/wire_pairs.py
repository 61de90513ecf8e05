"""Servers and clients, of shoal's and of partd's own, for the tests of the wire between them."""

import multiprocessing
from contextlib import contextmanager

import partd as real

import shoal.partd as partd

PATIENCE_S = 300  # a watchdog
SOON_S = 0.3  # for what is to time out


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
