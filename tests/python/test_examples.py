"""The programs of src/python/examples do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "src/python/examples"


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_word_count_counts_the_words_of_all_files(tmp_path):
    for number in range(4):
        (tmp_path / str(number)).write_text("the quick fox\n" * 100 + "and the lazy dog " * number)
    counts = dict(line.split()[::-1] for line in run("word_count.py", *tmp_path.iterdir()).splitlines())
    assert counts == {"the": "406", "quick": "400", "fox": "400", "and": "6", "lazy": "6", "dog": "6"}


def test_numpy_columns_reads_what_was_appended():
    shown = run("numpy_columns.py")
    assert "columns: ['sensor 0', 'sensor 1', 'sensor 2', 'time']" in shown
    assert [float(mean) for mean in re.findall(r"100000 values, mean (.*)", shown)] == [0, 1, 2]
    assert "time goes up: True" in shown


def test_dask_shuffle_sorts_more_than_its_memory_holds():
    pytest.importorskip("dask.dataframe")
    shown = run("dask_shuffle.py", 1_000_000, "8 MiB")
    assert re.search(r"(\d+) MB went through 8 MiB of memory, into 20 partitions of 1000000 rows", shown), shown
    assert int(re.match(r"\d+", shown)[0]) >= 16
