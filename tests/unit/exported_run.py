"""A small run folder, as far as its SFT set: two rounds, text and pictures, several examples of one problem."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

from PIL import Image

from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import PROMPT_FILE
from metis_rise.problems.reader import dump_problems
from metis_rise.run import write_jsonl
from metis_rise.types import AnswerType, Problem, Trajectory

SYSTEM = "Think, then answer."
COMPLETIONS = {
    name: f"<think> {name} </think><answer>\\boxed{{3}}</answer>" for name in ("one", "two", "three", "four")
}


def picture(shade: int) -> bytes:
    """A PNG of 56 by 56 pixels in one colour."""
    buffer = BytesIO()
    Image.new("RGB", (56, 56), (shade, 40, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def make_run(path: Path, *, system: str | None = SYSTEM, done: bool = True) -> Path:
    """A run whose first round has three examples, and whose second has one; it is not `done` without its expert's."""
    store = ImageStore(path / "images")
    keys = [store.put(picture(shade)) for shade in (10, 200)]
    problems = [
        Problem("two", "Is <image1> darker than <image2>?", "3", AnswerType.NUMBER, tuple(keys), family="f"),
        Problem("plain", "What is 1 + 2?", "B", AnswerType.CHOICE, choices=("four", "three"), level=2),
    ]
    dump_problems(problems, path / "problems" / "train.jsonl")
    (path / "recipe.json").write_text("{}")
    (path / "1-rl" / "model").mkdir(parents=True)
    (path / "1-rl" / "model" / PROMPT_FILE).write_text(json.dumps({"system": system}))
    _round(path, {"two": 0.5, "plain": 0.0}, self_=["one", "two"], expert=["three"], mastered=[], done=done)
    _round(path / "round-2", {"two": 1.0, "plain": 0.0}, self_=[], expert=[], mastered=["four"], done=done)
    return path


def _round(
    home: Path, rates: dict[str, float], *, self_: list[str], expert: list[str], mastered: list[str], done: bool
) -> None:
    def rows(problem: str, names: list[str]) -> list[dict[str, object]]:
        return [Trajectory(problem, i, COMPLETIONS[name]).to_json() for i, name in enumerate(names)]

    write_jsonl(home / "3-distill" / "trajectories-0000.jsonl", rows("two", self_))
    write_jsonl(home / "3-distill" / "replay-0000.jsonl", rows("two", mastered))
    write_jsonl(home / "4-expert" / "trajectories-0000.jsonl", rows("plain", expert))
    (home / "2-diagnose").mkdir()
    (home / "2-diagnose" / "DONE").write_text(json.dumps({"solve_rates": rates}))
    if done:
        (home / "4-expert" / "DONE").write_text("{}")
