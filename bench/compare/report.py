#!/usr/bin/env python3
"""Makes bench/REPORT.md and its charts of what bench/results/ holds; tools/compare calls it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import charts
from lifecycles import STEPS
from results import Figure, cpu_of_append, figure, load, rate, rate_of_get_of_all
from scales import BULK_RECORD_BYTES, IN_FILES_LIMIT, KEY_RECORD_BYTES
from shuffles import SHUFFLERS
from standings import (Standing, explanations, first_paragraph, second_paragraph, standings_of_appends,
                       standings_of_cpu, standings_of_larger, standings_of_reads, standings_of_scale,
                       standings_of_shuffle)
from tables import KEYS, PEER_OF, PEERS, READS, Workload, workload

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "bench/results"
REPORT = ROOT / "bench/REPORT.md"
SHUFFLER_TITLES = {shuffler.name: shuffler.title for shuffler in SHUFFLERS}


def number(value: float) -> str:
    """Three digits, with a prefix."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}"
    return f"{value:.3g} "


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def cell(found: Optional[Figure], scale: float = 1.0) -> str:
    if found is None:
        return "–"
    middle, least, most = (number(value / scale).strip() for value in (found.median, found.least, found.most))
    return f"{middle} (1 round)" if found.rounds == 1 else f"{middle} ({least} to {most})"


def narrow_cell(found: Optional[Figure]) -> str:
    """Where there are many columns: the median, and half of what lies between the least and the most."""
    if found is None:
        return "–"
    return f"{number(found.median).strip()} ±{50 * (found.most - found.least) / found.median:.0f} %"


def share(found: Optional[Figure], limit: Optional[Figure]) -> str:
    return f"{100 * found.median / limit.median:.3g} %" if found and limit else "–"


def section_of_appends(result: dict[str, Any]) -> list[str]:
    shapes = [workload(batched=batched, **fields) for batched in (True, False)
              for fields in ({}, {"record_bytes": 1024}, {"record_bytes": 65536},
                             *({"keys": keys} for keys in KEYS if keys != workload().keys),
                             {"processes": 1}, {"processes": 4})]
    rows: list[list[str]] = []
    cpu_rows: list[list[str]] = []
    for shape in shapes:
        wanted = dataclasses.asdict(shape)
        figures = [figure(result, peer.name, rate("append"), workload=wanted) for peer in charts.IN_MEMORY]
        if any(figures):
            of = dict(zip((peer.name for peer in charts.IN_MEMORY), figures))
            rows.append([shape.name, share(of["shoal"], of["memcpy"]), *map(narrow_cell, figures)])
            figures = [figure(result, peer.name, cpu_of_append, workload=wanted) for peer in charts.IN_MEMORY]
            cpu_rows.append([shape.name, *map(narrow_cell, figures)])
    lines = ["## Append", "", "![Records a second of every peer](results/append.svg)", "",
             "Records a second of all processes together: medians, ± half of what lies between the least and the most",
             "of all rounds; and how much of memcpy's rate shoal's is. All workloads and all samples are in",
             "[results/append.json](results/append.json).", ""]
    titles = [peer.title for peer in charts.IN_MEMORY]
    lines += table(["records/s", "shoal, of memcpy", *titles], rows)
    lines += ["CPU time a record, of the processes that append and of Redis's server; what partd.Server's server takes",
              "is not counted.", ""]
    return lines + table(["ns of CPU time a record", *titles], cpu_rows)


def section_of_reads(result: dict[str, Any]) -> list[str]:
    lines = ["## Get and view", "", "![Reads of every peer](results/reads.svg)", ""]
    for name, shape in READS.items():
        wanted = dataclasses.asdict(shape)
        lines += table([f"{name}: {shape.name}", "gets/s", "bytes/s", "views/s"], [
            [peer.title, cell(figure(result, peer.name, rate("get"), workload=wanted)),
             cell(figure(result, peer.name, rate("get", "bytes"), workload=wanted)),
             cell(figure(result, peer.name, rate("view"), workload=wanted))] for peer in charts.IN_MEMORY])
    return lines


def section_of_shuffle(result: dict[str, Any]) -> list[str]:
    lines = ["## Shuffle", "", "![The whole job, by every peer](results/shuffle.svg)", "",
             "The flights that left New York City in 2013, again and again, from one CSV file on the disk to a file a",
             "carrier there, process start to exit, with 2 workers or threads where a peer has such; the input is in",
             "the page cache, all columns are text, and the rows that come out are the rows that went in.", ""]
    for rows in sorted({row["rows"] for row in result["samples"]}):
        body = []
        for shuffler in SHUFFLERS:
            def of(field: str, scale: float) -> str:
                return cell(figure(result, shuffler.name, lambda sample: sample[field] / scale, rows=rows))

            body.append([shuffler.title, of("wall_seconds", 1), of("cpu_seconds", 1), of("peak_bytes", 1e9),
                         of("written_bytes", 1e9)])
        lines += table([f"{rows:,} rows", "wall s", "CPU s", "peak GB", "written GB"], body)
    return lines


