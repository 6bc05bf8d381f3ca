"""A file of labelled pairs: read with every fault named, judged, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metis_rise.errors import InputError
from metis_rise.problems.answers import MAX_CHOICES, option_letter
from metis_rise.problems.reader import read_rows
from metis_rise.problems.row import Row, is_plain, without_letters
from metis_rise.types import AnswerType, Problem, Verdict
from metis_rise.verifier.gold import infer_type
from metis_rise.verifier.judge import judge

BAR_AFTER = 2.0
"""Seconds after which a progress bar appears."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction with its gold answer, as a problem, and whether the two should match.

    `id` is the row's own, else the number of its line.
    """

    id: str | int
    problem: Problem
    prediction: str
    should_match: bool
    kind: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A pair with what the verifier says of it; `matches` is the answer that is compared with the label."""

    pair: Pair
    verdict: Verdict
    matches: bool

    @property
    def differs(self) -> bool:
        """Whether the verifier and the label do not agree."""
        return self.matches != self.pair.should_match


@dataclass(slots=True)
class Outcome:
    """What came out for all pairs, or for those of one kind."""

    n: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    differences: list[Judged] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        """Counts one more pair."""
        self.n += 1
        if judged.differs:
            self.differences.append(judged)
            self.false_positives += judged.matches
            self.false_negatives += not judged.matches

    @property
    def agreement(self) -> float:
        """Share of the pairs on which verifier and label agree, 0 to 1."""
        return 1 - len(self.differences) / self.n

    def to_json(self) -> dict[str, Any]:
        """The outcome as `rise verify --json` prints it."""
        return {
            "n": self.n,
            "agreement": self.agreement,
            "false_positives": self.false_positives,
            "false_negatives": self.false_negatives,
            "differences": [judged.pair.id for judged in self.differences],
        }


def problem_of(
    gold: str, answer_type: AnswerType | None, choices: Sequence[str] | None, question: str, name: str = ""
) -> Problem:
    """A problem for judging an answer to it; the gold answer decides its type where none is given.

    So it does for the type text with choices: many data sets call the text of an option so. Options lose their own
    letters as in the reader, and a gold answer that repeats an option with its letter is that letter.

    Raises:
        InputError: more options than letters.
    """
    options = None if choices is None else tuple(choices)
    if options and len(options) > MAX_CHOICES:
        raise InputError(f"choices has {len(options)} options; give at most {MAX_CHOICES}")
    if options:
        bare = without_letters(tuple(option.strip() for option in options))
        gold = gold if bare == options else option_letter(gold, options) or gold
        options = bare
    if answer_type is None or (options and answer_type is AnswerType.TEXT):
        answer_type = infer_type(gold, options)
    return Problem(name, question, gold, answer_type, choices=options)


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a JSONL file.

    Raises:
        InputError: one line with file, row and mend.
    """
    pairs = [_pair(row) for row in read_rows(path)]
    if not pairs:
        raise InputError(f"{path}: the file has no rows; write one JSON object per line")
    return pairs


def judge_pairs(pairs: Sequence[Pair], *, strict: bool) -> Iterator[Judged]:
    """Every pair with its verdict, in order; a progress bar appears when it takes longer than two seconds."""
    for pair in tqdm(pairs, desc="verify", unit="pair", leave=False, delay=BAR_AFTER):
        verdict = judge(pair.problem, pair.prediction, strict=strict)
        yield Judged(pair, verdict, verdict.strict if strict else verdict.correct)


def by_kind(judged: Sequence[Judged]) -> dict[str, Outcome]:
    """An outcome for each kind of pair, the largest kinds first."""
    sizes = Counter(one.pair.kind for one in judged)
    found = {kind: Outcome() for kind, _ in sizes.most_common()}
    for one in judged:
        found[one.pair.kind].add(one)
    return found


def _pair(row: Row) -> Pair:
    label, choices = row.record.get("should_match"), row.record.get("choices")
    if not isinstance(label, bool):
        raise row.fault("should_match is neither true nor false", "write whether the two are the same answer")
    if choices is not None and not (isinstance(choices, list) and choices and all(map(is_plain, choices))):
        raise row.fault("choices is not a list of texts", "write the option texts, A first, or leave choices out")
    answer_type = row.answer_type() if row.record.get("answer_type") is not None else None
    options = None if choices is None else [str(choice) for choice in choices]
    problem = problem_of(_plain(row, "gold"), answer_type, options, row.text("question"))
    name = row.record.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int | None):
        raise row.fault("id is neither a string nor a whole number", "write one of them, or leave id out")
    number = row.number if name is None else name
    return Pair(number, problem, _plain(row, "prediction"), label, row.text("kind"))


def _plain(row: Row, field_name: str) -> str:
    value = row.record.get(field_name)
    if not is_plain(value):
        raise row.fault(f"{field_name} is missing, or neither a string nor a number", f"write the {field_name}")
    return str(value)
