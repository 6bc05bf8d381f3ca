"""What a benchmark is made of, and the records that go through it.

A data file is read into rows (`Row`); a benchmark makes an `Item` of each. A model, or a file of predictions, gives
each item one or more texts (`Prediction`). A protocol turns each text into a verdict (`Scored`), and the benchmark's
headline figures are means over groups of what a group is worth (`Benchmark.headlines`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from metis_rise.types import Problem, Verdict
from metis_rise.verifier.judge import judge


class Style(StrEnum):
    """What a model is shown: our system prompt and the bare question, or the data set's own text."""

    RISE = "rise"
    VLMEVALKIT = "vlmevalkit"


class Protocol(StrEnum):
    """Who says whether a text is right: our rules, the authors' own on a given extraction, or a model that extracts."""

    RULE = "rule"
    OFFICIAL = "official"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data or prediction file.

    `cells` by column, without the pictures; an empty cell is "". `place` names file, row and index for errors;
    `images` are keys of an image store, empty where no store was given (scoring needs no pictures).
    """

    index: str
    cells: Mapping[str, str]
    place: str
    images: tuple[str, ...] = ()

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a benchmark.

    problem: the bare question with its options, pictures and gold answer: what the `rise` style shows, and what the
        rules judge by.
    prompt: the data set's own text, which the `vlmevalkit` style shows after the pictures.
    group: rows of one group are scored together (a seed of DynaMath, a problem of WeMath), else the index.
    labels: values by label name ("subject": ("algebra",)); an item counts in each of its values.
    """

    index: str
    group: str
    problem: Problem
    prompt: str
    labels: Mapping[str, tuple[str, ...]]
    row: Row


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answered to one item, one text per sample.

    ended: False where a text was cut at the longest allowed, None where the file does not say.
    extraction: the answer that somebody else took out of the (only) text, if any.
    verdict: what somebody else said of it, if anything.
    """

    index: str
    texts: tuple[str, ...]
    place: str
    ended: tuple[bool | None, ...] = ()
    extraction: str | None = None
    verdict: bool | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """An item with a verdict for each sample; `given` is what the prediction file itself said of it, if anything."""

    item: Item
    verdicts: tuple[Verdict, ...]
    given: bool | None = None


Marks = Mapping[str, bool]
"""Whether each item of one group is right, by index."""

Worth = Callable[[Sequence[Item], Marks], float | None]
"""What a group (all its items, in order) is worth, 0 to 1, by one sample; None where it does not count."""


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure that is the mean of what each group is worth, in percent; `by` names labels it is broken down by."""

    name: str
    worth: Worth
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """Facts of the official file, from VLMEvalKit @e8e78f05 (2026-08-18).

    dataset: its name there; also_called: other names that are accepted; rows, groups: its size; columns: those that
    scoring reads, which a data file must have; files: names of the authors' own file that `own` reads, if any;
    source: where to get it.
    """

    dataset: str
    md5: str
    rows: int
    groups: int
    columns: tuple[str, ...]
    source: str
    also_called: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=())


class Benchmark(ABC):
    """One benchmark: how a row becomes an item, how a text is judged, what the score is."""

    name: ClassVar[str]
    """On the command line and in JSON."""
    title: ClassVar[str]
    """In tables."""
    known: ClassVar[Known | None] = None
    """None for a user's own problems, which have no official size."""
    headlines: ClassVar[tuple[Headline, ...]]
    """The first is the leaderboard's number."""
    strict: ClassVar[bool] = False
    """Whether the share of answers that are right and well formed is reported too, among the further figures."""

    def item(self, row: Row) -> Item:
        """The item of a row. Raises InputError, naming `row.place`, the fault and the mend."""
        return Item(row.index, self.group(row), self.problem(row), self.prompt(row), self.labels(row), row)

    @abstractmethod
    def problem(self, row: Row) -> Problem:
        """The bare question; its id is the index. Raises InputError for a cell that cannot be read."""

    @abstractmethod
    def prompt(self, row: Row) -> str:
        """The text that VLMEvalKit shows, after the pictures."""

    def group(self, row: Row) -> str:
        """Key of the group that the row is scored with."""
        return row.index

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """What the item is counted by, beside overall."""
        return {}

    def rule(self, item: Item, text: str) -> Verdict:
        """Our own verdict on a raw response, from the text alone (protocol `rule`)."""
        return judge(item.problem, text, strict=False)

    def own_extraction(self, item: Item, text: str) -> str | None:
        """What the authors' own rules take out of a raw response; None where they find nothing or use a model."""
        return None

    @abstractmethod
    def official(self, item: Item, extraction: str) -> bool:
        """The authors' own verdict on an extracted answer (protocol `official`)."""

    def judged(self, item: Item, extraction: str) -> bool:
        """The leaderboard's verdict on what a judge extracted (protocol `judge`), where it is not the authors' own."""
        return self.official(item, extraction)

    def quick(self, item: Item, text: str) -> str | None:
        """What VLMEvalKit's judge-free rules take out of a raw response before it asks a judge; None: nothing."""
        return None

    def whole(self, items: Sequence[Item]) -> str | None:
        """What is missing of a group (in a few words, for a person), None where it is whole."""
        return None

    def more(self, scored: Sequence[tuple[Item, bool]]) -> Mapping[str, float]:
        """Further figures of one sample's verdicts, in percent, by name, that are no means over groups."""
        return {}
