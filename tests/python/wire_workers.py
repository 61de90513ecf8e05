"""What other processes of test_wire.py do: at the top of a module, so that `spawn` finds it."""

import shoal.partd as partd


def serve(path, bind, ready):
    """Serves the folder until it is killed."""
    server = partd.Server(partd.File(path), bind=bind)
    ready.send(server.address)
    server.block()


def append_numbers(client, worker, count):
    for number in range(count):
        client.append({"x": b"%d:%d;" % (worker, number), ("own", worker): b"%d;" % number})
    client.close()


def append_for_ever(client, ready):
    while True:
        client.append({"x": b"0123456789;"})
        ready.send(None)
