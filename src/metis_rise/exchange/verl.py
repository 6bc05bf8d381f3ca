"""`rise export rl --format verl`: a run's problems as parquet for verl's RL trainers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from tqdm import tqdm

from metis_rise.cluster.history import recipe_of
from metis_rise.errors import InputError
from metis_rise.exchange.chat_files import flat, plain
from metis_rise.exchange.folder import new_folder
from metis_rise.exchange.tables import FLOAT, IMAGES, INTEGER, TEXT, picture, write_table
from metis_rise.policy.loading import find_folder
from metis_rise.problems.dataset import SPLITS
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import PROMPT_FILE, RISE, build_messages, load_system
from metis_rise.problems.reader import load_problems
from metis_rise.recipe import Recipe
from metis_rise.run_format import read_format
from metis_rise.stages.prompts import AUTO
from metis_rise.types import Problem

DATA_SOURCE = "metis_rise"
_TEXTS: dict[str, Any] = {"feature": TEXT, "_type": "List"}
_EXTRA: dict[str, Any] = {
    **dict.fromkeys(("split", "id", "question", "answer_type", "family", "source", "solution"), TEXT),
    "index": INTEGER,
    "level": INTEGER,
    "choices": _TEXTS,
    "solve_rate": FLOAT,
}
_FEATURES: dict[str, Any] = {
    "data_source": TEXT,
    "prompt": {"feature": {"role": TEXT, "content": TEXT}, "_type": "List"},
    "images": IMAGES,
    "ability": TEXT,
    "reward_model": {"style": TEXT, "ground_truth": TEXT},
    "extra_info": _EXTRA,
}


@dataclass(frozen=True, slots=True)
class _Set:
    """What a run's RL trains on: problems of one split, their solve rates if known, and how they are asked."""

    problems: Sequence[Problem]
    split: str
    solve_rates: Mapping[str, float]
    system: str | None
    store: ImageStore

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows as verl reads them; `extra_info` also holds what the verifier needs."""
        bar = tqdm(self.problems, desc=f"export {self.split}", unit="problem", leave=False, delay=2)
        for index, problem in enumerate(bar):
            yield {
                "data_source": problem.family or DATA_SOURCE,
                "prompt": list(self._prompt(problem)),
                "images": [picture(self.store, key) for key in problem.images],
                "ability": "visual reasoning",
                "reward_model": {"style": "rule", "ground_truth": problem.answer},
                "extra_info": self._extra(problem, index),
            }

    def _prompt(self, problem: Problem) -> Iterator[dict[str, str]]:
        *system, asked = build_messages(problem, self.system)
        if system:
            yield {"role": "system", "content": plain(self.system or "")}
        yield {"role": asked["role"], "content": flat(asked["content"])}

    def _extra(self, problem: Problem, index: int) -> dict[str, Any]:
        same = {name: getattr(problem, name) for name in ("id", "question", "family", "source", "solution", "level")}
        return same | {
            "split": self.split,
            "index": index,
            "answer_type": problem.answer_type.value,
            "choices": list(problem.choices or ()),
            "solve_rate": self.solve_rates.get(problem.id),
        }


def export_verl(run: Path, target: Path) -> None:
    """Writes train, dev and test problems of `run` as parquet into the new folder `target`, whole or not at all.

    Raises:
        InputError: no run there, or a `target` that exists.
    """
    if not (run / "recipe.json").is_file():
        raise InputError(f"{run}: no run folder (it holds no recipe.json); name one such as runs/tiny")
    read_format(run)
    system, store = _system(run, recipe_of(run)), ImageStore(run / "images")
    with new_folder(target) as partial:
        partial.mkdir()
        for split in SPLITS:
            problems = load_problems(run / "problems" / f"{split}.jsonl")
            found = _Set(problems, split, _solve_rates(run), system, store)
            write_table(partial / f"{split}.parquet", _FEATURES, found.rows())
            typer.echo(f"{target / split}.parquet: {len(problems)} problems")
    typer.echo(
        f"in verl: data.train_files={target}/train.parquet data.val_files={target}/dev.parquet data.image_key=images "
        "custom_reward_function.path=pkg://metis_rise.rewards (reward.custom_reward_function.path in newer versions)"
    )


def _system(run: Path, recipe: Recipe) -> str | None:
    """The system prompt that the run's RL begins with."""
    kept = run / "system.txt"
    if kept.is_file():
        return load_system(str(kept))
    if recipe.prompt.system != AUTO:
        return load_system(recipe.prompt.system)
    said = find_folder(recipe.model.path) / PROMPT_FILE
    if not said.is_file():
        return load_system(RISE)
    system: str | None = json.loads(said.read_text(encoding="utf-8"))["system"]
    return system


def _solve_rates(run: Path) -> dict[str, float]:
    done = run / "2-diagnose" / "DONE"
    rates: dict[str, float] = json.loads(done.read_text(encoding="utf-8"))["solve_rates"] if done.is_file() else {}
    return rates
