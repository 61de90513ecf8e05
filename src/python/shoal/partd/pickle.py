"""A part of lists, pickled."""

import pickle
from functools import partial
from itertools import chain

from .encode import Encode


def concat(lists):
    """One list of all.

    >>> concat([[1], [2, 3]])
    [1, 2, 3]
    """
    return list(chain.from_iterable(lists))


Pickle = partial(Encode, partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL), pickle.loads, concat)
