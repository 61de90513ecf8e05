"""The types that users' checkers see are those that the package has."""

import os
import subprocess
import sys
from pathlib import Path

import shoal

USE = '''
import shoal
from array import array

store = shoal.Store("path", temporary=True)
store.append("key", b"value")
store.append({"key": array("d", [1.0]), "other": array("d")})
store.extend({b"key": [b"1", b"2"]})
store.extend((("key", b"1"), (b"key", bytearray(2))))
maybe: bytes | None = store.get("key")
surely: bytes = store.get("key", b"") + store["key"]
pieces: list[memoryview] = list(store.view("key"))
count: int = store.stats().held_back_by[0].slot
'''

USE_OF_PARTD = '''
import shoal.partd as partd

with partd.Pickle(partd.BZ2(partd.File("path"))) as part:
    part.append({"x": [1, 2], ("y", 1): [3]}, fsync=True)
    values: list[int] = part.get("x")
with partd.Server(partd.Dict(), bind="ipc://socket") as server:
    client = partd.Client(server.address, timeout=5.0)
    client.append({"x": b"1"})
    value: bytes = partd.Buffer(partd.Dict(), client, available_memory=1e6).pop(["x"])[0]
'''

MISUSE = '''
import shoal

store = shoal.Store("path")
store.append("key", "text")
store.append(1, b"value")
store.get("key") + b""
store.append({"key": "text"})
'''

# Its classes have a metaclass, its static methods are of a type of their own, and View and KeyIterator have no
# __init__; buffers are no method before Python 3.12.
OF_NANOBIND = r"""
shoal\._native\.(Store|View|KeyIterator)
shoal\._native\.Store\.(attach|collect|destroy|in_memory|restore|verify)
shoal\._native\.(View|KeyIterator)\.__init__
shoal\._native\.View\.__buffer__
"""


def run_tool(tmp_path, *arguments):
    """With the package where it is imported from."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": "", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_stubs_have_what_the_extension_has(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.write_text(OF_NANOBIND)
    checked = run_tool(
        tmp_path, "mypy.stubtest", "shoal._native", "--allowlist", str(allowed), "--ignore-unused-allowlist", "--concise"
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_right_use_passes_and_wrong_use_does_not(tmp_path):
    assert (Path(shoal.__file__).parent / "py.typed").exists()
    (tmp_path / "use.py").write_text(USE)
    (tmp_path / "misuse.py").write_text(MISUSE)
    used = run_tool(tmp_path, "mypy", "--strict", "use.py")
    assert used.returncode == 0, used.stdout
    (tmp_path / "partd.py").write_text(USE_OF_PARTD)
    used = run_tool(tmp_path, "mypy", "--strict", "partd.py")
    assert used.returncode == 0, used.stdout
    misused = run_tool(tmp_path, "mypy", "--strict", "misuse.py")
    assert misused.stdout.count("error:") == 4, misused.stdout
