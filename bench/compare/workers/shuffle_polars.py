"""Polars: a streaming sink partitioned by the column. Usage: shuffle_polars.py TABLE OUT SCRATCH"""

import sys

import polars

table, out, _ = sys.argv[1:]
rows = polars.scan_csv(table, infer_schema=False, quote_char=None)
rows.sink_csv(polars.PartitionBy(out, key="carrier", include_key=True), mkdir=True)
