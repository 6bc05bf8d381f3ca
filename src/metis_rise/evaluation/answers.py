"""The journal of what a model answered: nothing that is in it is asked again.

Each answer is kept with a fingerprint of what was asked, so that other data under the same index is asked anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from metis_rise.benchmarks.base import Item, Prediction
from metis_rise.benchmarks.evaluation_folder import Answer, read_answer
from metis_rise.evaluation.asking import Wanted
from metis_rise.journal import append_jsonl, stream_jsonl


class Answers:
    """The answers to `items` of one benchmark so far."""

    def __init__(self, file: Path, items: Sequence[Item]) -> None:
        """Reads what is there. A torn last line is dropped with a note; InputError for any other damage."""
        self._file = file
        self._asked = {item.index: _asked(item) for item in items}
        self._known: dict[tuple[str, int], Answer] = {}
        if file.exists():
            for number, (_, row) in enumerate(stream_jsonl(file), start=1):
                answer, asked = read_answer(row, f"{file} row {number}")
                if self._asked.get(answer.index) == asked:
                    self._keep(answer)

    def add(self, answers: Iterable[Answer]) -> None:
        """Keeps `answers`, on disk before this returns."""
        new = list(answers)
        append_jsonl(self._file, [answer.to_json(self._asked[answer.index]) for answer in new])
        for answer in new:
            self._keep(answer)

    def wanted(self, items: Sequence[Item], samples: int) -> list[Wanted]:
        """The items that lack some of their `samples` answers."""
        lacks = [(item, tuple(n for n in range(samples) if (item.index, n) not in self._known)) for item in items]
        return [(item, missing) for item, missing in lacks if missing]

    def predictions(self, items: Sequence[Item], samples: int) -> list[Prediction]:
        """The answers as predictions, in the order of `items`, all of which have them."""
        return [self._prediction(item.index, samples) for item in items]

    def _prediction(self, index: str, samples: int) -> Prediction:
        found = [self._known[index, sample] for sample in range(samples)]
        texts, ended = tuple(a.text for a in found), tuple(a.ended for a in found)
        return Prediction(index, texts, f"{self._file} index {index}", ended)

    def _keep(self, answer: Answer) -> None:
        self._known[answer.index, answer.sample] = answer


def _asked(item: Item) -> str:
    """The hash of what a model is shown of an item, in either style."""
    problem = item.problem
    shown = [problem.question, problem.choices, problem.images, item.prompt]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]
