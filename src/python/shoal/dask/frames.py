"""Data frames as pieces of an `Exchange`: encoded column by column, all pieces of a task at once."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from .columns import Kind, array_of, kind_of
from .exchange import Exchange

_NAME_BYTES = 8
_WHOLE = b"\0" * _NAME_BYTES  # the layout of pieces that are pickled as they are


@dataclass(frozen=True)
class Layout:
    """What the columns of a data frame are: a piece bears its name alone.

    Attributes
    ----------
    kinds : tuple of Kind
        The index's, then those of the columns; what tells the partition is none of them.
    split : int or None
        The number of that column, the same in all rows of a partition.
    """

    columns: pd.Index
    index_names: tuple[Any, ...]
    kinds: tuple[Kind, ...]
    split: int | None
    split_dtype: Any

    @property
    def header(self) -> struct.Struct:
        """In front of a piece: the layout's name, rows, bytes of each blob."""
        return struct.Struct(f"<{_NAME_BYTES}s{1 + sum(kind.blobs for kind in self.kinds)}q")

    def is_like(self, other: Layout) -> bool:
        """Whether pieces of both can be put together buffer by buffer."""
        mine, others = ((it.index_names, it.kinds, it.split, it.split_dtype) for it in (self, other))
        return mine == others and self.columns.identical(other.columns)


def write(df: pd.DataFrame, column: Any, wanted: Collection[int], exchange: Exchange) -> bytes:
    """Splits a data frame by a column that has each row's partition; those that are wanted go to the exchange.

    Returns
    -------
    bytes
        The attempt.
    """
    numbers = df[column]
    if not is_whole(numbers.dtype):  # a row with a missing one belongs nowhere
        df = df[numbers.notna()]
        numbers = df[column].astype("i8")
    numbers = numbers.to_numpy()
    if not len(numbers):
        return exchange.write({})
    narrow = np.min_scalar_type(numbers.max()) if numbers.min() >= 0 else numbers.dtype
    order = np.argsort(numbers.astype(narrow), kind="stable")  # of 16 bits or fewer a radix sort
    in_order = numbers[order]
    bounds = np.concatenate(([0], np.flatnonzero(np.diff(in_order)) + 1, [len(order)]))
    partitions = in_order[bounds[:-1]].tolist()
    cut = cut_whole if type(df) is not pd.DataFrame else cut_columns
    pieces = cut(df, column, order, bounds, exchange)
    chosen = set(wanted)
    return exchange.write({number: piece for number, piece in zip(partitions, pieces) if number in chosen})


def is_whole(dtype: Any) -> bool:
    """Whether it is of NumPy's integers."""
    return isinstance(dtype, np.dtype) and dtype.kind in "iu"


def cut_whole(
    df: pd.DataFrame, column: Any, order: np.ndarray, bounds: np.ndarray, exchange: Exchange
) -> Iterator[tuple[Any, ...]]:
    """Pieces of what is more than a data frame, pickled."""
    ends = bounds.tolist()
    for begin, end in zip(ends, ends[1:]):
        yield _WHOLE, pickle.dumps(df.take(order[begin:end]), protocol=pickle.HIGHEST_PROTOCOL)


def cut_columns(
    df: pd.DataFrame, column: Any, order: np.ndarray, bounds: np.ndarray, exchange: Exchange
) -> Iterator[tuple[Any, ...]]:
    """Pieces of a data frame: header, then each column's buffers."""
    split = df.columns.get_loc(column)
    if not isinstance(split, int) or not is_whole(df.dtypes.iloc[split]):
        split = None
    arrays = [df.index, *(array_of(df.iloc[:, at]) for at in range(df.shape[1]) if at != split)]
    kinds = tuple(map(kind_of, arrays))
    dtype = None if split is None else df.dtypes.iloc[split]
    layout = Layout(df.columns, tuple(df.index.names), kinds, split, dtype)
    described = pickle.dumps(layout, protocol=pickle.HIGHEST_PROTOCOL)
    name = blake2b(described, digest_size=_NAME_BYTES).digest()
    exchange.note(name, described)

    ends = bounds.tolist()
    cuts = []  # of each buffer its pieces
    blobs = []
    for kind, values in zip(kinds, arrays):
        rows, blobs_of_kind = kind.cut(values, order, bounds)
        for width, buffer in zip(kind.row_bytes, rows):
            memory = memoryview(np.ascontiguousarray(buffer).view(np.uint8))
            cuts.append([memory[begin * width : end * width] for begin, end in zip(ends, ends[1:])])
        blobs += blobs_of_kind
    pack = layout.header.pack
    counts = np.diff(bounds).tolist()
    sizes = zip(*([len(piece) for piece in pieces] for pieces in blobs)) if blobs else ((),) * len(counts)
    for count, sizes_of_piece, *buffers in zip(counts, sizes, *cuts, *blobs):
        yield pack(name, count, *sizes_of_piece), *buffers


def read(exchange: Exchange, partition: int, meta: pd.DataFrame, attempts: bytes) -> pd.DataFrame:
    """A partition of all that the attempts have written, or `meta` where that is nothing."""
    groups: list[tuple[Layout, list[memoryview]]] = []
    frames: list[pd.DataFrame] = []
    at: dict[bytes, int] = {}
    for piece in exchange.read(partition, attempts):
        name = bytes(piece[:_NAME_BYTES])
        if name == _WHOLE:
            frames.append(pickle.loads(piece[_NAME_BYTES:]))
            continue
        if name not in at:
            layout = exchange.noted(name, pickle.loads)
            at[name] = next((n for n, group in enumerate(groups) if group[0].is_like(layout)), len(groups))
            if at[name] == len(groups):
                groups.append((layout, []))
        groups[at[name]][1].append(piece)
    frames += [join_columns(layout, pieces, partition) for layout, pieces in groups]
    if not frames:
        return meta
    if len(frames) == 1:
        return frames[0]
    from dask.dataframe.methods import concat

    return concat(frames)


def join_columns(layout: Layout, pieces: list[memoryview], partition: int) -> pd.DataFrame:
    """The data frame of all pieces, in memory of its own."""
    widths = [width for kind in layout.kinds for width in kind.row_bytes]
    rows: list[list[memoryview]] = [[] for _ in widths]
    blobs: list[list[memoryview]] = [[] for kind in layout.kinds for _ in range(kind.blobs)]
    header = layout.header
    count = 0
    for piece in pieces:
        _, rows_of_piece, *sizes = header.unpack_from(piece)
        count += rows_of_piece
        at = header.size
        for width, held in zip(widths, rows):
            held.append(piece[at : at + rows_of_piece * width])
            at += rows_of_piece * width
        for size, held in zip(sizes, blobs):
            held.append(piece[at : at + size])
            at += size

    arrays = []
    for kind in layout.kinds:
        taken, rows = rows[: len(kind.row_bytes)], rows[len(kind.row_bytes) :]
        taken_blobs, blobs = blobs[: kind.blobs], blobs[kind.blobs :]
        arrays.append(kind.join(taken, taken_blobs, count))
    index, *columns = arrays
    if layout.split is not None:
        columns.insert(layout.split, np.full(count, partition, layout.split_dtype))
    if not isinstance(index, pd.MultiIndex):
        index = pd.Index(index, name=layout.index_names[0], dtype=getattr(index, "dtype", None))
    made = pd.DataFrame(dict(enumerate(columns)), index=index, copy=False)
    made.columns = layout.columns
    return made
