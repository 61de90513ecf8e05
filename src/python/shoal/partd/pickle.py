"""A part of lists, pickled."""

import pickle
from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import Any

from .encode import Encode


def concat(lists: Iterable[list[Any]]) -> list[Any]:
    """One list of all.

    >>> concat([[1], [2, 3]])
    [1, 2, 3]
    """
    return list(chain.from_iterable(lists))


Pickle = partial(Encode, partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL), pickle.loads, concat)
