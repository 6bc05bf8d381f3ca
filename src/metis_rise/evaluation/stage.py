"""The benchmarks of a recipe (evaluate.benchmarks), done at the end of stage 6 by the run's own engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from metis_rise.benchmarks.choice import chosen
from metis_rise.benchmarks.data import Data
from metis_rise.benchmarks.evaluation_folder import SCORE, Answer
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.evaluation.asking import Asking, Wanted, system_text
from metis_rise.evaluation.command import Files, evaluated
from metis_rise.evaluation.options import Options
from metis_rise.evaluation.samplers import answers_of, recorded
from metis_rise.evaluation.targets import Target, of_run
from metis_rise.evaluation.weights import fingerprint
from metis_rise.policy.families import read_json
from metis_rise.policy.loading import find_folder
from metis_rise.report.html import refresh_report
from metis_rise.stages.serving import drop_served
from metis_rise.stages.workshop import Bench, Workshop, sample_whole
from metis_rise.terminal import stage_view


def run(shop: Workshop) -> None:
    """Scores the run's models on the benchmarks that its recipe names; what has a score.json is done."""
    config = shop.recipe.evaluate
    if not config.benchmarks:
        return
    files = chosen(config.benchmarks, None if config.data is None else Path(config.data).expanduser())
    with stage_view(f"{shop.run.path.name}: benchmarks"):
        _score(shop, files)
    drop_served(shop.run)


def _score(shop: Workshop, files: Files) -> None:
    known: dict[str, Data] = {}
    for target in of_run(shop.run, Options()):
        left = {b: file for b, file in files.items() if not (target.out / b.name / SCORE).exists()}
        if not left:
            continue
        # The run's engine finds pictures in the run's own store.
        placed = replace(target, images=shop.store.folder)
        for _, result in evaluated(placed, left, known, lambda target: _sampler(shop, target)):
            score = "none" if result.figures.score is None else f"{result.figures.score:.1f}"
            title = f"{target.arm} on {result.benchmark.title}"
            shop.run.log(f"{title}: {score} ({result.figures.n} rows; {result.record.line()})")
            refresh_report(shop.run)


def _sampler(shop: Workshop, target: Target) -> BenchSampler:
    folder = find_folder(target.model)
    asking = target.options.asking(system_text(target.options.system, target.options.style, folder))
    return BenchSampler(folder, asking, lambda: shop.bench(target.model), shop.recipe.engine.kind, target.options.dtype)


class BenchSampler:
    """Answers with the engine of a run, loaded when the first answer is wanted; for the style `rise` only."""

    def __init__(self, folder: Path, asking: Asking, load: Callable[[], Bench], engine: str, dtype: str | None) -> None:
        """`folder` is the model that `load` loads; `engine` and `dtype` are for the protocol."""
        self.asking = asking
        self.weights: str | None = fingerprint(folder)
        self._folder, self._load = folder, load
        self._engine, self._dtype = engine, dtype

    @cached_property
    def bench(self) -> Bench:
        """The loaded model with its engine."""
        return self._load()

    def record(self) -> ProtocolRecord:
        """See `Sampler`."""
        return recorded(self.asking, self._engine, self._dtype, read_json(self._folder / "preprocessor_config.json"))

    def answers(self, benchmark: str, wanted: Sequence[Wanted]) -> Iterator[list[Answer]]:
        """See `Sampler`; of an item all samples come, together."""
        asked = self.asking.requests(benchmark, wanted)
        requests = [request for _, request in asked.values()]
        for group in sample_whole(self.bench, requests, benchmark, benchmark):
            yield answers_of(asked[group.problem.id][0], group)

    def close(self) -> None:
        """See `Sampler`."""
        if (bench := self.__dict__.pop("bench", None)) is not None:
            bench.close()
