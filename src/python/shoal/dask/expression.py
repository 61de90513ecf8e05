"""The shuffle of Dask's that plans its queries: an expression which stands for `DiskShuffle` in a plan.

It is pickled with its options, for schedulers that make graphs in a process of their own.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from dask.dataframe.dask_expr._shuffle import DiskShuffle

from .dataframe import frame_graph


class StoreShuffle(DiskShuffle):
    """By its operand `store_options`; what is of no pandas' data frames goes Dask's way."""

    _parameters = [*DiskShuffle._parameters, "store_options"]

    def _layer(self) -> dict[Any, Any]:
        meta = self.frame._meta
        if type(meta) is not pd.DataFrame:
            return super()._layer()
        inputs = self.frame.__dask_keys__()
        return frame_graph(self._name, inputs, self.partitioning_index, self._partitions, meta, self.store_options)
