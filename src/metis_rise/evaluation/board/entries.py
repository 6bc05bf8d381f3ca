"""What stands in the table: the models of runs and evaluation folders, and the published ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metis_rise.benchmarks.evaluation_folder import FILE
from metis_rise.errors import InputError
from metis_rise.evaluation.board.published import published
from metis_rise.evaluation.board.scores import ModelScores, Score, read_scores
from metis_rise.report.data import ARMS

OWN = "evaluated here"
PUBLISHED = "published"
IN_RUN = "benchmarks"
"""As `evaluation.targets` calls the folder of a run's evaluations; importing that loads torch."""
_DO = "--benchmark all --data DIR"


@dataclass(frozen=True, slots=True)
class Entry:
    """A model with its figures by benchmark.

    section: heading that it stands under.
    role: base, rl or rise for a run's models, "other" for a model on its own, `PUBLISHED`.
    origin: the folder that it was read from, as the user wrote it.
    mean: as published; None where it is to be computed.
    base: the scores of what a run's later models began as.
    fault: what a reader must know of the whole row, None where there is nothing.
    """

    name: str
    section: str
    role: str
    scores: Mapping[str, Score]
    origin: str = ""
    mean: float | None = None
    base: Mapping[str, Score] = field(default_factory=dict)
    fault: str | None = None


def own_entries(folders: Iterable[Path]) -> list[Entry]:
    """The models of run folders and of evaluation folders, in the order given; each run begins with its base.

    Raises:
        InputError: a folder in which nothing was evaluated, or a score that cannot be read.
    """
    found: list[Entry] = []
    for folder in {each.resolve(): each for each in folders}.values():
        found.extend(_of_run(folder) if _is_run(folder) else [_of_evaluation(folder)])
    return _told_apart(found)


def published_entries() -> list[Entry]:
    """The rows of the published table."""
    return [
        Entry(
            name=row.model,
            section=f"{PUBLISHED}, {row.group}",
            role=PUBLISHED,
            scores={name: Score(percent) for name, percent in row.figures.items()},
            mean=row.mean,
        )
        for row in published()
    ]


def _is_run(folder: Path) -> bool:
    """Whether it is a run, or what the models of one were evaluated into with --out."""
    return (folder / "recipe.json").is_file() or any((folder / arm / FILE).is_file() for arm in ARMS)


def _of_run(folder: Path) -> list[Entry]:
    home = folder / IN_RUN if (folder / "recipe.json").is_file() else folder
    arms = {arm: read_scores(home / arm) for arm in ARMS}
    if not any(scores.by_benchmark for scores in arms.values()):
        raise InputError(f"{folder}: no model of this run is evaluated; do it with: rise eval {folder} {_DO}")
    base = arms["base"].by_benchmark
    return [
        Entry(
            name=f"{folder.resolve().name} {label}",
            section=OWN,
            role=arm,
            scores=arms[arm].by_benchmark,
            origin=str(folder),
            base={} if arm == "base" else base,
            fault=f"the run's base is not evaluated, do it with: rise eval {folder} {_DO}" if not base else None,
        )
        for arm, label in ARMS.items()
        if arm == "base" or arms[arm].by_benchmark
    ]


def _of_evaluation(folder: Path) -> Entry:
    found: ModelScores = read_scores(folder)
    if not found.by_benchmark:
        raise InputError(
            f"{folder}: no score.json of a benchmark in it; give a run folder, or the --out folder of: "
            f"rise eval MODEL {_DO} --out {folder}"
        )
    return Entry(found.model or folder.resolve().name, OWN, "other", found.by_benchmark, str(folder))


def _told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """The same entries; those that share a name get their folder's."""
    often = Counter(entry.name for entry in entries)
    return [replace(each, name=f"{each.name} ({each.origin})") if often[each.name] > 1 else each for each in entries]
