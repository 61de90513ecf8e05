"""The shuffle of Dask's that plans its queries: an expression which stands for `DiskShuffle` in a plan.

It becomes three: a blockwise one that writes, one that gathers, and a blockwise one that reads. Blockwise ones Dask
makes one task of with what comes before them and after: so data frames pass from function to function, not from
process to process. All are pickled with their options, for schedulers that make graphs in a process of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pandas as pd
from dask._task_spec import Task, TaskRef
from dask.base import tokenize
from dask.dataframe.dask_expr._expr import Blockwise, Expr, PartitionsFiltered, optimize_blockwise_fusion
from dask.dataframe.dask_expr._shuffle import DiskShuffle
from dask.dataframe.dask_expr.io import BlockwiseIO

from .dataframe import read, write
from .exchange import Options, Source
from .graph import ATTEMPTS, EXCHANGE, gathered
from .keeping import opened


class StoreShuffle(DiskShuffle):
    """By its operand `store_options`; what is of no pandas' data frames goes Dask's way."""

    _parameters = [*DiskShuffle._parameters, "store_options"]

    def _lower(self) -> Expr | None:
        if type(self.frame._meta) is not pd.DataFrame:
            return None
        return reading(
            self.frame,
            self.partitioning_index,
            self.npartitions_out,
            self.original_partitioning_index,
            self.store_options,
            self.operand("_partitions"),
        )


def reading(frame: Expr, column: Any, count: int, index: Any, options: Options, partitions: Any) -> Expr:
    """What reads those of `count` partitions of a frame, or all where that is None."""
    wanted = range(count) if partitions is None else tuple(partitions)
    exchange = Opened(tokenize(frame._name, column, wanted), options)
    written = Written(frame, column, wanted, exchange)
    return Reading(Gathered(exchange, written), frame._meta, count, index, partitions)


class Opened(Expr):
    """The exchange, as one partition. Every graph that is made of it has a store of its own."""

    _parameters = ["shuffle", "options"]
    _meta = None

    @functools.cached_property
    def _name(self) -> str:
        return EXCHANGE + self.deterministic_token

    def _divisions(self) -> tuple[None, None]:
        return (None, None)

    def _layer(self) -> dict[Any, Any]:
        return {(self._name, 0): Task((self._name, 0), opened, Source.new(self.deterministic_token, self.options))}


class Written(Blockwise):
    """Of each partition of a frame the attempt that has written it."""

    _parameters = ["frame", "column", "wanted", "exchange"]
    operation = staticmethod(write)
    _meta = b""

    def _broadcast_dep(self, dep: Expr) -> bool:
        return isinstance(dep, Opened)


class Gathered(Expr):
    """The exchange and all attempts, as one partition."""

    _parameters = ["exchange", "written"]
    _meta = None

    @functools.cached_property
    def _name(self) -> str:
        return f"{ATTEMPTS}{self.exchange.deterministic_token}-{self.deterministic_token}"

    def _divisions(self) -> tuple[None, None]:
        return (None, None)

    def _layer(self) -> dict[Any, Any]:
        return {(self._name, 0): (gathered, (self.exchange._name, 0), self.written.__dask_keys__())}


class Reading(PartitionsFiltered, BlockwiseIO):
    """The partitions; to the planner they come from outside, as of a file."""

    _parameters = ["gathered", "meta", "npartitions_out", "original_partitioning_index", "_partitions"]
    _defaults = {"_partitions": None}

    @property
    def _meta(self) -> pd.DataFrame:
        return self.operand("meta")

    @property
    def unique_partition_mapping_columns_from_shuffle(self) -> set[Any]:
        index = self.original_partitioning_index
        return {tuple(index)} if isinstance(index, list) else set()

    def _divisions(self) -> tuple[None, ...]:
        return (None,) * (self.npartitions_out + 1)

    def _simplify_down(self) -> Expr | None:
        """What is not wanted is not written either."""
        written = self.gathered.written
        if not self._filtered or tuple(written.wanted) == tuple(self._partitions):
            return None
        index, options = self.original_partitioning_index, written.exchange.options
        return reading(written.frame, written.column, self.npartitions_out, index, options, self._partitions)

    def _filtered_task(self, name: Any, index: int) -> Task:
        return Task(name, read, TaskRef((self.gathered._name, 0)), index, self._meta)


def optimize_with_fusion(original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for `Expr.optimize`, which in Dask of 2025 and later makes one task of several only if it is told to.

    `compute` does not tell it; so a plan that has one of our shuffles gets it unless somebody said no.
    """

    def optimize(self: Any, fuse: bool | None = None) -> Any:
        planned = original(self, fuse=bool(fuse))
        if fuse is None and any(True for _ in planned.find_operations(Reading)):
            return optimize_blockwise_fusion(planned)
        return planned

    return optimize
