"""What a run's SFT is made of, read from its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import PROMPT_FILE, build_messages
from metis_rise.problems.reader import load_problems
from metis_rise.run import read_jsonl, round_name
from metis_rise.run_format import read_format
from metis_rise.types import Problem

# Where each kind of example lies in a round's folder.
FILES = (
    ("self", "3-distill/trajectories-0000.jsonl"),
    ("expert", "4-expert/trajectories-0000.jsonl"),
    ("mastered", "3-distill/replay-0000.jsonl"),
)


@dataclass(frozen=True, slots=True)
class Example:
    """A completion to learn, its problem, who wrote it (self, expert, mastered), and the round's solve rate."""

    problem: Problem
    completion: str
    source: str
    solve_rate: float
    round: int

    @property
    def id(self) -> str:
        """The problem's id; a problem may have several examples."""
        return self.problem.id


@dataclass(frozen=True, slots=True)
class SFTSet:
    """The examples of a run, the system prompt that they are taught with, and the store of their pictures."""

    examples: Sequence[Example]
    system: str | None
    images: ImageStore

    def messages(self, example: Example) -> list[dict[str, Any]]:
        """Chat messages of the prompt, image parts in the order of `example.problem.images`."""
        return build_messages(example.problem, self.system)


def read_set(run: Path) -> SFTSet:
    """The SFT set of the run in folder `run`, of all rounds that it has finished distilling in.

    Raises:
        InputError: no run, or one that has not come as far as the expert stage.
    """
    if not (run / "recipe.json").is_file():
        raise InputError(f"{run}: no run folder (it holds no recipe.json); name one such as runs/tiny")
    read_format(run)
    problems = {problem.id: problem for problem in load_problems(run / "problems" / "train.jsonl")}
    examples = [example for number, home in _rounds(run) for example in _read(home, number, problems)]
    return SFTSet(examples, _system(run), ImageStore(run / "images"))


def _rounds(run: Path) -> Iterator[tuple[int, Path]]:
    """The rounds whose SFT examples are complete."""
    number, home = 1, run
    if not (home / "4-expert" / "DONE").is_file():
        raise InputError(f"{run}: its examples are not complete; finish the stage expert first: rise expert RECIPE")
    while (home / "4-expert" / "DONE").is_file():
        yield number, home
        number += 1
        home = run / round_name(number)


def _read(home: Path, number: int, problems: dict[str, Problem]) -> Iterator[Example]:
    rates = json.loads((home / "2-diagnose" / "DONE").read_text(encoding="utf-8"))["solve_rates"]
    for source, file in FILES:
        for row in read_jsonl(home / file):
            problem_id = row["problem_id"]
            yield Example(problems[problem_id], row["text"], source, rates[problem_id], number)


def _system(run: Path) -> str | None:
    """The system prompt that the run trains with, which every model that it saves has beside its weights."""
    file = run / "1-rl" / "model" / PROMPT_FILE
    if not file.is_file():
        raise InputError(f"{file}: is missing, so the run's system prompt is not known; restore it")
    system: str | None = json.loads(file.read_text(encoding="utf-8"))["system"]
    return system
