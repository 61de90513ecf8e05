"""Dask's shuffles by a store: faster than by partd, and processes share one.

>>> import shoal.dask, dask.dataframe as dd, pandas as pd
>>> df = dd.from_pandas(pd.DataFrame({"x": [1, 2, 1, 2], "y": [1.0, 2.0, 3.0, 4.0]}), npartitions=2)
>>> with shoal.dask.shuffle(memory_limit="100 MB"):
...     df.set_index("x").compute()["y"].groupby("x").sum().tolist()
[4.0, 6.0]

What Dask does by ``shuffle_method="disk"`` goes this way then, whatever shuffles data frames of pandas', and `groupby`
of bags; by threads, processes, or the workers of distributed on one host. Dask does it so unless told otherwise, but
with distributed, where it is to be asked for: by ``dask.config.set({"dataframe.shuffle.method": "disk"})`` for instance.

A plan that has such a shuffle Dask's ``compute`` fuses, as ``optimize`` would: so that no data frame that is to be
shuffled, or was, goes from one process to another on its way to the next step.

Each shuffle has a temporary store, which all its processes share. It goes when the computation ends, by an error too;
with distributed when no worker has a result of the shuffle any more. What killed processes leave goes with the next
shuffle, or by ``shoal gc``. A worker that is killed takes no row with it, and doubles none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .exchange import Options

__all__ = ["disable", "enable", "shuffle"]

_in_place: list[tuple[Any, str, Any]] = []
_options: Options | None = None
_callback: Any = None


def enable(
    *,
    folder: str | PathLike[str] | None = None,
    memory_limit: int | str = 0,
    codec: str = "none",
    arena_dir: str | PathLike[str] | None = None,
) -> None:
    """Makes Dask shuffle by stores, in this process, from now on.

    Parameters
    ----------
    folder : path, optional
        Where the stores are and what memory has no room for. Otherwise Dask's ``temporary_directory``, or the system's.
    memory_limit : int or str
        Bytes that each shuffle may have in memory, 8 MiB at least; ``"2 GB"`` is understood. 0: half of what is free,
        in a container half of what that may still take.
    codec : str
        How what is spilled is compressed, as of `shoal.Store`.
    arena_dir : path, optional
        Folder for what is in memory; otherwise the first tmpfs with room.

    Raises
    ------
    ImportError
        Dask is not installed.
    """
    import dask
    from dask.utils import parse_bytes

    from .exchange import Options

    _use(
        Options(
            folder=None if folder is None else fspath(folder),
            memory_limit_bytes=parse_bytes(memory_limit),
            codec=codec,
            arena_dir=None if arena_dir is None else fspath(arena_dir),
        )
    )


def disable() -> None:
    """Makes Dask shuffle as it did before."""
    _use(None)


@contextmanager
def shuffle(**options: Any) -> Iterator[None]:
    """`enable`, with its options, until the end of the ``with``; then it is as it was before.

    Data frames are shuffled so that are computed meanwhile; bags, and with Dask of before 2024 data frames, whose
    methods are called meanwhile.
    """
    before = _options
    enable(**options)
    try:
        yield
    finally:
        _use(before)


def _use(options: Options | None) -> None:
    """Puts what shuffles by such stores in the place of Dask's, or Dask's own back."""
    global _options, _callback
    while _in_place:
        setattr(*_in_place.pop())
    _options = options
    if options is None:
        return
    from .graph import CloseStores

    if _callback is None:  # which stays: what was built is computed later
        _callback = CloseStores()
        _callback.register()
    for module, name, replacement in _replacements(options):
        _in_place.append((module, name, getattr(module, name)))
        setattr(module, name, replacement)


def _replacements(options: Options) -> Iterator[tuple[Any, str, Any]]:
    """Modules or classes with a name in each and what is to be there; of what is installed."""
    def module(name: str) -> Any:
        try:
            return import_module(name)
        except ImportError:
            return None

    core = module("dask.bag.core")
    if core is not None:
        from .bag import groupby_disk

        yield core, "groupby_disk", groupby_disk(options)
    planned = module("dask.dataframe.dask_expr._shuffle")
    if planned is not None:
        from .expression import StoreShuffle, optimize_with_fusion

        yield planned, "DiskShuffle", partial(StoreShuffle, store_options=options)
        plans = module("dask._expr")
        if plans is not None:
            yield plans.Expr, "optimize", optimize_with_fusion(plans.Expr.optimize)
        return
    direct = module("dask.dataframe.shuffle")
    if direct is not None:
        from .dataframe import rearrange_by_column_disk

        original = direct.rearrange_by_column_disk
        yield direct, "rearrange_by_column_disk", rearrange_by_column_disk(options, original)
