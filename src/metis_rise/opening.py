"""How a run begins: everything is checked before the run's folder appears, so bad input leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from metis_rise import __version__
from metis_rise.errors import InputError
from metis_rise.policy.loading import find_folder
from metis_rise.policy.processor import load_processor
from metis_rise.problems.dataset import SPLITS, ProblemSets, make_sets
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import RISE, load_system
from metis_rise.problems.reader import dump_problems, load_problems
from metis_rise.recipe import MAY_CHANGE, Recipe, resolved
from metis_rise.run import Run, write_atomic
from metis_rise.stages.lengths import fit_max_tokens
from metis_rise.stages.serving import check_servers
from metis_rise.stages.workshop import AUTO, Workshop

SYSTEM_FILE = "system.txt"


def open_workshop(recipe: Recipe, root: Path, name: str, fresh: bool = False) -> Workshop:
    """The run's folder with its problems in it, created or taken up again.

    Raises InputError for whatever is wrong with the recipe's model, prompt or problems, and for servers that are not
    there; a run that is there is then untouched, also with `fresh`, and no new one appears.
    """
    torch.set_num_threads(recipe.threads or os.cpu_count() or 1)
    torch.manual_seed(recipe.seed)
    path = root / name
    if fresh or not _begun(path):
        _check_model(recipe)
        check_servers(recipe)
        _put_in_place(_prepare(recipe, root, name), recipe, path, fresh)
    run = Run.open(root, name, resolved(recipe), may_change=MAY_CHANGE)
    sets = ProblemSets(*(load_problems(_file(path, split)) for split in SPLITS))
    run.log(
        f"{path}: " + ", ".join(f"{len(problems)} {split}" for split, problems in sets.named().items()) + " problems"
    )
    max_tokens = fit_max_tokens(recipe, sets.train)
    run.event("start", environment=_environment(), max_tokens=max_tokens)
    return Workshop(recipe, run, ImageStore(path / "images"), sets, max_tokens, _system_setting(recipe, path))


def _put_in_place(made: Path, recipe: Recipe, path: Path, fresh: bool) -> None:
    """Renames a prepared run to `path`; what is there is checked first, and replaced only if it is ours to replace."""
    try:
        if path.exists():
            Run.open(path.parent, path.name, resolved(recipe), fresh=fresh)
            shutil.rmtree(path)
        made.rename(path)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        _leave(made.parent)


def _begun(path: Path) -> bool:
    """Whether the folder holds a run with its problems.

    A kill between deleting an old run and renaming the new one leaves a folder without either; one that lacks
    problems but has stages is somebody's damaged run, and is not ours to replace.
    """
    missing = [file for split in SPLITS if not (file := _file(path, split)).exists()]
    if missing and any(path.glob("[0-9]-*/*")):
        raise InputError(f"{missing[0]}: is missing from a run that has begun; restore it, or start anew with --fresh")
    return not missing


def _check_model(recipe: Recipe) -> None:
    load_processor(find_folder(recipe.model.path), recipe.model.min_pixels, recipe.model.max_pixels)


def _system_setting(recipe: Recipe, run: Path) -> str | None:
    """The recipe's prompt.system, a file replaced by the run's own copy of it."""
    setting = recipe.prompt.system
    return setting if setting in (None, AUTO, RISE) else str(run / SYSTEM_FILE)


def _check_lengths(recipe: Recipe, max_tokens: int) -> None:
    if recipe.rl.overlong_buffer > max_tokens:
        raise InputError(
            f"rl.overlong_buffer = {recipe.rl.overlong_buffer}: must not exceed sampling.max_tokens, "
            f"which auto fits to {max_tokens} tokens here; lower it, or give max_tokens a number"
        )
    for part, budget in (("rl", recipe.rl.micro_tokens), ("sft", recipe.sft.micro_tokens)):
        if budget <= max_tokens:
            raise InputError(
                f"{part}.micro_tokens = {budget}: must exceed sampling.max_tokens, which auto fits to {max_tokens} "
                "tokens here, with room for a prompt; raise it"
            )


def _prepare(recipe: Recipe, root: Path, name: str) -> Path:
    """A complete run folder beside its final place; what a killed attempt left there is replaced."""
    folder = Run.open(root / ".preparing", name, resolved(recipe), fresh=True).path
    try:
        if _system_setting(recipe, folder) != recipe.prompt.system:
            write_atomic(folder / SYSTEM_FILE, load_system(recipe.prompt.system) or "")
        sets = make_sets(recipe.problems, recipe.seed, ImageStore(folder / "images"))
        for split, problems in sets.named().items():
            dump_problems(problems, _file(folder, split))
        _check_lengths(recipe, fit_max_tokens(recipe, sets.train))
    except BaseException:
        shutil.rmtree(folder)
        _leave(folder.parent)
        raise
    return folder


def _leave(folder: Path) -> None:
    """Removes the folder of runs being prepared, unless another process prepares one there."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _file(run_folder: Path, split: str) -> Path:
    return run_folder / "problems" / f"{split}.jsonl"


def _environment() -> dict[str, Any]:
    packages = {package: version(package) for package in ("torch", "transformers")}
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "packages": {"metis-rise": __version__} | packages,
    }
