"""Columns of data frames as plain memory: cut into pieces without touching single rows, and put together at once.

A column of a kind is a few buffers. Those with so many bytes a row are cut where the rows are; a blob's length is not
told by its rows, and is written down.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError:  # then no column is of its strings either
    pa = None


class Kind:
    """How a column is held.

    Attributes
    ----------
    row_bytes : tuple of int
        Bytes a row, of each of its buffers that have so many.
    blobs : int
        How many others it has.
    """

    row_bytes: tuple[int, ...] = ()
    blobs = 0

    def cut(self, values: Any, order: np.ndarray, bounds: Sequence[int]) -> tuple[list[Any], list[list[Any]]]:
        """The rows in that order, and pieces of them.

        Returns
        -------
        rows : list of ndarray
            One for each of `row_bytes`, of all pieces.
        blobs : list of list
            For each of `blobs` the bytes of each piece.
        """
        raise NotImplementedError

    def join(self, rows: list[list[memoryview]], blobs: list[list[memoryview]], count: int) -> Any:
        """The column again, of the pieces of each buffer; `count` rows of memory of its own."""
        raise NotImplementedError


@dataclass(frozen=True)
class Plain(Kind):
    """NumPy's fixed sizes: numbers, booleans, times."""

    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.dtype.itemsize,)

    def cut(self, values, order, bounds):
        return [np.asarray(values).take(order)], []

    def join(self, rows, blobs, count):
        return joined(rows[0], self.dtype, count)


@dataclass(frozen=True, eq=False)
class Coded(Kind):
    """Categories, which are part of the dtype: their codes."""

    dtype: pd.CategoricalDtype
    codes: np.dtype[Any]

    def __eq__(self, other: object) -> bool:
        """Whether the codes mean the same; to pandas dtypes are equal whose categories are in another order."""
        if not isinstance(other, Coded):
            return NotImplemented
        same = self.dtype == other.dtype and self.codes == other.codes
        return same and self.dtype.categories.equals(other.dtype.categories)

    @property
    def row_bytes(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.codes.itemsize,)

    def cut(self, values, order, bounds):
        return [values.codes.take(order)], []

    def join(self, rows, blobs, count):
        return pd.Categorical.from_codes(joined(rows[0], self.codes, count), dtype=self.dtype)


@dataclass(frozen=True)
class Masked(Kind):
    """pandas' own numbers and booleans with missing ones: values, and where they are missing."""

    dtype: Any

    @property
    def row_bytes(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.dtype.numpy_dtype.itemsize, 1)

    def cut(self, values, order, bounds):
        missing = values.isna()
        numbers = values.to_numpy(self.dtype.numpy_dtype, na_value=self.dtype.numpy_dtype.type(0))
        return [numbers.take(order), missing.take(order)], []

    def join(self, rows, blobs, count):
        numbers = joined(rows[0], self.dtype.numpy_dtype, count)
        return self.dtype.construct_array_type()(numbers, joined(rows[1], np.dtype(bool), count))


@dataclass(frozen=True)
class Text(Kind):
    """Arrow's strings: the length of each, -1 where it is missing, and their bytes."""

    dtype: Any
    arrow: str

    row_bytes = (4,)
    blobs = 1

    def cut(self, values, order, bounds):
        strings = pa.array(values)
        if isinstance(strings, pa.ChunkedArray):
            strings = strings.combine_chunks()
        strings = strings.take(pa.array(order))
        missing = strings.is_null() if strings.null_count else None
        if missing is not None:
            strings = pc.fill_null(strings, "")
        if isinstance(strings, pa.ChunkedArray):  # where take and fill_null had to break them up
            strings = pa.concat_arrays(strings.chunks)
        width = np.dtype("i8") if pa.types.is_large_string(strings.type) else np.dtype("i4")
        _, offsets, data = strings.buffers()
        ends = np.frombuffer(offsets, width, len(strings) + 1, strings.offset * width.itemsize)
        lengths = np.diff(ends).astype("i4", copy=False)
        if missing is not None:
            lengths[missing.to_numpy(zero_copy_only=False)] = -1
        text = memoryview(data or b"").cast("B")
        at = ends[bounds].tolist()
        return [lengths], [[text[begin:end] for begin, end in zip(at, at[1:])]]

    def join(self, rows, blobs, count):
        lengths = joined(rows[0], np.dtype("i4"), count)
        missing = lengths < 0
        if missing.any():
            lengths[missing] = 0
            valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
        else:
            valid = None
        text = b"".join(blobs[0])
        large = self.arrow == "large_string" or len(text) > np.iinfo("i4").max
        offsets = np.zeros(count + 1, "i8" if large else "i4")
        np.cumsum(lengths, out=offsets[1:])
        kind = pa.large_string() if large else pa.string()
        strings = pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(offsets), pa.py_buffer(text)])
        return self.dtype.__from_arrow__(strings)


@dataclass(frozen=True)
class Pickled(Kind):
    """Whatever else: each piece is pickled."""

    dtype: Any

    blobs = 1

    def cut(self, values, order, bounds):
        pieces = (values.take(order[begin:end]) for begin, end in zip(bounds, bounds[1:]))
        return [], [[dumped(piece) for piece in pieces]]

    def join(self, rows, blobs, count):
        pieces = [pickle.loads(blob) for blob in blobs[0]]
        if isinstance(pieces[0], list):
            return np.fromiter(chain.from_iterable(pieces), object, count)
        if isinstance(pieces[0], pd.Index):
            return pieces[0].append(pieces[1:])
        return type(pieces[0])._concat_same_type(pieces)


def dumped(piece: Any) -> bytes:
    """A piece of a column as bytes; objects as a list, which takes less."""
    plain = piece.dtype == object and not isinstance(piece, pd.MultiIndex)
    return pickle.dumps(np.asarray(piece).tolist() if plain else piece, protocol=pickle.HIGHEST_PROTOCOL)


def joined(pieces: list[memoryview], dtype: np.dtype[Any], count: int) -> np.ndarray:
    """One array of the pieces' bytes."""
    made = np.empty(count, dtype)
    np.concatenate([np.frombuffer(piece, np.uint8) for piece in pieces], out=made.view(np.uint8))
    return made


def array_of(column: pd.Series) -> Any:
    """The array of a column: NumPy's, or one of pandas' own kinds."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def kind_of(values: Any) -> Kind:
    """How the array of a column, or an index, is held."""
    dtype = values.dtype
    if isinstance(values, pd.MultiIndex):
        return Pickled(dtype)
    if isinstance(dtype, np.dtype):
        return Pickled(dtype) if dtype.hasobject else Plain(dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        return Coded(dtype, values.codes.dtype)
    if isinstance(dtype, pd.StringDtype) and dtype.storage != "python" and pa is not None:
        return Text(dtype, str(pa.array(values[:0]).type))
    if isinstance(values, (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray)):
        return Masked(dtype)
    return Pickled(dtype)
