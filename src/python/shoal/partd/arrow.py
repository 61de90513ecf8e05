"""A part of Arrow's tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from .core import Interface
from .encode import Encode


def serialize(data: Any) -> pa.Buffer:
    """A table, a record batch, or a data frame with its index, as a stream of Arrow's."""
    if isinstance(data, pa.RecordBatch):
        table = pa.Table.from_batches([data])
    elif isinstance(data, pa.Table):
        table = data
    else:
        table = pa.Table.from_pandas(data, preserve_index=True)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def deserialize(data: bytes) -> pa.Table:
    """The table again, which refers to the memory of `data`."""
    return pa.ipc.open_stream(data).read_all()


def join(tables: list[pa.Table]) -> pa.Table:
    """One table of all, in their order; a column that some lack is null there."""
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def shown(table: pa.Table, columns: list[str] | None, pandas: bool) -> Any:
    """Of a table these columns, or all; as a data frame, with its index, where asked for."""
    if columns is not None and table.num_columns:
        of_index = (table.schema.pandas_metadata or {}).get("index_columns", []) if pandas else []
        table = table.select([*columns, *(name for name in of_index if isinstance(name, str) and name not in columns)])
    return table.to_pandas() if pandas else table


class Arrow(Encode):
    """Tables of pyarrow's in another part; also record batches and pandas' data frames, which become tables.

    Parameters
    ----------
    partd : Interface or str, optional
        The part that holds the bytes; or a path, or nothing, for a `File`.

    Examples
    --------
    >>> with Arrow() as part:
    ...     part.append({"x": pa.table({"a": [1, 2], "b": ["u", "v"]})})
    ...     part.append({"x": pa.record_batch({"a": [3], "b": ["w"]})})
    ...     part.get("x", columns=["a"]).to_pydict(), part.get("y").num_rows
    ({'a': [1, 2, 3]}, 0)

    What went in as data frames comes out as one, with its index:

    >>> import pandas as pd
    >>> with Arrow() as part:
    ...     part.append({"x": pd.DataFrame({"a": [1]}, index=[7])})
    ...     part.append({"x": pd.DataFrame({"a": [2]}, index=[8])})
    ...     part.get("x", pandas=True)
       a
    7  1
    8  2
    """

    def __init__(self, partd: Interface | str | None = None) -> None:
        super().__init__(serialize, deserialize, join, partd)

    def _get(self, keys: list[Any], columns: list[str] | None = None, pandas: bool = False, **kwargs: Any) -> list[Any]:
        return [shown(table, columns, pandas) for table in super()._get(keys, **kwargs)]

    def _pop(self, keys: list[Any], columns: list[str] | None = None, pandas: bool = False, **kwargs: Any) -> list[Any]:
        return [shown(table, columns, pandas) for table in super()._pop(keys, **kwargs)]
