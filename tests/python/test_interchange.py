"""`shoal export` and `import` beside other readers and writers of Arrow."""

import os
import random
import subprocess
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.ipc")

ROOT = Path(__file__).parents[2]
WATCHDOG_S = 300


@pytest.fixture(scope="module")
def command():
    """The command as the other tests' builds have it; SHOAL_COMMAND names another one."""
    builds = [ROOT / "build" / name / "src/tool/shoal" for name in ("gcc", "release", "clang")]
    found = [path for path in (Path(os.environ["SHOAL_COMMAND"]),) if path] if "SHOAL_COMMAND" in os.environ else builds
    found = [path for path in found if path.exists()]
    if not found:
        pytest.skip("the command is not built: tools/build gcc")
    newest = max(found, key=lambda path: path.stat().st_mtime)

    def run(*arguments, stdin=b""):
        return subprocess.run([newest, *arguments], input=stdin, stdout=subprocess.PIPE, check=True, timeout=WATCHDOG_S).stdout

    return run


@pytest.fixture
def store(command, tmp_path):
    yield tmp_path / "store"
    if (tmp_path / "store").exists():
        command("destroy", "-f", tmp_path / "store")


def rows(seed, count=2000):
    chance = random.Random(seed)
    keys = [chance.randbytes(chance.randrange(20)) for _ in range(50)]
    return [(chance.choice(keys), chance.randbytes(chance.choice([0, 5, 300]))) for _ in range(count)]


def by_key(pairs):
    found = {}
    for key, record in pairs:
        found.setdefault(key, []).append(record)
    return found


def stream(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=300)
    return sink.getvalue().to_pybytes()


def test_what_is_exported_is_what_pyarrow_reads(command, store):
    expected = rows(1)
    table = pa.table({"key": pa.array([key for key, _ in expected]), "record": pa.array([value for _, value in expected])})
    command("import", store, "--memory", "64M", stdin=stream(table))
    for batch in ("4M", "1000"):
        with pa.ipc.open_stream(command("export", store, "--max-batch", batch)) as reader:
            assert reader.schema == pa.schema(
                [pa.field("key", pa.binary(), nullable=False), pa.field("record", pa.large_binary(), nullable=False)]
            )
            batches = list(reader)
        assert (len(batches) > 100) == (batch == "1000")
        for read in batches:
            read.validate(full=True)
        read = pa.Table.from_batches(batches)
        assert by_key(zip(read["key"].to_pylist(), read["record"].to_pylist())) == by_key(expected)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("type", ["binary", "large_binary", "binary_view"])
def test_what_pyarrow_writes_is_imported(command, store, type, compression):
    if not hasattr(pa, type):
        pytest.skip(f"this pyarrow has no {type}")
    expected = rows(2)
    columns = {
        "record": pa.array([value for _, value in expected], type=getattr(pa, type)()),
        "key": pa.array([key for key, _ in expected], type=getattr(pa, type)()),
    }
    command("import", store, "--memory", "64M", stdin=stream(pa.table(columns), compression=compression))
    with pa.ipc.open_stream(command("export", store)) as reader:
        read = reader.read_all()
    assert by_key(zip(read["key"].to_pylist(), read["record"].to_pylist())) == by_key(expected)


def test_a_slice_of_a_table_is_imported(command, store):
    table = pa.table({"key": [b"%d" % number for number in range(100)], "record": [b"x" * number for number in range(100)]})
    command("import", store, "--memory", "64M", stdin=stream(table.slice(37, 21)))
    with pa.ipc.open_stream(command("export", store)) as reader:
        read = reader.read_all()
    assert dict(zip(read["key"].to_pylist(), read["record"].to_pylist())) == {
        b"%d" % number: b"x" * number for number in range(37, 58)
    }


def test_polars_reads_and_writes_it(command, store):
    polars = pytest.importorskip("polars")
    expected = rows(3)
    frame = polars.DataFrame({"key": [key for key, _ in expected], "record": [value for _, value in expected]})
    for compression in ("uncompressed", "lz4", "zstd"):
        command("import", store, "--memory", "64M", stdin=frame.write_ipc_stream(None, compression=compression).getvalue())
        read = polars.read_ipc_stream(command("export", store))
        assert by_key(read.rows()) == by_key(expected)
        command("drop", store)
