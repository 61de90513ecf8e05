"""Where shoal stands beside the best of the others, and what bench/compare/notes.md says of where it is behind."""

import dataclasses
import re
from pathlib import Path
from typing import Any, Optional

import charts
from results import Figure, cpu_of_append, figure, rate, rate_of_get_of_all
from shuffles import SHUFFLERS
from tables import PEERS, READS, Workload

NOTES = Path(__file__).with_name("notes.md")

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
            found.append(standing(f"{what} of the shuffle of {rows / 1e6:g} million rows", figures, titles, True))
    return [one for one in found if one]


def standings_of_larger(result: dict[str, Any]) -> list[Standing]:
    titles = {peer.name: peer.title for peer in PEERS}
    found = []
    for phase, value in (("append", rate("append", "bytes")), ("get", rate_of_get_of_all)):
        figures = {peer.name: figure(result, peer.name, value) for peer in PEERS if not peer.is_limit}
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


def words_of(behind: list[Standing]) -> str:
    return "; ".join(
        f"{one.what} ({one.best_title} is {(one.ratio - 1) * 100:.0f} % ahead)" if one.ratio < 2
        else f"{one.what} ({one.best_title} is ahead {one.ratio:,.{1 if one.ratio < 10 else 0}f} times)"
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


def explanations(standings: list[Standing]) -> list[str]:
    """The notes on where shoal is behind now, each under an expression of what it explains; what none explains too."""
    notes = re.findall(r"^## `([^`\n]*)`\n\n(.*?)\n*(?=^## |\Z)", NOTES.read_text(), re.M | re.S)
    behind = [one.what for one in standings if not one.is_first]
    found = [text for what, text in notes if any(re.search(what, one) for one in behind)]
    unexplained = [one for one in behind if not any(re.search(what, one) for what, _ in notes)]
    if unexplained:
        found.append(f"Of these the cause has not been looked for: {'; '.join(unexplained)}.")
    if not found:
        return []
    return ["Why, where shoal is behind:", "", *("- " + text.replace("\n", "\n  ") for text in found), ""]
