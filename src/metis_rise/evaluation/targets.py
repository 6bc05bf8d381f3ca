"""What MODEL names: one model, or the three of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from metis_rise.benchmarks.evaluation_folder import IMAGES
from metis_rise.errors import InputError
from metis_rise.evaluation.asking import AUTO
from metis_rise.evaluation.options import Options
from metis_rise.json_text import parse_json
from metis_rise.opening import SYSTEM_FILE
from metis_rise.problems.prompt import RISE
from metis_rise.recipe import Recipe
from metis_rise.run import Run, read_jsonl
from metis_rise.run_format import read_format
from metis_rise.stages.workshop import MODEL_FOLDER
from metis_rise.terminal import say

EVALUATIONS = Path("evals")
BENCHMARKS = "benchmarks"
"""Folder of a run in which its models' evaluations are, each under the name of its arm."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model to evaluate.

    name: in tables and file names. model: `tiny`, a folder, a hub id, or a name that a server knows.
    out: its evaluation's folder. images: where the benchmarks' pictures are stored.
    arm: base, rl or rise of a run, "" of no run.
    movable: nobody named `out`, so that another one will do where it holds something else.
    """

    name: str
    model: str
    out: Path
    images: Path
    options: Options
    arm: str = ""
    movable: bool = False


def targets(model: str, options: Options) -> list[Target]:
    """The models that MODEL names, with what the run that they are of settles.

    Raises:
        InputError: a run with options that only single models have, or one whose recipe cannot be read.
    """
    run = Path(model)
    if options.servers is not None or not (run / "recipe.json").is_file():
        out = options.out or EVALUATIONS / _name(model)
        # Pictures of benchmarks are the same for every model.
        images = EVALUATIONS / IMAGES if options.out is None else out / IMAGES
        return [Target(_name(model), model, out, images, options, movable=options.out is None)]
    return of_run(Run(run), options)


def of_run(run: Run, options: Options) -> list[Target]:
    """The base, the RL and the RISE model of a run, as far as they are there; others are named on the terminal.

    What `options` leave open is as in the run.
    """
    read_format(run.path)
    file = run.path / "recipe.json"
    try:
        recipe = Recipe.model_validate(parse_json(file.read_bytes()))
    except ValueError as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{file}: not a recipe of this version ({said}); evaluate the run's models one by one"
        ) from error
    options = _filled(options, recipe, run)
    out = options.out or run.path / BENCHMARKS
    models = {"base": recipe.model.path}
    for arm, turn, stage in (("rl", run, "rl"), ("rise", run.in_round(recipe.rounds), "sft")):
        if turn.is_done(stage):
            models[arm] = str(turn.stage(stage).path / MODEL_FOLDER)
        else:
            say(f"note: {run.path} has no {arm} model yet: its stage {stage} is not done", aside=True)
    name = run.path.resolve().name
    return [Target(f"{name}-{arm}", model, out / arm, out / IMAGES, options, arm) for arm, model in models.items()]


def _filled(options: Options, recipe: Recipe, run: Run) -> Options:
    """What is not said on the command line is as in the run, so that its models are asked as they were trained."""
    manifest = run.path / "manifest.jsonl"
    starts = [row for row in read_jsonl(manifest) if row["kind"] == "start"] if manifest.exists() else []
    system = recipe.prompt.system
    if system not in (None, AUTO, RISE):
        system = str(run.path / SYSTEM_FILE)
    return replace(
        options,
        system=system if options.system == AUTO else options.system,
        max_tokens=options.max_tokens or (starts[-1]["max_tokens"] if starts else None),
        seed=recipe.seed if options.seed is None else options.seed,
        min_pixels=options.min_pixels or recipe.model.min_pixels,
        max_pixels=options.max_pixels or recipe.model.max_pixels,
        dtype=options.dtype or ("bfloat16" if recipe.model.autocast else recipe.model.dtype),
    )


def _name(model: str) -> str:
    """The last part of a path or id that says something: `5-sft` and `model` do not."""
    parts = (
        [part for part in Path(model).resolve().parts if part != "/"]
        if Path(model).is_dir()
        else model.rstrip("/").split("/")
    )
    if len(parts) > 2 and parts[-1] == MODEL_FOLDER:
        return f"{parts[-3]}-{parts[-2]}"
    return parts[-1]