def section_of_gaps(results: list[dict[str, Any]]) -> list[str]:
    titles = SHUFFLER_TITLES | {peer.name: peer.title for peer in PEERS}
    gaps = [(result["benchmark"], titles[gap["peer"]], gap["reason"]) for result in results for gap in result["gaps"]]
    lines = ["## Gaps", "", "What has no figure, and why:", ""]
    for benchmark, title, reason in dict.fromkeys(gaps):
        count = gaps.count((benchmark, title, reason))
        lines.append(f"- {benchmark}: {title}: {reason}" + (f" ({count} workloads)" if count > 1 else ""))
    thrown_out = [row for result in results for row in result["thrown_out"]]
    lines += ["", f"Thrown out, since a record was lost or a program failed: {len(thrown_out)} runs.", ""]
    lines += [f"- {titles[row['peer']]}: {row['error']}" for row in thrown_out]
    return [*lines, ""] if thrown_out else lines


def section_of_settings(results: list[dict[str, Any]]) -> list[str]:
    """Each peer once, and again where its settings differ from benchmark to benchmark."""
    lines = ["## Versions and settings", ""]
    where: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for name, settings in result["settings"].items():
            title = SHUFFLER_TITLES[name] if result["benchmark"] == "shuffle" else PEER_OF[name].title
            text = "; ".join(f"{key} {value}" for key, value in settings.items())
            where.setdefault((title, text), []).append(result["benchmark"])
    tuned = {peer.title: peer.tuned for peer in PEERS} | {shuffler.title: shuffler.tuned for shuffler in SHUFFLERS}
    last = ""
    for (title, text), benchmarks in sorted(where.items(), key=lambda entry: list(tuned).index(entry[0][0])):
        if title != last and tuned[title]:
            text += f". Tuned: {tuned[title]}"
        lines.append(f"- {title} ({', '.join(benchmarks)}): {text}")
        last = title
    return [*lines, ""]


def section_of_larger(result: dict[str, Any]) -> list[str]:
    limit = result["memory_limit_bytes"] >> 20
    lines = ["## Larger than memory", "", "![Appends and gets of what does not fit](results/larger.svg)", "",
             f"{4 * limit:,} MiB in records of 1 KiB to 1,000 keys by one process, batched, with {limit} MiB of memory",
             "(page cache and program included), which a cgroup enforces; the files lie on the disk. It begins with",
             "nothing and ends when the last append is acknowledged, at most a quarter being still in memory then, or",
             "when its time is over. Who has not got through it has no figure for the gets, since more than a quarter",
             "of what it had lay in memory. The limit is that of the disk, by requests of 1 MiB.", ""]
    rates = {"append": rate("append", "bytes"), "get": rate_of_get_of_all}
    limits = {phase: figure(result, "uring", value) for phase, value in rates.items()}

    def of_disk(peer: str, phase: str) -> list[str]:
        found = figure(result, peer, rates[phase])
        return [cell(found), share(found, limits[phase])]

    return lines + table(["", "append, bytes/s", "of the limit", "get, bytes/s", "of the limit", "appended, bytes",
                          "written, bytes", "CPU s of the whole run"], [
        [peer.title, *of_disk(peer.name, "append"), *of_disk(peer.name, "get"),
         cell(figure(result, peer.name, lambda sample: sample["timings"]["append"]["bytes"])),
         cell(figure(result, peer.name, lambda sample: sample["whole_run"]["written_bytes"])),
         cell(figure(result, peer.name, lambda sample: sample["whole_run"]["cpu_seconds"]))]
        for peer in PEERS if not peer.memory_only])


def section_of_scale(result: dict[str, Any]) -> list[str]:
    loads = charts.workloads_of(result)

    def ns_a_record(load: dict[str, Any]) -> Optional[Figure]:
        return figure(result, "shoal", lambda sample: 1e9 * sample["timings"]["append"]["seconds"]
                      / sample["timings"]["append"]["operations"], workload=load)

    def of_run(load: dict[str, Any], value: Callable[[dict[str, Any]], float]) -> Optional[Figure]:
        return figure(result, "shoal", value, workload=load)

    def place_of(load: dict[str, Any]) -> str:
        limit = of_run(load, lambda sample: sample.get("memory_limit_bytes", 0))
        return f"files, with {IN_FILES_LIMIT >> 30} GiB of memory" if limit and limit.median else "memory"

    lines = ["## Scale", "", "![As keys, bytes and processes grow](results/scale.svg)", "",
             "shoal by itself, from nothing, so with the first touch of all memory; the keys are picked at random, and",
             "those that no record met are not in the store. Memory a key is the store's own, by the keys it has.", ""]
    lines += table(["as keys grow (16 B, 1 process, batched)", "keys held", "records/s", "ns a record",
                    "B of memory a key", "peak memory with the program that checks, bytes"], [
        [f"{load['keys']:,} keys, {load['records']:,} records",
         f"{of_run(load, lambda sample: sample['keys_held']).median:,.0f}", cell(of_run(load, rate("append"))),
         cell(ns_a_record(load)), cell(of_run(load, lambda sample: sample["store_bytes"] / sample["keys_held"])),
         cell(of_run(load, lambda sample: sample["whole_run"]["peak_bytes"]))]
        for load in loads if load["record_bytes"] == KEY_RECORD_BYTES])
    lines += table(["as bytes grow (1 KiB, 10,000 keys, 1 process, batched)", "kept in", "bytes/s", "ns a record",
                    "peak memory, bytes", "written to the disk, bytes"], [
        [f"{load['records'] * load['record_bytes'] >> 30} GiB", place_of(load),
         cell(of_run(load, rate("append", "bytes"))), cell(ns_a_record(load)),
         cell(of_run(load, lambda sample: sample["whole_run"]["peak_bytes"])),
         cell(of_run(load, lambda sample: sample["whole_run"]["written_bytes"]))]
        for load in loads if load["record_bytes"] == BULK_RECORD_BYTES])
    together = charts.loads_of_processes(result)
    cores = result["machine"]["cores"]
    lines += [f"All whose processes can write together, 64 B to 10,000 keys, batched, on {cores} cores:", ""]
    return lines + table(["records/s", *(f"{load['processes']} at once" for load in together)], [
        [peer.title, *(narrow_cell(figure(result, peer.name, rate("append"), workload=load)) for load in together)]
        for peer in charts.IN_MEMORY if not peer.is_slow])


