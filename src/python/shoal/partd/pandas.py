"""Parts of pandas' data frames: whole, or column by column."""

import pickle
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from .core import Interface
from .encode import Encode, frame, framesplit
from .numpy import Numpy


def serialize(df: Any) -> bytes:
    """A data frame pickled, its columns' memory in frames of their own."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(df, protocol=5, buffer_callback=buffers.append)
    return b"".join(map(frame, [pickled, *(buffer.raw() for buffer in buffers)]))


def deserialize(data: Any) -> Any:
    """The data frame again, of memory that can be written to."""
    pickled, *buffers = framesplit(memoryview(data))
    return pickle.loads(pickled, buffers=[bytearray(buffer) for buffer in buffers])


def join(frames: list[Any]) -> Any:
    """One data frame of all, in their order."""
    return pd.concat(frames) if frames else pd.DataFrame()


PandasBlocks = partial(Encode, serialize, deserialize, join)


class PandasColumns(Interface):
    """Data frames, of which single columns can be read.

    Parameters
    ----------
    partd : Interface or str, optional
        The part that holds the bytes; or a path, or nothing, for a `File`.

    Examples
    --------
    >>> with PandasColumns() as part:
    ...     part.append({"x": pd.DataFrame({"a": [1, 2], "b": [3.5, 4.5]})})
    ...     part.get("x", columns=["b"])
         b
    0  3.5
    1  4.5
    """

    def __init__(self, partd: Any = None) -> None:
        self.partd = Numpy(partd)

    @property
    def lock(self) -> Any:
        return self.partd.lock

    def append(self, data: dict[Any, Any], **kwargs: Any) -> None:
        """Adds a data frame to each key; all of a key's have the same columns."""
        arrays: dict[Any, Any] = {}
        heads: dict[Any, bytes] = {}
        for key, df in data.items():
            head = (list(df.columns), df.index.name, list(df.dtypes))
            heads[".head", key] = pickle.dumps(head, protocol=pickle.HIGHEST_PROTOCOL)
            arrays[".index", key] = np.asarray(df.index)
            arrays.update({(".column", key, name): np.asarray(df[name]) for name in df.columns})
        held, kwargs = self._several(kwargs, alone=True)  # the order of the rows is to be the same in every column
        with held:
            for key, pickled in heads.items():
                self.partd.iset(key, pickled, **kwargs)
            self.partd.append(arrays, **kwargs)

    def _get(self, keys: list[Any], columns: list[Any] | None = None, **kwargs: Any) -> list[Any]:
        held, kwargs = self._several(kwargs)
        with held:
            heads = self.partd.partd.get([(".head", key) for key in keys], **kwargs)
            return [
                self._frame(key, pickle.loads(head), columns, **kwargs) if head else pd.DataFrame()
                for key, head in zip(keys, heads)
            ]

    def _frame(self, key: Any, head: Any, columns: list[Any] | None, **kwargs: Any) -> Any:
        names, index_name, dtypes = head
        wanted = names if columns is None else columns
        index, *arrays = self.partd.get([(".index", key), *((".column", key, name) for name in wanted)], **kwargs)
        kinds = dict(zip(names, dtypes))
        made = {name: self._column(array, kinds[name]) for name, array in zip(wanted, arrays)}
        return pd.DataFrame(made, columns=wanted, index=pd.Index(index, name=index_name))

    @staticmethod
    def _column(array: Any, dtype: Any) -> Any:
        if isinstance(dtype, pd.CategoricalDtype):  # each data frame has categories of its own
            return pd.Categorical(array, ordered=dtype.ordered)
        return array if isinstance(dtype, np.dtype) else pd.array(array, dtype=dtype)

    def _iset(self, key: Any, value: Any, **kwargs: Any) -> Any:
        return self.partd.iset(key, value, **kwargs)

    def _delete(self, keys: list[Any], **kwargs: Any) -> None:
        held, kwargs = self._several(kwargs, alone=True)
        with held:
            heads = self.partd.partd.get([(".head", key) for key in keys], **kwargs)
            for key, head in zip(keys, heads):
                if head:
                    names = pickle.loads(head)[0]
                    self.partd.delete([(".index", key), *((".column", key, name) for name in names)], **kwargs)
                    self.partd.partd.delete([(".head", key)], **kwargs)

    def drop(self) -> Any:
        """Removes every key."""
        return self.partd.drop()

    def __exit__(self, *error: object) -> None:
        self.partd.__exit__(*error)
