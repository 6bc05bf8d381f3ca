"""A whole run folder, looked at from its recipe to its last stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metis_rise.benchmarks.evaluation_folder import FILE, IMAGES
from metis_rise.check.evaluation import Evaluation, check_store
from metis_rise.check.files import Files
from metis_rise.check.findings import Findings
from metis_rise.check.models import Models
from metis_rise.check.problems import check_pictures, check_problems
from metis_rise.check.resuming import to_do
from metis_rise.check.stages import Checker
from metis_rise.errors import InputError
from metis_rise.run import STAGES, Run
from metis_rise.run_format import FORMAT, read_format


def check_run(folder: Path) -> Findings:
    """Everything that can be known of the run in `folder` without its model; nothing is changed.

    Raises:
        InputError: it is no run folder, or one of a newer version.
    """
    if not (folder / "recipe.json").is_file():
        raise InputError(
            f"{folder}: neither a run folder (it holds no recipe.json) nor an evaluation's (no {FILE}); name one "
            "such as runs/tiny"
        )
    number = read_format(folder)
    found = Findings(folder)
    files = Files(found, checksums=number > 1)
    models = Models(found, files)
    recipe = files.object(folder / "recipe.json") or {}
    problems = check_problems(found, files)
    check_pictures(found, problems)
    run = Run(folder)
    left = []
    for turn, stage in _stages(run, recipe):
        check = Checker(turn, recipe, problems, found, files, models)
        done = _done(check, stage)
        if done is None:
            left.append((check, stage))
            continue
        if stage == "1-rl":
            models.checkpoints(check.folder(stage))
        check.check(stage, done)
    if left:
        check, stage = left[0]
        found.to_do.append(to_do(check, stage))
        later = ", ".join(found.name(after.folder(name)) for after, name in left[1:])
        found.to_do += [f"then, from their start: {later}"] if later else []
    for record in sorted(folder.glob(f"benchmarks/*/{FILE}")):
        Evaluation(found, files, record.parent).check()
    check_store(found, folder / "benchmarks" / IMAGES)
    if (folder / "summary.json").exists():
        files.object(folder / "summary.json")
    files.rest()
    if number < FORMAT:
        found.notes.append(f"begun by an older version (format {number}): {files.unchecked} lines have no checksum")
    return found


def _stages(run: Run, recipe: Mapping[str, Any]) -> Iterator[tuple[Run, str]]:
    """All stages in the order in which they are done: those of each round, and evaluation once at the end."""
    *each_round, last = STAGES
    rounds = recipe.get("rounds", 1)
    for number in range(1, rounds + 1 if isinstance(rounds, int) else 2):
        yield from ((run.in_round(number), stage) for stage in each_round)
    yield run, last


def _done(check: Checker, stage: str) -> Mapping[str, Any] | None:
    """The result of a finished stage, None while it is not finished; a damaged marker is a finding."""
    marker = check.folder(stage) / "DONE"
    if not marker.exists():
        return None
    return check.files.object(marker)
