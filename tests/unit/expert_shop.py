"""As much of a workshop as the expert stage uses, with a finished diagnosis that calls every problem absent."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from metis_rise.problems.images import ImageStore
from metis_rise.recipe import load_recipe
from metis_rise.run import Run, read_jsonl, write_jsonl
from metis_rise.stages import expert
from metis_rise.stages.distill import REPLAY
from metis_rise.stages.journals import JOURNAL
from metis_rise.types import AnswerType, Problem, StopReason, Trajectory, Verdict


def endpoint(url: str, name: str = "big", **more: Any) -> str:
    """An entry of `expert.experts`, as YAML."""
    entry = {"name": name, "url": f"{url}/v1", "model": name, "temperatures": "[null]", **more}
    return "{" + ", ".join(f"{key}: {value}" for key, value in entry.items()) + "}"


def picture(index: int) -> bytes:
    """A PNG that no other index has."""
    buffer = BytesIO()
    Image.new("RGB", (6 + index, 5), (index, 100, 200)).save(buffer, "PNG")
    return buffer.getvalue()


class Shop:
    """A run in `folder` with `count` problems, each with a picture of its own; they are number problems, gold 7."""

    def __init__(
        self, folder: Path | str, experts: Sequence[str], overrides: Sequence[str] = (), count: int = 4
    ) -> None:
        self.recipe = load_recipe("tiny", [f"expert.experts=[{', '.join(experts)}]", *overrides])
        self.run = Run.open(Path(folder), "run", {})
        self.seed = self.recipe.seed
        self.store = ImageStore(self.run.path / "images")
        self.max_tokens = 64
        problems = [self.problem(i) for i in range(count)]
        self.sets = SimpleNamespace(train=problems)
        self.run.stage("diagnose").finish({"solve_rates": {problem.id: 0.0 for problem in problems}})
        for name in (JOURNAL, REPLAY):
            write_jsonl(self.run.stage("distill").path / name, [])

    def problem(self, index: int) -> Problem:
        key = self.store.put(picture(index))
        question = f"How many dots are in picture {index}?"
        return Problem(f"p{index}", question, "7", AnswerType.NUMBER, images=(key,), solution=f"Count {index}.")

    def fail(self, index: int, *texts: str) -> None:
        """Adds failed attempts to the diagnosis."""
        rows = [attempt(f"p{index}", sample, text).to_json() for sample, text in enumerate(texts)]
        write_jsonl(self.run.stage("diagnose").path / "trajectories-0000.jsonl", rows)

    def do(self) -> dict[str, Any]:
        """The stage."""
        return expert.run(self)  # type: ignore[arg-type]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """A file of the stage."""
        return read_jsonl(self.run.stage("expert").path / name)

    @property
    def log(self) -> str:
        return (self.run.path / "log.txt").read_text()


def attempt(problem: str, sample: int, text: str) -> Trajectory:
    """A wrong attempt whose answer is the number at the end of its text."""
    verdict = Verdict(False, True, text.split()[-1], "answer box", reason="different")
    return Trajectory(problem, sample, text, stop=StopReason.EOS, verdict=verdict)
