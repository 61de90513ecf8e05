"""A part of NumPy's arrays, joined along the first axis and given back flat."""

import ast
import pickle
from typing import Any

import numpy as np

from .core import Interface
from .encode import frame, framesplit
from .file import File


def serialize_dtype(dtype: Any) -> bytes:
    """The dtype as bytes.

    >>> serialize_dtype(np.dtype("M8[us]")), serialize_dtype(np.dtype([("a", "i4"), ("b", "f8")]))
    (b'<M8[us]', b"[('a', '<i4'), ('b', '<f8')]")
    """
    return (str(dtype.descr) if dtype.names else dtype.str).encode()


def parse_dtype(data: bytes) -> Any:
    """The dtype again; text that is none is an error, and never run as a program."""
    text = data.decode()
    return np.dtype(ast.literal_eval(text) if text.startswith("[") else text)


def serialize(array: Any) -> bytes:
    """An array's bytes; an array of objects is pickled, in a frame."""
    if array.dtype.hasobject:
        return frame(pickle.dumps(array.ravel().tolist(), protocol=pickle.HIGHEST_PROTOCOL))
    return np.ascontiguousarray(array).tobytes()


def deserialize(data: Any, dtype: Any, copy: bool = False) -> Any:
    """The array of one value; it can be written to if it is a copy."""
    if not dtype.hasobject:
        array = np.frombuffer(data, dtype)
        return array.copy() if copy else array
    objects = [item for pickled in framesplit(data) for item in pickle.loads(pickled)]
    array = np.empty(len(objects), dtype)
    array[:] = objects
    return array


class Numpy(Interface):
    """Arrays in another part; a key's arrays have one dtype, which is kept beside them.

    Parameters
    ----------
    partd : Interface or str, optional
        The part that holds the bytes; or a path, or nothing, for a `File`.

    Examples
    --------
    >>> with Numpy() as part:
    ...     part.append({"x": np.array([1, 2])})
    ...     part.append({"x": np.array([3])})
    ...     part.get("x")
    array([1, 2, 3])
    """

    def __init__(self, partd: Any = None) -> None:
        self.partd = File(partd) if partd is None or isinstance(partd, str) else partd

    @property
    def lock(self) -> Any:
        return self.partd.lock

    def append(self, data: dict[Any, Any], **kwargs: Any) -> None:
        """Adds an array to each key; TypeError where one has another dtype than those before, and none is added."""
        arrays = {key: np.asarray(array) for key, array in data.items()}
        dtypes = {key: serialize_dtype(array.dtype) for key, array in arrays.items()}
        held, kwargs = self._several(kwargs)
        with held:
            for key, dtype in dtypes.items():
                self.partd.iset((".dtype", key), dtype, **kwargs)
            for key, known in zip(dtypes, self.partd.get([(".dtype", key) for key in dtypes], **kwargs)):
                if known != dtypes[key]:
                    raise TypeError(f"the arrays of {key!r} are of {known.decode()}, not of {dtypes[key].decode()}")
            self.partd.append({key: serialize(array) for key, array in arrays.items()}, **kwargs)

    def _get(self, keys: list[Any], **kwargs: Any) -> list[Any]:
        values = self.partd.get([*keys, *((".dtype", key) for key in keys)], **kwargs)
        pairs = zip(values[: len(keys)], values[len(keys) :])
        return [deserialize(data, parse_dtype(dtype)) if dtype else np.empty(0) for data, dtype in pairs]

    def _iset(self, key: Any, value: Any, **kwargs: Any) -> Any:
        return self.partd.iset(key, value, **kwargs)

    def _delete(self, keys: list[Any], **kwargs: Any) -> Any:
        return self.partd.delete([*keys, *((".dtype", key) for key in keys)], **kwargs)

    def drop(self) -> Any:
        """Removes every key."""
        return self.partd.drop()

    def __exit__(self, *error: object) -> None:
        self.partd.__exit__(*error)
