"""One model on benchmarks: asks for what is not answered yet, keeps each answer as it comes, scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metis_rise.benchmarks import predictions as prediction_files
from metis_rise.benchmarks.base import Benchmark, Item, Prediction, Protocol
from metis_rise.benchmarks.data import Data
from metis_rise.benchmarks.evaluation_folder import ANSWERS, SCORE, VERDICTS, Answer
from metis_rise.benchmarks.result import Result, dataset, result
from metis_rise.benchmarks.scoring import Judging, score, verdict_rows
from metis_rise.evaluation import folder
from metis_rise.evaluation.answers import Answers
from metis_rise.evaluation.asking import unfit
from metis_rise.evaluation.samplers import Sampler
from metis_rise.journal import write_atomic, write_jsonl
from metis_rise.terminal import Bar


@dataclass(frozen=True, slots=True)
class Scoring:
    """Who judges the answers; `judge` is the model of protocol `judge`."""

    protocol: Protocol = Protocol.RULE
    judge: Judging | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's evaluation in the folder `out`; `name` is the model's in tables and file names."""

    name: str
    out: Path
    sampler: Sampler
    scoring: Scoring

    def claim(self, model: str) -> None:
        """Makes the folder, or takes it up; InputError where it holds another model's answers, or others' settings."""
        folder.claim(self.out, model, settings(self.sampler, model))

    def run(self, benchmark: Benchmark, data: Data) -> Result:
        """Answers and scores the items of `data`, and writes score.json.

        Raises:
            InputError: an engine cannot go on; what is answered is kept.
        """
        faults = unfit(data.items, self.sampler.asking.style)
        items = [item for item in data.items if item.index not in faults]
        answers = Answers(self.out / benchmark.name / ANSWERS, items)
        self._ask(benchmark, items, answers)
        found = answers.predictions(items, self.sampler.asking.samples)
        scored = self._scored(benchmark, data, found, faults)
        self._write(items, found, scored)
        return scored

    def _ask(self, benchmark: Benchmark, items: Sequence[Item], answers: Answers) -> None:
        samples = self.sampler.asking.samples
        wanted = answers.wanted(items, samples)
        if not wanted:
            return
        running = Running(benchmark, items)
        total = len(items) * samples
        done = total - sum(len(missing) for _, missing in wanted)
        title = f"{benchmark.title} {self.name}"
        with Bar(total=total, initial=done, desc=title, unit="answer") as bar:
            for some in self.sampler.answers(benchmark.name, wanted):
                answers.add(some)
                bar.update(len(some))
                bar.set_postfix({"right by the rules": running.add(some)})

    def _scored(
        self, benchmark: Benchmark, data: Data, found: Sequence[Prediction], faults: Mapping[str, str]
    ) -> Result:
        protocol, judge = self.scoring.protocol, self.scoring.judge
        scores = score(benchmark, data.items, found, protocol, judge, data.rows)
        said = None if judge is None else judge.record()
        record = replace(self.sampler.record(), protocol=protocol.value, judge=said, data_md5=data.md5)
        return result(benchmark, scores, record, self.name, {**data.bad, **faults})

    def _write(self, items: Sequence[Item], found: Sequence[Prediction], scored: Result) -> None:
        """Answers in VLMEvalKit's layout, verdicts, and the score last: who finds it finds all."""
        home = self.out / scored.benchmark.name
        content = json.dumps(scored.to_json(), ensure_ascii=False, allow_nan=False, indent=1)
        file = home / f"{self.name}_{dataset(scored.benchmark)}.tsv"
        prediction_files.write(file, items, found, replace(scored.record, protocol=None, judge=None))
        write_jsonl(home / VERDICTS, verdict_rows(scored.scores))
        write_atomic(home / SCORE, content + "\n")


def settings(sampler: Sampler, model: str) -> dict[str, Any]:
    """What all answers of a folder share: the model `model` and the way that `sampler` asks it, as plain JSON."""
    asking, record = sampler.asking, sampler.record()
    return {
        # A path may be written in several ways, and may hold another model by now.
        "weights": sampler.weights or model,
        "engine": record.engine,
        "dtype": record.dtype,
        "style": asking.style.value,
        "system": asking.system,
        "max_tokens": record.max_tokens,
        **(record.decoding or {}),
        "min_pixels": record.min_pixels,
        "max_pixels": record.max_pixels,
    }


class Running:
    """The share of right answers so far, by the rules, for the progress bar."""

    def __init__(self, benchmark: Benchmark, items: Sequence[Item]) -> None:
        self._benchmark, self._items = benchmark, {item.index: item for item in items}
        self._right = self._all = 0

    def add(self, answers: Sequence[Answer]) -> str:
        """Counts `answers`; the share of all that were counted."""
        verdicts = [self._benchmark.rule(self._items[answer.index], answer.text) for answer in answers]
        self._right += sum(verdict.correct for verdict in verdicts)
        self._all += len(verdicts)
        return f"{100 * self._right / self._all:.1f}%"
