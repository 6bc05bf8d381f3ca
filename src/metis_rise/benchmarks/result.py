"""Everything that is said of one model on one benchmark, and its JSON (score.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from metis_rise.benchmarks.base import Benchmark
from metis_rise.benchmarks.figures import DIGITS, Figures, figures
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.benchmarks.scoring import Scores, undecided


@dataclass(frozen=True, slots=True)
class Agreement:
    """Others' verdicts on the same answers beside ours: how many rows have them, and the indices that differ."""

    n: int
    only_ours: tuple[str, ...]
    only_theirs: tuple[str, ...]

    @property
    def agree(self) -> int:
        """Rows on which both say the same."""
        return self.n - len(self.only_ours) - len(self.only_theirs)


@dataclass(frozen=True, slots=True)
class Result:
    """One model on one benchmark.

    model: None where nothing says which. bad: why rows of the data cannot be used, by index.
    """

    benchmark: Benchmark
    model: str | None
    figures: Figures
    scores: Scores
    record: ProtocolRecord
    agreement: Agreement | None = None
    bad: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the whole official set was scored and nothing was left out: only then it may enter a mean."""
        return self.record.subset is None and self.figures.score is not None

    def to_json(self) -> dict[str, Any]:
        """The content of score.json; scores are in percent, `n` is the number of rows scored."""
        agreement = self.agreement
        metrics: Mapping[str, Any] = {
            **self.figures.plain(),
            **self.figures.to_json(),
            "bad_rows": dict(self.bad),
            "left_out": [asdict(each) for each in self.scores.left_out],
            "strangers": list(self.scores.strangers),
            "empty": list(self.scores.empty),
            "undecided": list(undecided(self.scores)),
            "agreement": None if agreement is None else {"agree": agreement.agree, **asdict(agreement)},
        }
        return {
            "benchmark": self.benchmark.name,
            "title": self.benchmark.title,
            "dataset": dataset(self.benchmark),
            "model": self.model,
            "n": self.figures.n,
            "score": None if self.figures.score is None else round(self.figures.score, DIGITS),
            "metrics": metrics,
            "protocol": self.record.to_json(),
            "complete": self.complete,
        }


def result(
    benchmark: Benchmark,
    scores: Scores,
    record: ProtocolRecord,
    model: str | None = None,
    bad: Mapping[str, str] | None = None,
) -> Result:
    """The result of `scores`; the subset, and the truncated share where it is known, are filled into the record."""
    truncated = record.truncated if scores.truncated is None else scores.truncated
    filled = replace(record, subset=subset(benchmark, scores), truncated=truncated)
    return Result(benchmark, model, figures(benchmark, scores), scores, filled, _agreement(scores), bad or {})


def subset(benchmark: Benchmark, scores: Scores) -> str | None:
    """ "n/N" rows where the rows scored are not the whole official file, or the whole of a file of one's own."""
    rows = scores.total if benchmark.known is None else benchmark.known.rows
    return None if len(scores.scored) == rows else f"{len(scores.scored)}/{rows}"


def dataset(benchmark: Benchmark) -> str:
    """The name of a benchmark's data set in VLMEvalKit, else its own."""
    return benchmark.name if benchmark.known is None else benchmark.known.dataset


def _agreement(scores: Scores) -> Agreement | None:
    judged = [(one.item.index, one.verdicts[0].correct, one.given) for one in scores.scored if one.given is not None]
    if not judged or scores.samples > 1:
        return None
    ours = tuple(index for index, own, given in judged if own and not given)
    return Agreement(len(judged), ours, tuple(index for index, own, given in judged if given and not own))
