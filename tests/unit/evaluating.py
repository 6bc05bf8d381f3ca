"""A sampler that says what it is told to, and data for the benchmark of fake_benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fake_benchmark import Fake, rows, write_tsv

from metis_rise.benchmarks.base import Style
from metis_rise.benchmarks.data import Data, load
from metis_rise.benchmarks.evaluation_folder import Answer
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.engines.base import SamplingParams
from metis_rise.errors import InputError
from metis_rise.evaluation.asking import Asking, Wanted
from metis_rise.evaluation.samplers import recorded
from metis_rise.problems.images import ImageStore


def asking(
    style: Style = Style.RISE, system: str | None = "Think.", samples: int = 1, temperature: float = 0.0
) -> Asking:
    """A way of asking with short answers."""
    return Asking(style, system, SamplingParams(temperature, max_tokens=16), samples)


def data(folder: Path, count: int = 4, **changed: str) -> Data:
    """The fake benchmark's data with `count` rows, pictures in `folder`/images."""
    folder.mkdir(parents=True, exist_ok=True)
    file = write_tsv(folder / "Fake_MINI.tsv", rows(count, **changed))
    return load(Fake(), file, ImageStore(folder / "images"))


class Told:
    """Says `texts` by index, boxed; gives up after `patience` answers, where it has any."""

    weights: str | None = "w"

    def __init__(self, texts: Mapping[str, str], how: Asking | None = None, patience: int | None = None) -> None:
        self.asking = how or asking()
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self._texts, self._patience = texts, patience

    def record(self) -> ProtocolRecord:
        """As of a native engine whose pixel bounds are not known."""
        return recorded(self.asking, "native", "float32", None)

    def answers(self, benchmark: str, wanted: Sequence[Wanted]) -> Iterator[list[Answer]]:
        """Last item first, its samples together."""
        for number, (item, missing) in enumerate(reversed(wanted)):
            if number == self._patience:
                raise InputError("the engine is gone")
            self.asked.append((item.index, missing))
            text = f"<answer>\\boxed{{{self._texts[item.index]}}}</answer>"
            yield [Answer(item.index, sample, text, ended=True) for sample in range(self.asking.samples)]

    def close(self) -> None:
        """Nothing to do."""