def section_of_lifecycle(result: dict[str, Any]) -> list[str]:
    lines = ["## Attach, first use, drop, destroy", "", "![By the size of the store](results/lifecycle.svg)", "",
             "A store of 1,000 keys in records of 1 KiB; the one that attaches has not been attached before. The get",
             "is of one key, so of a thousandth of the store.", ""]
    return lines + table(["MiB", *(f"{step}, µs" for step in STEPS)], [
        [f"{size:,}", *(cell(figure(result, "shoal", lambda sample: 1e6 * sample[step], mebibytes=size))
                        for step in STEPS)] for size in sorted({row["mebibytes"] for row in result["samples"]})])


@dataclasses.dataclass(frozen=True)
class Part:
    """Of the report: one benchmark."""

    section: Callable[[dict[str, Any]], list[str]]
    draw: Callable[[dict[str, Any], Path], None]
    standings: Callable[[dict[str, Any]], list[Standing]] = lambda result: []


def draw_shuffle(result: dict[str, Any], path: Path) -> None:
    charts.draw_shuffle(result, SHUFFLER_TITLES, path)


def draw_lifecycle(result: dict[str, Any], path: Path) -> None:
    charts.draw_lifecycle(result, STEPS, path)


PARTS = {
    "append": Part(section_of_appends, charts.draw_appends, standings_of_appends),
    "reads": Part(section_of_reads, charts.draw_reads, standings_of_reads),
    "shuffle": Part(section_of_shuffle, draw_shuffle, standings_of_shuffle),
    "larger": Part(section_of_larger, charts.draw_larger, standings_of_larger),
    "scale": Part(section_of_scale, charts.draw_scale, standings_of_scale),
    "lifecycle": Part(section_of_lifecycle, draw_lifecycle),
}


def machine_of(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}, {machine['kernel']}, "
            f"{machine['compiler']}, Python {machine['python']}")


def of_slow_peers(result: dict[str, Any]) -> str:
    slow_rounds = result.get("slow_rounds", result["rounds"])
    return "" if slow_rounds == result["rounds"] else f" (of slow peers {slow_rounds})"


def write(folder: Path, report: Path) -> None:
    results = {name: found for name in PARTS if (found := load(folder, name))}
    standings = [one for name, found in results.items() for one in PARTS[name].standings(found)]
    by_cpu = standings_of_cpu(results["append"]) if "append" in results else []
    lines = ["# shoal beside what users would pick instead", "", first_paragraph(standings), "",
             *([second_paragraph(by_cpu), ""] if by_cpu else []), *explanations(standings + by_cpu),
             "Made by `tools/compare`; do not edit. The spread is the least and the most of all rounds.", ""]
    machines = {name: machine_of(result) for name, result in results.items()}
    same = len(set(machines.values())) == 1
    lines += [f"The machine: {next(iter(machines.values()))}.", ""] if same else []
    for name, result in results.items():
        machine = result["machine"]
        lines.append(
            f"- {name}: {result['mode']} mode, {result['rounds']} rounds by turns{of_slow_peers(result)}; "
            f"{machine['when']}, commit {machine['commit']}; load {machine['load_at_start']} at the start"
            + (f"; {machine['note']}" if machine["note"] else "") + ("" if same else f"; {machines[name]}")
            + f". Warm-up: {result['warm_up']}.")
    lines += ["", "Every peer keeps its data in the same tmpfs, where nothing else is said. After each run all values",
              "are read back and compared with what was appended: a run that lost, doubled or spoiled a record has no",
              "figure. RocksDB writes no log and LMDB does not sync: nobody pays for what outlives the machine.", ""]
    for name, result in results.items():
        lines += PARTS[name].section(result)
        PARTS[name].draw(result, folder / f"{name}.svg")
    lines += section_of_gaps(list(results.values()))
    lines += ["", *section_of_settings(list(results.values()))]
    report.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    write(RESULTS, REPORT)
