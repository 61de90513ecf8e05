#!/usr/bin/env python3
"""Makes bench/REPORT.md and its charts of what bench/results/ holds; tools/compare calls it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import charts
from lifecycles import STEPS
from results import Figure, cpu_of_append, figure, load, rate
from shuffles import SHUFFLERS
from tables import PEER_OF, PEERS, READS, Workload, workload

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "bench/results"
REPORT = ROOT / "bench/REPORT.md"
NOTES = Path(__file__).with_name("notes.md")  # what no figure says; looked at anew when figures change


def number(value: float) -> str:
    """Three digits, with a prefix."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}"
    return f"{value:.3g} "


SAME = 0.02  # medians that are nearer to each other are the same


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where shoal stands in one comparison: beside the best of the others."""

    what: str
    ours: float
    best: float
    best_title: str
    less_is_better: bool = False

    @property
    def is_first(self) -> bool:
        return self.ratio <= 1 + SAME

    @property
    def ratio(self) -> float:
        return self.ours / self.best if self.less_is_better else self.best / self.ours


def standing(what: str, found: dict[str, Optional[Figure]], titles: dict[str, str], less_is_better: bool = False
             ) -> Optional[Standing]:
    ours = found.get("shoal")
    others = {name: value for name, value in found.items() if value and not name.startswith("shoal")}
    if ours is None or not others:
        return None
    pick = min if less_is_better else max
    best = pick(others, key=lambda name: others[name].median)
    return Standing(what, ours.median, others[best].median, titles[best], less_is_better)


def standings_of_cpu(result: dict[str, Any]) -> list[Standing]:
    titles = {peer.name: peer.title for peer in PEERS}
    found = []
    for shape in charts.workloads_of(result):
        figures = {peer.name: figure(result, peer.name, cpu_of_append, workload=shape)
                   for peer in PEERS if not peer.is_limit and peer.name != "partd_server"}
        found.append(standing(Workload(**shape).name, figures, titles, less_is_better=True))
    return [one for one in found if one]


def standings_of_appends(result: dict[str, Any]) -> list[Standing]:
    titles = {peer.name: peer.title for peer in PEERS}
    found = []
    ranked = [peer for peer in PEERS if not peer.is_limit]
    for shape in charts.workloads_of(result):
        figures = {peer.name: figure(result, peer.name, rate("append"), workload=shape) for peer in ranked}
        found.append(standing(f"append of {Workload(**shape).name}", figures, titles))
    return [one for one in found if one]


def standings_of_reads(result: dict[str, Any]) -> list[Standing]:
    titles = {peer.name: peer.title for peer in PEERS}
    found = []
    for name, shape in READS.items():
        for phase in ("get", "view"):
            figures = {peer.name: figure(result, peer.name, rate(phase), workload=dataclasses.asdict(shape))
                       for peer in PEERS if not peer.is_limit}
            found.append(standing(f"{phase} of {name}", figures, titles))
    return [one for one in found if one]


def standings_of_shuffle(result: dict[str, Any]) -> list[Standing]:
    titles = {shuffler.name: shuffler.title for shuffler in SHUFFLERS}
    found = []
    for rows in sorted({row["rows"] for row in result["samples"]}):
        for field, what in (("wall_seconds", "wall time"), ("cpu_seconds", "CPU time"), ("peak_bytes", "peak memory"),
                            ("written_bytes", "bytes written")):
            figures = {name: figure(result, name, lambda sample: sample[field], rows=rows) for name in titles}
            found.append(standing(f"{what} of the shuffle of {rows // 1_000_000} million rows", figures, titles, True))
    return [one for one in found if one]


def words_of(behind: list[Standing]) -> str:
    return "; ".join(
        f"{one.what} ({one.best_title} is {(one.ratio - 1) * 100:.0f} % ahead)" if one.ratio < 2
        else f"{one.what} ({one.best_title} is ahead {one.ratio:,.1f} times)"
        for one in sorted(behind, key=lambda one: -one.ratio)
    )


def first_paragraph(standings: list[Standing]) -> str:
    behind = [one for one in standings if not one.is_first]
    if not behind:
        return f"shoal is first in all {len(standings)} comparisons below."
    return (f"**Where shoal is not first: in {len(behind)} of {len(standings)} comparisons.** {words_of(behind)}. "
            f"In the other {len(standings) - len(behind)} it is; limits such as memcpy are no peers and not ranked.")


def second_paragraph(by_cpu: list[Standing]) -> str:
    behind = [one for one in by_cpu if not one.is_first]
    others = f"shoal takes less than any peer in {len(by_cpu) - len(behind)} of {len(by_cpu)} appends"
    return ("By the CPU time that a record costs, which other work on the machine changes less than the rate: "
            + (f"{others}, and more in {words_of(behind)}." if behind else f"{others}."))


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def cell(found: Optional[Figure], scale: float = 1.0) -> str:
    if found is None:
        return "–"
    middle, least, most = (number(value / scale) for value in (found.median, found.least, found.most))
    return f"{middle.strip()} ({least.strip()} to {most.strip()})"


def section_of_appends(result: dict[str, Any]) -> list[str]:
    shapes = [workload(batched=batched, **fields) for batched in (True, False)
              for fields in ({}, {"record_bytes": 1024}, {"record_bytes": 65536}, {"keys": 1}, {"keys": 1_000_000},
                             {"processes": 1}, {"processes": 4})]
    rows: list[list[str]] = []
    cpu_rows: list[list[str]] = []
    for shape in shapes:
        wanted = dataclasses.asdict(shape)
        figures = [figure(result, peer.name, rate("append"), workload=wanted) for peer in charts.IN_MEMORY]
        if any(figures):
            rows.append([shape.name, *(number(found.median) if found else "–" for found in figures)])
            figures = [figure(result, peer.name, cpu_of_append, workload=wanted) for peer in charts.IN_MEMORY]
            cpu_rows.append([shape.name, *(f"{found.median:,.0f}" if found else "–" for found in figures)])
    lines = ["## Append", "", "![Records a second of every peer](results/append.svg)", "",
             "Records a second, medians; all samples are in [results/append.json](results/append.json).", ""]
    header = ["workload", *(peer.title for peer in charts.IN_MEMORY)]
    lines += table(header, rows)
    lines += ["CPU time a record in ns, of the processes that append and of Redis's server; partd's is not counted.", ""]
    return lines + table(header, cpu_rows)


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
             "carrier there, process start to exit, with 2 workers or threads where a peer has such; the input is in the",
             "page cache, all columns are text, and the rows that come out are the rows that went in.", ""]
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
    titles = {shuffler.name: shuffler.title for shuffler in SHUFFLERS} | {peer.name: peer.title for peer in PEERS}
    reasons: dict[tuple[str, str], int] = {}
    for result in results:
        for gap in result["gaps"]:
            key = (titles[gap["peer"]], gap["reason"])
            reasons[key] = reasons.get(key, 0) + 1
    lines = ["## Gaps", ""]
    lines += [f"- {title}: {reason} ({count} workloads)" for (title, reason), count in reasons.items()]
    thrown_out = [row for result in results for row in result["thrown_out"]]
    lines += ["", f"Thrown out, since a record was lost or a program failed: {len(thrown_out)} runs.", ""]
    lines += [f"- {titles[row['peer']]}: {row['error']}" for row in thrown_out]
    return [*lines, ""] if thrown_out else lines


def section_of_settings(results: list[dict[str, Any]]) -> list[str]:
    lines = ["## Versions and settings", ""]
    for result in results:
        lines += [f"Of {result['benchmark']}:", ""]
        for name, settings in result["settings"].items():
            title = PEER_OF[name].title if result["benchmark"] != "shuffle" else name
            lines.append(f"- {title}: " + "; ".join(f"{key} {value}" for key, value in settings.items()))
        lines.append("")
    return lines


def section_of_larger(result: dict[str, Any]) -> list[str]:
    limit = result["memory_limit_bytes"] >> 20
    lines = ["## Larger than memory", "", "![Appends and gets of what does not fit](results/larger.svg)", "",
             f"{4 * limit} MiB in records of 1 KiB to 1,000 keys by one process, batched, with {limit} MiB of memory, page",
             "cache and program included, which a cgroup enforces; the files lie on the disk. It begins with nothing and",
             "ends when the last append is acknowledged: at most a quarter is then still in memory.", ""]
    return lines + table(["", "append, bytes/s", "get, bytes/s", "written, bytes", "CPU s of the whole run"], [
        [peer.title, cell(figure(result, peer.name, rate("append", "bytes"))),
         cell(figure(result, peer.name, rate("get", "bytes"))),
         cell(figure(result, peer.name, lambda sample: sample["whole_run"]["written_bytes"])),
         cell(figure(result, peer.name, lambda sample: sample["whole_run"]["cpu_seconds"]))]
        for peer in PEERS if not peer.memory_only])


def section_of_scale(result: dict[str, Any]) -> list[str]:
    lines = ["## Scale", "", "![As keys, bytes and processes grow](results/scale.svg)", ""]
    alone = [load for load in charts.workloads_of(result) if load["processes"] == 1]
    return lines + table(["shoal", "records/s", "ns a record", "peak memory of all, bytes", "of which a key"], [
        [Workload(**load).name + f", {load['records']:,} records",
         cell(figure(result, "shoal", rate("append"), workload=load)),
         cell(figure(result, "shoal", lambda sample: 1e9 * sample["timings"]["append"]["seconds"]
                     / sample["timings"]["append"]["operations"], workload=load)),
         cell(figure(result, "shoal", lambda sample: sample["whole_run"]["peak_bytes"], workload=load)),
         cell(figure(result, "shoal", lambda sample: sample["whole_run"]["peak_bytes"] / load["keys"], workload=load))]
        for load in alone])


def section_of_lifecycle(result: dict[str, Any]) -> list[str]:
    lines = ["## Attach, first use, drop, destroy", "", "![By the size of the store](results/lifecycle.svg)", "",
             "A store of 1,000 keys in records of 1 KiB; the one that attaches has not been attached before. The get is of",
             "one key, so of a thousandth of the store.", ""]
    return lines + table(["MiB", *(f"{step}, µs" for step in STEPS)], [
        [f"{size:,}", *(cell(figure(result, "shoal", lambda sample: 1e6 * sample[step], mebibytes=size))
                        for step in STEPS)] for size in sorted({row["mebibytes"] for row in result["samples"]})])


def standings_of_larger(result: dict[str, Any]) -> list[Standing]:
    titles = {peer.name: peer.title for peer in PEERS}
    found = []
    for phase in ("append", "get"):
        figures = {peer.name: figure(result, peer.name, rate(phase, "bytes")) for peer in PEERS if not peer.is_limit}
        found.append(standing(f"{phase} of data larger than memory", figures, titles))
    return [one for one in found if one]


def standings_of_scale(result: dict[str, Any]) -> list[Standing]:
    titles = {peer.name: peer.title for peer in PEERS}
    found = []
    for load_of in charts.workloads_of(result):
        if load_of["processes"] > 4:  # fewer are among the appends
            figures = {peer.name: figure(result, peer.name, rate("append"), workload=load_of)
                       for peer in PEERS if not peer.is_limit}
            found.append(standing(f"append of {Workload(**load_of).name}", figures, titles))
    return [one for one in found if one]


@dataclasses.dataclass(frozen=True)
class Part:
    """Of the report: one benchmark."""

    section: Callable[[dict[str, Any]], list[str]]
    draw: Callable[[dict[str, Any]], None]
    standings: Callable[[dict[str, Any]], list[Standing]] = lambda result: []


def draw_appends(result: dict[str, Any]) -> None:
    charts.draw_appends(result, RESULTS / "append.svg")


def draw_reads(result: dict[str, Any]) -> None:
    charts.draw_reads(result, RESULTS / "reads.svg")


def draw_shuffle(result: dict[str, Any]) -> None:
    titles = {shuffler.name: shuffler.title for shuffler in SHUFFLERS}
    charts.draw_shuffle(result, titles, RESULTS / "shuffle.svg")


def draw_larger(result: dict[str, Any]) -> None:
    charts.draw_larger(result, RESULTS / "larger.svg")


def draw_scale(result: dict[str, Any]) -> None:
    charts.draw_scale(result, RESULTS / "scale.svg")


def draw_lifecycle(result: dict[str, Any]) -> None:
    charts.draw_lifecycle(result, STEPS, RESULTS / "lifecycle.svg")


PARTS = {
    "append": Part(section_of_appends, draw_appends, standings_of_appends),
    "reads": Part(section_of_reads, draw_reads, standings_of_reads),
    "shuffle": Part(section_of_shuffle, draw_shuffle, standings_of_shuffle),
    "larger": Part(section_of_larger, draw_larger, standings_of_larger),
    "scale": Part(section_of_scale, draw_scale, standings_of_scale),
    "lifecycle": Part(section_of_lifecycle, draw_lifecycle),
}


def write() -> None:
    results = {name: found for name in PARTS if (found := load(RESULTS, name))}
    standings = [one for name, found in results.items() for one in PARTS[name].standings(found)]
    lines = ["# shoal beside what users would pick instead", "", first_paragraph(standings), "",
             *([second_paragraph(standings_of_cpu(results["append"])), ""] if "append" in results else []),
             NOTES.read_text(),
             "Made by `tools/compare`; do not edit. The spread is the least and the most of all rounds.", ""]
    for name, result in results.items():
        machine = result["machine"]
        lines.append(
            f"- {name}: {result['mode']} mode, {result['rounds']} rounds by turns; {machine['when']}, commit "
            f"{machine['commit']}; {machine['cpu']}, {machine['cores']} cores, {machine['memory']}, "
            f"{machine['kernel']}, {machine['compiler']}, Python {machine['python']}; load "
            f"{machine['load_at_start']} at the start"
            + (f"; {machine['note']}" if machine["note"] else "") + f". Warm-up: {result['warm_up']}.")
    lines += ["", "Every peer keeps its data in the same tmpfs, where nothing else is said. After each run all values",
              "are read back and compared with what was appended: a run that lost, doubled or spoiled a record has no",
              "figure. RocksDB writes no log and LMDB does not sync, so that nobody pays for what outlives the machine.", ""]
    for name, result in results.items():
        lines += PARTS[name].section(result)
        PARTS[name].draw(result)
    lines += section_of_gaps(list(results.values()))
    lines += ["", *section_of_settings(list(results.values()))]
    REPORT.write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    write()
