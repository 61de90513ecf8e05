#!/usr/bin/env python3
"""Runs the benches and holds what they measure against issue 2: bench/report.py [BUILD] [options].

The programs take turns, one repetition each, so that a figure and its limit meet the same state of the machine;
a ratio is the median of the ratios of the repetitions. Takes some five minutes and 8 GiB at five repetitions.
Stores and arenas lie in folders of the report's own, which it removes. Exit code: 1 when a bench failed; a
figure that is missed is a result and no failure.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from figures import FIGURES

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What Google Benchmark adds to a name for how it was run.
SUFFIX = re.compile(r"/(iterations:\d+|manual_time|real_time|min_time:[\d.]+)")


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def first_line_of(path, pattern=".*"):
    try:
        text = pathlib.Path(path).read_text()
    except OSError:
        return "unknown"
    found = re.search(pattern, text)
    return found.group(found.lastindex or 0).strip() if found else "unknown"


def describe(build, repetitions):
    options = output_of("meson", "introspect", "--buildoptions", str(build))
    chosen = {}
    if options != "unknown":
        chosen = {option["name"]: option["value"] for option in json.loads(options)}
    model = first_line_of("/proc/cpuinfo", r"model name\s*:\s*(.*)")
    memory = first_line_of("/proc/meminfo", r"MemTotal:\s*(.*)")
    changed = "" if output_of("git", "status", "--porcelain", "--", "src", "include", "bench") == "" else " and changes"
    yield f"machine  {model}, {os.cpu_count()} cores, {memory}; {platform.system()} {platform.release()}"
    yield f"commit   {output_of('git', 'rev-parse', '--short=12', 'HEAD')}{changed}"
    yield (f"build    {chosen.get('buildtype', '?')}, optimization {chosen.get('optimization', '?')}, "
           f"b_ndebug {chosen.get('b_ndebug', '?')}, b_lto {chosen.get('b_lto', '?')}, "
           f"{output_of('c++', '--version').splitlines()[0]}")
    huge = first_line_of("/sys/kernel/mm/transparent_hugepage/shmem_enabled", r"\[(.*)\]")
    yield f"memory   {os.environ.get('SHOAL_BENCH_DIR', '/dev/shm')}; shmem huge pages: {huge}"
    yield (f"when     {time.strftime('%Y-%m-%d %H:%M:%S')}, load {os.getloadavg()[0]:.2f} at the start, "
           f"{repetitions} repetitions in turn")


class Run:
    """All that the programs gave: values[(program, benchmark)] is one dict of fields a repetition."""

    def __init__(self):
        self.values = {}
        self.errors = []

    def add(self, program, report):
        for row in report["benchmarks"]:
            name = SUFFIX.sub("", row["name"])
            if row.get("error_occurred"):
                self.errors.append(f"{program}: {name}: {row.get('error_message')}")
            else:
                self.values.setdefault((program, name), []).append(row)

    def numbers(self, source):
        rows = self.values.get((source.program, source.benchmark), [])
        return [row[source.field] * source.scale for row in rows if source.field in row]


def programs_of(figures):
    """program -> the names that the figures need of it, in the order of the figures."""
    wanted = {}
    for figure in figures:
        for source in (figure.limit, figure.value):
            if source is not None:
                names = wanted.setdefault(source.program, [])
                if source.benchmark not in names:
                    names.append(source.benchmark)
    return wanted


def run_all(build, figures, repetitions, environment):
    run = Run()
    out = pathlib.Path(environment["TMPDIR"]) / "report.json"
    wanted = programs_of(figures)
    for repetition in range(repetitions):
        for program, names in wanted.items():
            pattern = "^(" + "|".join(re.escape(name).replace("\\-", "-") for name in names) + ")(/|$)"
            if not (build / "bench" / program).exists():
                run.errors.append(f"{program}: not built, see meson's messages on what bench/ needs")
                continue
            print(f"\r{repetition + 1}/{repetitions} {program:<14}", end="", file=sys.stderr, flush=True)
            done = subprocess.run(
                [build / "bench" / program, f"--benchmark_filter={pattern}", f"--benchmark_out={out}",
                 "--benchmark_out_format=json"],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, check=False)
            if done.returncode != 0:
                run.errors.append(f"{program}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
                continue
            run.add(program, json.loads(out.read_text()))
    print("\r" + " " * 24 + "\r", end="", file=sys.stderr)
    return run


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def row_of(figure, run):
    values = run.numbers(figure.value)
    limits = run.numbers(figure.limit) if figure.limit else []
    sign = "<=" if figure.less_is_better else ">="
    against = f" of {figure.limit_name}" if figure.of_ratio else f" {figure.unit}"
    target = "" if figure.bound is None else f"{sign} {figure.bound:g}{against}"
    if not values or (figure.limit and not limits):
        return [figure.name, target, "no value", "", "", "", "ERROR"]
    ratios = [value / limit for value, limit in zip(values, limits)]
    judged = statistics.median(ratios if figure.of_ratio else values)
    met = ""
    if figure.bound is not None:
        met = "yes" if (judged <= figure.bound if figure.less_is_better else judged >= figure.bound) else "NO"
    return [figure.name, target, f"{number(statistics.median(values))} {figure.unit}",
            f"{number(min(values))}..{number(max(values))}",
            f"{figure.limit_name} {number(statistics.median(limits))}" if limits else "",
            f"{statistics.median(ratios):.2f}" if ratios else "", met]


def print_table(rows):
    header = ["figure", "target", "median", "min..max", "in the same run", "ratio", "met"]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=ROOT / "build", help="meson's build folder")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", default="", help="figures whose name matches this regular expression")
    parser.add_argument("--json", type=pathlib.Path, help="write every value there as well")
    options = parser.parse_args()

    figures = [figure for figure in FIGURES if re.search(options.only, figure.name)]
    environment = dict(os.environ)
    arena_base = environment.get("SHOAL_BENCH_DIR", "/dev/shm")
    folders = [tempfile.mkdtemp(prefix="shoal-report-"), tempfile.mkdtemp(prefix="shoal-report-", dir=arena_base)]
    environment["TMPDIR"], environment["SHOAL_BENCH_DIR"] = folders
    for line in describe(options.build, options.repetitions):
        print(line)
    sys.stdout.flush()
    start = time.monotonic()
    try:
        run = run_all(options.build.resolve(), figures, options.repetitions, environment)
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"took     {time.monotonic() - start:.0f} s\n")
    print_table([row_of(figure, run) for figure in figures])
    for error in dict.fromkeys(run.errors):
        print(f"ERROR {error}")
    if options.json:
        rows = [{"program": program, "benchmark": name, "repetitions": values}
                for (program, name), values in run.values.items()]
        options.json.write_text(json.dumps(rows, indent=1))
    return 1 if run.errors else 0


if __name__ == "__main__":
    sys.exit(main())
