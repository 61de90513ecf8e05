"""Writes golden/*.arrow anew: rows as pyarrow writes them, in each form that `shoal import` reads or refuses.

Usage: python make_golden.py, with pyarrow.
"""

import pathlib

import pyarrow as pa
import pyarrow.ipc

FOLDER = pathlib.Path(__file__).parent / "golden"
KEYS = ["a", "b", "a", "", "a key of more than twelve bytes"]
RECORDS = ["1", "", "zwei: ß", "a record that is longer than twelve bytes", "x"]


def column(values, type):
    raw = [value.encode() if value is not None and "binary" in str(type) else value for value in values]
    return pa.array(raw, type=type)


def write(name, columns, compression=None, batch_rows=2, open_writer=pa.ipc.new_stream):
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with open_writer(str(FOLDER / f"{name}.arrow"), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)


def rows(type, keys=KEYS, records=RECORDS):
    return {"key": column(keys, type), "record": column(records, type)}


for type in (pa.binary(), pa.utf8(), pa.large_binary(), pa.large_utf8(), pa.binary_view(), pa.string_view()):
    write(str(type), rows(type))
write("swapped", dict(reversed(rows(pa.binary()).items())))
for codec in ("lz4", "zstd"):
    write(codec, rows(pa.binary(), [key * 40 for key in KEYS], [record * 40 for record in RECORDS]), compression=codec)
write("file", rows(pa.binary()), open_writer=pa.ipc.new_file)
write("empty", rows(pa.binary(), [], []))
write("null_key", rows(pa.binary(), [*KEYS[:3], None, "e"]))
write("null_record", rows(pa.utf8(), records=["1", None, "3", "4", "5"]))
write("three_columns", {**rows(pa.binary()), "more": pa.array(range(5))})
write("one_column", {"key": column(KEYS, pa.binary())})
write("numbers", {"key": column(KEYS, pa.binary()), "record": pa.array(range(5))})
write("dictionary", {"key": column(KEYS, pa.utf8()).dictionary_encode(), "record": column(RECORDS, pa.utf8())})
