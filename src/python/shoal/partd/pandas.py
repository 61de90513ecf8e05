"""Parts of pandas' data frames: whole, or column by column."""

import pickle
from functools import partial

import numpy as np
import pandas as pd

from .core import Interface
from .encode import Encode, frame, framesplit
from .numpy import Numpy


def serialize(df):
    """A data frame pickled, its columns' memory in frames of their own."""
    buffers = []
    pickled = pickle.dumps(df, protocol=5, buffer_callback=buffers.append)
    return b"".join(map(frame, [pickled, *(buffer.raw() for buffer in buffers)]))


def deserialize(data):
    """The data frame again, of memory that can be written to."""
    pickled, *buffers = framesplit(memoryview(data))
    return pickle.loads(pickled, buffers=[bytearray(buffer) for buffer in buffers])


def join(frames):
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

    def __init__(self, partd=None):
        self.partd = Numpy(partd)

    @property
    def lock(self):
        return self.partd.lock

    def append(self, data, **kwargs):
        """Adds a data frame to each key; all of a key's have the same columns."""
        arrays, heads = {}, {}
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

    def _get(self, keys, columns=None, **kwargs):
        held, kwargs = self._several(kwargs)
        with held:
            heads = self.partd.partd.get([(".head", key) for key in keys], **kwargs)
            return [
                self._frame(key, pickle.loads(head), columns, **kwargs) if head else pd.DataFrame()
                for key, head in zip(keys, heads)
            ]

    def _frame(self, key, head, columns, **kwargs):
        names, index_name, dtypes = head
        wanted = names if columns is None else columns
        index, *arrays = self.partd.get([(".index", key), *((".column", key, name) for name in wanted)], **kwargs)
        kinds = dict(zip(names, dtypes))
        made = {name: self._column(array, kinds[name]) for name, array in zip(wanted, arrays)}
        return pd.DataFrame(made, columns=wanted, index=pd.Index(index, name=index_name))

    @staticmethod
    def _column(array, dtype):
        if isinstance(dtype, pd.CategoricalDtype):  # each data frame has categories of its own
            return pd.Categorical(array, ordered=dtype.ordered)
        return array if isinstance(dtype, np.dtype) else pd.array(array, dtype=dtype)

    def _iset(self, key, value, **kwargs):
        return self.partd.iset(key, value, **kwargs)

    def _delete(self, keys, **kwargs):
        held, kwargs = self._several(kwargs, alone=True)
        with held:
            heads = self.partd.partd.get([(".head", key) for key in keys], **kwargs)
            for key, head in zip(keys, heads):
                if head:
                    names = pickle.loads(head)[0]
                    self.partd.delete([(".index", key), *((".column", key, name) for name in names)], **kwargs)
                    self.partd.partd.delete([(".head", key)], **kwargs)

    def drop(self):
        """Removes every key."""
        return self.partd.drop()

    def __exit__(self, *error):
        self.partd.__exit__(*error)
