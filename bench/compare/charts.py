"""The charts of the report, as SVG by matplotlib."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as pyplot  # noqa: E402  (after the choice of what draws)

from results import Figure, figure, rate, rate_of_get_of_all  # noqa: E402
from scales import BULK_RECORD_BYTES, KEY_RECORD_BYTES  # noqa: E402
from tables import KEYS, PEERS, PROCESSES, READS, SIZES, Peer, workload  # noqa: E402

matplotlib.rcParams.update({
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "shoal",
    "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True, "figure.constrained_layout.use": True,
})
OURS, LIMIT = "#d62728", "#888888"
OTHERS = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#17becf", "#bcbd22", "#ff7f0e", "#e377c2", "#7f7f7f")
MARKS = "osD^v<>P*Xd"
IN_MEMORY = [peer for peer in PEERS if not peer.on_disk_only]


def colour_of(peers: Sequence[Peer]) -> dict[str, str]:
    others = iter(OTHERS * 2)
    return {
        peer.name: LIMIT if peer.is_limit else OURS if peer.name.startswith("shoal") else next(others)
        for peer in peers
    }


def save(drawing: Any, path: Path) -> None:
    drawing.savefig(path, metadata={"Date": None})
    pyplot.close(drawing)


def lines(axes: Any, labels: Sequence[str], series: dict[str, list[Optional[Figure]]], peers: Sequence[Peer]) -> None:
    """A line a peer; a gap where it has no figure. The bars are the least and the most of all rounds."""
    colours = colour_of(peers)
    for index, peer in enumerate(peers):
        if not any(series[peer.name]):
            continue
        points = [found or Figure(math.nan, math.nan, math.nan) for found in series[peer.name]]  # so the line breaks
        axes.errorbar(
            range(len(points)), [found.median for found in points],
            yerr=[[found.median - found.least for found in points], [found.most - found.median for found in points]],
            label=peer.title, color=colours[peer.name], marker=MARKS[index % len(MARKS)], markersize=4, capsize=2,
            linewidth=2.5 if peer.name == "shoal" else 1.2,
            linestyle="--" if peer.is_limit or peer.name == "shoal_python" else "-",
        )
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yscale("log")


def draw_appends(result: dict[str, Any], path: Path) -> None:
    """Each axis by itself, from 64 B, 10,000 keys, 2 processes."""
    drawing, grid = pyplot.subplots(2, 3, figsize=(11, 7), sharey=True)
    axis_of = {
        "bytes a record": [("64 B", {"record_bytes": 64}), ("1 KiB", {"record_bytes": 1024}),
                           ("64 KiB", {"record_bytes": 65536})],
        "keys": [(f"{keys:,}", {"keys": keys}) for keys in KEYS],
        "processes": [(str(processes), {"processes": processes}) for processes in PROCESSES],
    }
    for row, batched in enumerate((True, False)):
        for column, (name, points) in enumerate(axis_of.items()):
            axes = grid[row][column]
            series: dict[str, list[Optional[Figure]]] = {peer.name: [] for peer in IN_MEMORY}
            for _, fields in points:
                wanted = dataclasses.asdict(workload(batched=batched, **fields))
                for peer in IN_MEMORY:
                    series[peer.name].append(figure(result, peer.name, rate("append"), workload=wanted))
            lines(axes, [label for label, _ in points], series, IN_MEMORY)
            if max(sum(found is not None for found in figures) for figures in series.values()) < 2:
                axes.text(0.5, 0.5, "only in the full mode", transform=axes.transAxes, ha="center", color="#666666")
            axes.set_xlabel(name)
            if column == 0:
                axes.set_ylabel("records/s, " + ("batched" if batched else "one at a time"))
    handles, labels = grid[0][0].get_legend_handles_labels()
    more = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels())}
    more |= dict(zip(labels, handles))
    drawing.legend(more.values(), more.keys(), loc="outside lower center", ncols=4, frameon=False)
    drawing.suptitle("Append: 64 B, 10,000 keys, 2 processes, and each of them changed by itself")
    save(drawing, path)


@dataclasses.dataclass(frozen=True)
class Bar:
    title: str
    figure: Optional[Figure]
    reason: str  # of a gap
    colour: str


def bars(axes: Any, rows: Sequence[Bar], title: str, show: Callable[[float], str], log: bool = True) -> None:
    """Horizontal, from the first down; a gap says why it is one."""
    most = max((row.figure.median for row in rows if row.figure), default=1.0)
    least = min((row.figure.median for row in rows if row.figure), default=1.0)
    for at, row in enumerate(rows):
        if row.figure is None:
            axes.text(0.01, at, row.reason, transform=axes.get_yaxis_transform(), va="center", fontsize=7,
                      style="italic", color="#666666")
            continue
        spread = [[row.figure.median - row.figure.least], [row.figure.most - row.figure.median]]
        axes.barh(at, row.figure.median, xerr=spread, color=row.colour, capsize=2, height=0.7)
        axes.text(row.figure.most, at, "  " + show(row.figure.median), va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the first on top, also where panels share the axis
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(axis="y", visible=False)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(least / 3, most * 8)
    else:
        axes.set_xlim(0, most * 1.25)


def draw_reads(result: dict[str, Any], path: Path) -> None:
    drawing, grid = pyplot.subplots(2, 2, figsize=(12, 8), sharey=True)
    colours = colour_of(IN_MEMORY)
    for row, (name, load) in enumerate(READS.items()):
        wanted = dataclasses.asdict(load)
        large = name == "large values"
        for column, phase in enumerate(("get", "view")):
            field, unit = ("bytes", "GB/s") if large and phase == "get" else ("operations", "million/s")
            shown = []
            for peer in IN_MEMORY:
                found = figure(result, peer.name, rate(phase, field), workload=wanted)
                reason = peer.no_view if phase == "view" and peer.no_view else "no figure"
                shown.append(Bar(peer.title, found, reason, colours[peer.name]))
            scale = 1e9 if unit == "GB/s" else 1e6
            what = "copied" if phase == "get" else "a view"
            bars(grid[row][column], shown, f"{name}: {what}, {unit}", lambda value, by=scale: f"{value / by:.3g}")
    drawing.suptitle("Reads: 100 keys of 256 KiB in records of 1 KiB; 43,000 keys of 64 B to some 500 B; 1 process")
    save(drawing, path)


def draw_shuffle(result: dict[str, Any], titles: dict[str, str], path: Path) -> None:
    sizes = sorted({row["rows"] for row in result["samples"]})
    columns = {
        "wall time (s)": ("wall_seconds", 1.0), "CPU time (s)": ("cpu_seconds", 1.0),
        "peak memory (GiB)": ("peak_bytes", 1 << 30), "written (GiB)": ("written_bytes", 1 << 30),
    }
    drawing, grid = pyplot.subplots(len(sizes), 4, figsize=(14, 1 + 3.2 * len(sizes)), squeeze=False, sharey="row")
    for row, rows in enumerate(sizes):
        for column, (title, (field, scale)) in enumerate(columns.items()):
            shown = []
            for name, peer_title in titles.items():
                found = figure(result, name, lambda sample: sample[field] / scale, rows=rows)
                reason = next((gap["reason"].split(";")[0] for gap in result["gaps"] if gap["peer"] == name
                               and gap["workload"].get("rows", rows) == rows), "no figure")
                shown.append(Bar(peer_title, found, reason, OURS if "shoal" in name else OTHERS[0]))
            bars(grid[row][column], shown, f"{rows / 1e6:g} million rows: {title}", lambda value: f"{value:.2g}"
                 if value < 10 else f"{value:.0f}", log=False)
    save(drawing, path)


def draw_larger(result: dict[str, Any], path: Path) -> None:
    peers = [peer for peer in PEERS if not peer.memory_only]
    drawing, grid = pyplot.subplots(1, 3, figsize=(12, 0.8 + 0.45 * len(peers)), sharey=True)
    colours = colour_of(peers)
    took_part = {row["peer"] for row in result["samples"]}

    def reason_of(peer: Peer) -> str:
        return "it did not get through all in its time" if peer.name in took_part else "no figure, see Gaps"

    for axes, (title, value) in zip(grid, {
        "append (GB/s)": rate("append", "bytes"), "get of whole values at random (GB/s)": rate_of_get_of_all,
        "written to the disk (GB)": lambda sample: float(sample["whole_run"]["written_bytes"]),
    }.items()):
        shown = [Bar(peer.title, figure(result, peer.name, value), reason_of(peer), colours[peer.name])
                 for peer in peers]
        bars(axes, shown, title, lambda value: f"{value / 1e9:.2g}", log=False)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e9:g}")
    drawing.suptitle(f"Data of four times the memory limit of {result['memory_limit_bytes'] >> 20} MiB, from nothing")
    save(drawing, path)


def workloads_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list({tuple(row["workload"].items()): row["workload"] for row in result["samples"]}.values())


def loads_of_processes(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [load for load in workloads_of(result) if load == dataclasses.asdict(workload(processes=load["processes"]))]


def draw_scale(result: dict[str, Any], path: Path) -> None:
    drawing, (by_keys, by_bytes, by_processes) = pyplot.subplots(1, 3, figsize=(13, 5))
    loads_of_all = workloads_of(result)

    def gibibytes(load: dict[str, Any]) -> str:
        limited = any(row.get("memory_limit_bytes") for row in result["samples"] if row["workload"] == load)
        return f"{load['records'] * load['record_bytes'] >> 30}" + ("\nin files" if limited else "")

    for axes, loads, label in (
        (by_keys, [load for load in loads_of_all if load["record_bytes"] == KEY_RECORD_BYTES],
         lambda load: f"{load['keys']:.0e}".replace("e+0", "e")),
        (by_bytes, [load for load in loads_of_all if load["record_bytes"] == BULK_RECORD_BYTES], gibibytes),
    ):
        series = {"shoal": [
            figure(result, "shoal", lambda sample: 1e9 * sample["timings"]["append"]["seconds"]
                   / sample["timings"]["append"]["operations"], workload=load) for load in loads]}
        lines(axes, [label(load) for load in loads], series, [peer for peer in PEERS if peer.name == "shoal"])
        axes.set_yscale("linear")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("ns a record, batched")
    by_keys.set_xlabel("keys (16 B, 1 process)")
    by_bytes.set_xlabel("GiB (1 KiB, 10,000 keys, 1 process)")
    together = loads_of_processes(result)
    series = {peer.name: [figure(result, peer.name, rate("append"), workload=load) for load in together]
              for peer in IN_MEMORY}
    lines(by_processes, [str(load["processes"]) for load in together], series, IN_MEMORY)
    by_processes.set_xlabel(f"processes (64 B, 10,000 keys, {result['machine']['cores']} cores)")
    by_processes.set_ylabel("records/s, batched")
    if together:
        drawing.legend(*by_processes.get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False)
    drawing.suptitle("shoal as keys and bytes grow; all peers as processes do")
    save(drawing, path)


def draw_lifecycle(result: dict[str, Any], steps: Sequence[str], path: Path) -> None:
    drawing, axes = pyplot.subplots(figsize=(7, 4.5))
    sizes = sorted({row["mebibytes"] for row in result["samples"]})
    for step, colour, mark in zip(steps, OTHERS, MARKS):
        found = [figure(result, "shoal", lambda sample: 1e6 * sample[step], mebibytes=size) for size in sizes]
        axes.plot(range(len(sizes)), [value.median if value else None for value in found], label=step, color=colour,
                  marker=mark)
    axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    axes.set_xlabel("MiB in the store")
    axes.set_ylabel("µs")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    axes.set_title("What the size of a store costs", loc="left")
    save(drawing, path)
