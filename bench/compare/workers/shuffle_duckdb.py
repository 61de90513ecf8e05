"""DuckDB: COPY with PARTITION_BY. Usage: shuffle_duckdb.py THREADS TABLE OUT SCRATCH"""

import sys

import duckdb

threads, table, out, scratch = sys.argv[1:]
connection = duckdb.connect()
connection.execute(f"SET temp_directory = '{scratch}'; SET threads = {threads}; SET preserve_insertion_order = false")
connection.execute(
    f"""COPY (FROM read_csv('{table}', all_varchar = true, header = true, delim = ',', quote = '', nullstr = ''))
        TO '{out}' (FORMAT csv, HEADER, PARTITION_BY (carrier), WRITE_PARTITION_COLUMNS true, OVERWRITE_OR_IGNORE)"""
)
