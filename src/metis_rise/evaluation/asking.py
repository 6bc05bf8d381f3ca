"""How a model is asked: what it is shown of an item, and how its answers are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metis_rise.benchmarks.base import Item, Style
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.errors import InputError
from metis_rise.policy.families import read_json
from metis_rise.problems.prompt import PROMPT_FILE, RISE, arrange, build_messages, load_system
from metis_rise.seeding import derive
from metis_rise.types import Problem

AUTO = "auto"

Shown = tuple[list[dict[str, Any]], tuple[str, ...]]
"""Chat messages, and the keys of the pictures that their image parts stand for, in order."""

Wanted = tuple[Item, tuple[int, ...]]
"""An item, and the numbers of the samples that it still lacks (from 0)."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What all answers of one evaluation share.

    system: the text of the system prompt, None without one.
    samples: answers per item. seed: of their draws.
    min_pixels, max_pixels: bounds of a picture's area; None leaves them to the model's own settings.
    """

    style: Style
    system: str | None
    params: SamplingParams
    samples: int = 1
    seed: int = 0
    min_pixels: int | None = None
    max_pixels: int | None = None

    def seed_of(self, benchmark: str, item: Item) -> int:
        """Seed of an item's draws: the same for every model that is compared."""
        return derive(self.seed, "benchmark", benchmark, item.index)

    def requests(self, benchmark: str, wanted: Sequence[Wanted]) -> dict[str, tuple[Item, Request]]:
        """What an engine is asked for by the problem's id, which no two benchmarks share.

        The problem is the item's bare question, which the style `vlmevalkit` does not show.
        """
        found = {}
        for item, _ in wanted:
            problem = ordered(item) if self.style is Style.RISE else item.problem
            problem = replace(problem, id=f"{benchmark}/{item.index}")
            request = Request(problem, self.samples, self.params, self.seed_of(benchmark, item))
            found[problem.id] = (item, request)
        return found


def system_text(setting: str | None, style: Style, folder: Path) -> str | None:
    """The system prompt that `setting` means: AUTO, None for none, RISE, or a text file.

    AUTO is what the model in `folder` was trained with, else ours (a model behind an API may have no folder here); in
    the data set's own style it is none, since VLMEvalKit sends none.
    """
    if setting != AUTO:
        return load_system(setting)
    if style is Style.VLMEVALKIT:
        return None
    if not (folder / PROMPT_FILE).is_file():
        return load_system(RISE)
    system: str | None = read_json(folder / PROMPT_FILE).get("system")
    return system


def shown(item: Item, style: Style, system: str | None) -> Shown:
    """What a model sees of an item.

    In the `rise` style pictures stand where the question's markers are; VLMEvalKit puts them before the text, in which
    markers stay as they are.

    Raises:
        InputError: the question names a picture that the row does not have.
    """
    if style is Style.RISE:
        problem = ordered(item)
        return build_messages(problem, system), problem.images
    images = item.problem.images
    parts = [*({"type": "image"} for _ in images), {"type": "text", "text": item.prompt}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    return messages, images


def ordered(item: Item) -> Problem:
    """The item's problem, its pictures in the order in which the question names them.

    Raises:
        InputError: the question names a picture that the row does not have.
    """
    problem = item.problem
    try:
        question, order = arrange(problem.question, len(problem.images))
    except ValueError as error:
        raise InputError(f"{item.row.place}: {error}; mend the question or the pictures") from error
    return replace(problem, question=question, images=tuple(problem.images[index] for index in order))


def unfit(items: Sequence[Item], style: Style) -> dict[str, str]:
    """Why an item cannot be shown in this style, by index: it would be asked another question than the row holds."""
    faults = {}
    for item in items:
        try:
            shown(item, style, None)
        except InputError as error:
            faults[item.index] = str(error)
    return faults
