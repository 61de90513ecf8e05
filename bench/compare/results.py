"""What the JSON files hold, as medians with their spread."""

import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional


@dataclass(frozen=True)
class Figure:
    median: float
    least: float
    most: float
    rounds: int = 1

    @classmethod
    def of(cls, values: Iterable[float]) -> Optional["Figure"]:
        values = list(values)
        return cls(statistics.median(values), min(values), max(values), len(values)) if values else None


def load(folder: Path, benchmark: str) -> Optional[dict[str, Any]]:
    path = folder / f"{benchmark}.json"
    return json.loads(path.read_text()) if path.exists() else None


def rate(phase: str, field: str = "operations") -> Callable[[dict[str, Any]], Optional[float]]:
    """Operations or bytes a second of one phase of a sample."""

    def of(sample: dict[str, Any]) -> Optional[float]:
        timing = sample["timings"].get(phase)
        return timing[field] / timing["seconds"] if timing else None

    return of


def got_through(sample: dict[str, Any]) -> bool:
    """Whether it has appended all of its workload in the time that it had."""
    load = sample["workload"]
    return sample["timings"]["append"]["bytes"] >= load["records"] * load["record_bytes"]


def rate_of_get_of_all(sample: dict[str, Any]) -> Optional[float]:
    """Bytes a second; none where less was there to read, more of it in memory than of what the others read."""
    return rate("get", "bytes")(sample) if got_through(sample) else None


def cpu_of_append(sample: dict[str, Any]) -> Optional[float]:
    """Nanoseconds a record, of all processes that append and of a server's."""
    timing = sample["timings"]["append"]
    return 1e9 * timing["cpu_seconds"] / timing["operations"] if timing["cpu_seconds"] else None


def figure(
    result: dict[str, Any], peer: str, value: Callable[[dict[str, Any]], Optional[float]], **wanted: Any
) -> Optional[Figure]:
    """Of the samples of a peer whose fields are those wanted."""
    rows = (
        row for row in result["samples"] if row["peer"] == peer and all(row[name] == wanted[name] for name in wanted)
    )
    return Figure.of(found for found in map(value, rows) if found is not None)
