"""What `from metis_rise import ...` offers beside the records: each function a few lines on the rooms below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import read_problems as read
from metis_rise.problems.row import known_type
from metis_rise.problems.world import make_problems
from metis_rise.recipe import Recipe, load_recipe
from metis_rise.report.data import RunData, load_run
from metis_rise.types import AnswerType, Group, Problem, Verdict
from metis_rise.verifier import judge as verifier
from metis_rise.verifier.gold import check_gold
from metis_rise.verify.pairs import problem_of


def read_problems(path: Path | str, images: Path | str, *, skip_bad: bool = False) -> list[Problem]:
    """The problems of a file in any form that docs/data.md names, their pictures put into the folder `images`.

    Raises:
        InputError: a faulty file; with `skip_bad` only where no row is left.
    """
    dropped: Counter[str] | None = Counter() if skip_bad else None
    return read(Path(path), ImageStore(Path(images)), check_gold, dropped, open_rows)


def read_run(path: Path | str) -> RunData:
    """What a run folder holds, of a run in progress too.

    Raises:
        InputError: no run there, or a damaged file in it.
    """
    return load_run(Path(path))


def world_problems(split: str, per_level: int, images: Path | str, seed: int = 0) -> list[Problem]:
    """Problems of the tiny world: `per_level` of each of its six families and three levels.

    Args:
        split: train, dev or test; no problem is in two of them.
        per_level: how many.
        images: a folder for their pictures.
        seed: the same seed makes the same bytes.
    """
    return make_problems(split, per_level, seed, ImageStore(Path(images)))


def judge(
    text: str,
    gold: str | float | Problem,
    *,
    answer_type: str | None = None,
    choices: Sequence[str] | None = None,
    question: str = "",
    strict: bool = False,
) -> Verdict:
    """What the verifier says of a completion.

    Args:
        text: the completion, or the bare answer in a box.
        gold: the gold answer, or the problem that has it, which then also says the three that follow.
        answer_type: how it is compared (docs/data.md); the gold answer decides where this is None.
        choices: the options of a multiple-choice question, A first.
        question: where it is given, an answer that repeats a formula of it is refused.
        strict: take the answer only from where the format of recipes has it.

    Raises:
        InputError: no such answer type.
    """
    kind = None if answer_type is None else known_type(answer_type)
    if answer_type is not None and kind is None:
        known = ", ".join(AnswerType)
        raise InputError(f"answer_type {answer_type!r}: known are {known} and their aliases in docs/data.md")
    problem = gold if isinstance(gold, Problem) else problem_of(str(gold), kind, choices, question)
    return verifier.judge(problem, text, strict=strict)


def run_recipe(
    recipe: Recipe | Path | str,
    overrides: Sequence[str] = (),
    *,
    root: Path | str = "runs",
    name: str | None = None,
    fresh: bool = False,
) -> RunData:
    """Does what `rise run` does: all stages that are not done yet. Returns the run as `read_run` reads it.

    Args:
        recipe: a shipped name, a file, or a recipe from `load_recipe`.
        overrides: KEY=VALUE with a dotted key, such as "rl.steps=50"; with a recipe give them to `load_recipe`.
        root: the folder of all runs.
        name: of the run; the recipe's when None.
        fresh: delete the run of this name first.

    Raises:
        InputError: a faulty recipe, model or problem file, overrides beside a recipe from `load_recipe`, or a run of
            another recipe under that name.
    """
    if isinstance(recipe, Recipe) and overrides:
        raise InputError("overrides are for a name or a file; give them to load_recipe, or change the recipe")
    from metis_rise import pipeline

    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe), overrides)
    return load_run(pipeline.run(loaded, Path(root), name or loaded.name, fresh))


def sample(
    model: str | Path,
    problems: Sequence[Problem],
    images: Path | str,
    *,
    n: int = 1,
    temperature: float = 1.0,
    max_tokens: int = 512,
    system: str | None = "auto",
    dtype: str = "float32",
    seed: int = 0,
) -> list[Group]:
    """`n` judged completions of each problem by a model that is loaded into this process; one group per problem.

    Args:
        model: a folder, a hub id, or `tiny`.
        problems: what is asked.
        images: the folder that holds their pictures, as `read_problems` filled it.
        n: completions of each problem.
        temperature: 0 takes the likeliest completion, of which there is one.
        max_tokens: where a completion is cut.
        system: as a recipe's prompt.system.
        dtype: number format of the weights.
        seed: the same seed draws the same completions.
    """
    from metis_rise.ask import answer

    return answer(
        model, problems, ImageStore(Path(images)), n, temperature, max_tokens, system=system, dtype=dtype, seed=seed
    )
