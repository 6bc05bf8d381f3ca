"""Does the cells that no result is there for: each leg a run, whose stages are shared wherever another run has them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metis_rise import __version__, pipeline
from metis_rise.ablation.cells import Cell, Planned, identity
from metis_rise.ablation.counting import joined, spent
from metis_rise.ablation.results import Row, append_row, read_rows
from metis_rise.ablation.scoring import score
from metis_rise.errors import InputError
from metis_rise.fork import shared_stages
from metis_rise.journal import write_atomic
from metis_rise.lock import locked
from metis_rise.opening import look_at_workshop
from metis_rise.policy.loading import find_folder
from metis_rise.recipe import MAY_CHANGE, resolved
from metis_rise.run import Run
from metis_rise.stages.lengths import token_counter
from metis_rise.terminal import say

SCORES = "scores"


@dataclass(frozen=True, slots=True)
class Experiment:
    """Where it is done and written down, and how its models are scored.

    root: folder of all runs. results: the results file. settings: what the command line sets in every arm. on: `test`
    or `dev`. samples: sampled answers per problem. minutes: no cell is begun after so many; None has no end.
    """

    root: Path
    results: Path
    settings: tuple[str, ...]
    on: str
    samples: int
    minutes: float | None


def do_all(cells: Sequence[Cell], experiment: Experiment) -> int:
    """Does what is not done, cell by cell, and appends each to the results; returns how many are left.

    Raises:
        InputError: a result that is there is of an arm of this name that did something else.
    """
    began, left = time.monotonic(), list(_open(cells, experiment))
    _refuse_other_weights(cells, experiment)
    say(f"{len(cells) - len(left)} of {len(cells)} cells are done")
    for number, cell in enumerate(left):
        if experiment.minutes is not None and time.monotonic() - began > 60 * experiment.minutes:
            say(f"--budget-minutes {experiment.minutes:g} are over: {len(left) - number} cells are left")
            return len(left) - number
        arm, base, seed = cell.key
        say(f"[{len(cells) - len(left) + number + 1}/{len(cells)}] arm {arm}, base {base}, seed {seed}")
        with locked(experiment.root / cell.name, "give the processes different --seeds, --bases or --only"):
            if not list(_open([cell], experiment)):
                say(f"arm {arm}, base {base}, seed {seed}: done by another process")
                continue
            row = _do(cell, experiment)
            # First: a kill before the line is there has it done again, a kill after it would leave the checkpoints.
            _trim(cell, experiment.root)
            append_row(experiment.results, row)
        say(f"arm {arm}, base {base}, seed {seed}: {_said(row)}; {_rest(began, number + 1, len(left))}")
    return 0


def _open(cells: Sequence[Cell], experiment: Experiment) -> Iterator[Cell]:
    """Cells without a result."""
    rows = read_rows(experiment.results)
    known = {cell.arm.name: identity(cell.arm) for cell in cells}
    for row in rows:
        _refuse_other_scores(row, experiment)
        if row.settings == experiment.settings and row.identity != known.get(row.arm, row.identity):
            raise InputError(
                f"{experiment.results}: arm {row.arm}, base {row.base}, seed {row.seed} is there, and did something "
                f"else ({row.identity} there, {known[row.arm]} here); give other --results, or rename the arm"
            )
    there = {(row.arm, row.settings, *row.cell) for row in rows}
    yield from (cell for cell in cells if (cell.arm.name, experiment.settings, cell.base.name, cell.seed) not in there)


def _refuse_other_scores(row: Row, experiment: Experiment) -> None:
    """InputError where a result is of other problems than those that are to be scored, or of other samples."""
    scores = row.raw["scores"]
    if experiment.on not in scores:
        raise InputError(f"{experiment.results}: holds scores on {', '.join(scores)}; give other --results with --on")
    samples = scores[experiment.on]["sampled"]["samples"]
    if samples != experiment.samples:
        raise InputError(
            f"{experiment.results}: arm {row.arm}, base {row.base}, seed {row.seed} has {samples} sampled answers per "
            f"problem, not {experiment.samples}; give other --results with --samples"
        )


def _refuse_other_weights(cells: Sequence[Cell], experiment: Experiment) -> None:
    """InputError where results or runs are of another base that has the name of one of ours. Notes ours by the runs."""
    rows = read_rows(experiment.results)
    for base in {cell.base for cell in cells}:
        note, here = experiment.root / f"{base.name}.weights", _weights(base.path)
        there = [(experiment.results, str(row.raw["weights"])) for row in rows if row.base == base.name]
        there += [(experiment.root, note.read_text(encoding="utf-8").strip())] if note.exists() else []
        for place, weights in there:
            if weights != here:
                raise InputError(
                    f"{place}: base {base.name} had other weights ({weights} there, {here} here); rename the folder of "
                    "one of the two bases, or give other --results and --root"
                )
        write_atomic(note, here + "\n")


def _do(cell: Cell, experiment: Experiment) -> dict[str, Any]:
    root, began = experiment.root, time.monotonic()
    legs = cell.legs(root)
    for leg in legs:
        pipeline.train(leg.recipe, root, leg.recipe.name, leg.last, _source(cell, leg, root))
    last = legs[-1]
    count = token_counter(last.recipe.model.path)
    costs = joined(spent(root / leg.recipe.name, leg.recipe, count) for leg in legs)
    with look_at_workshop(last.recipe, root, last.recipe.name) as shop:
        folder = root / SCORES / last.recipe.name
        scores = score(shop, last.model(root), folder, on=experiment.on, samples=experiment.samples)
        buckets = shop.in_round(last.recipe.rounds).run
        diagnosis = buckets.stage("diagnose").result()["buckets"] if buckets.is_done("diagnose") else {}
    return {
        "arm": cell.arm.name,
        "base": cell.base.name,
        "seed": cell.seed,
        "identity": identity(cell.arm),
        "settings": list(experiment.settings),
        "weights": _weights(cell.base.path),
        "commit": _commit(),
        "version": __version__,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(time.monotonic() - began, 1),
        **costs,
        "buckets": diagnosis,
        "dev": _dev(root / last.recipe.name, last),
        "scores": scores,
    }


def _trim(cell: Cell, root: Path) -> None:
    """Deletes RL's checkpoints, which nothing goes on from once it is done, and which are most of what a run takes."""
    for leg in cell.legs(root):
        for run in (Run(root / leg.recipe.name, number + 1) for number in range(leg.recipe.rounds)):
            for folder in run.stage("rl").path.glob("checkpoint-*") if run.is_done("rl") else ():
                shutil.rmtree(folder)


def _source(cell: Cell, leg: Planned, root: Path) -> Path | None:
    """The run of the same base and seed that has most stages of a new one done; None where none has any."""
    if (root / leg.recipe.name / "recipe.json").exists():
        return None
    wanted = resolved(leg.recipe)
    runs = sorted(run.parent for run in root.glob(f"*{cell.ending}/recipe.json"))
    best = max(runs, key=lambda run: len(shared_stages(run, wanted, MAY_CHANGE)), default=None)
    return best if best is not None and shared_stages(best, wanted, MAY_CHANGE) else None


def _dev(path: Path, leg: Planned) -> dict[str, float]:
    """The last dev scores of a run: of RL's best step, or after its last curriculum stage."""
    run = Run(path, leg.recipe.rounds)
    if leg.last == "rl":
        best = run.stage("rl").result()["best_step"]
        rows = [row for row in run.metrics("rl-dev") if row["step"] == best]
    else:
        rows = run.metrics("sft-dev")
    found: dict[str, float] = rows[-1]["values"]
    return found


def _weights(base: str) -> str:
    """A hash of a base's weights: two bases of one name are told apart by it."""
    found = hashlib.sha256()
    for file in sorted(find_folder(base).glob("*.safetensors")):
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


def _commit() -> str:
    """The commit of the code, with a + where files differ from it; "" outside of a checkout, or without git."""
    here = Path(__file__).parent
    if shutil.which("git") is None:
        return ""
    said = [
        subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
        for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--", str(here.parent)])
    ]
    if any(each.returncode for each in said):
        return ""
    return said[0].stdout.strip() + ("+" if said[1].stdout.strip() else "")


def _said(row: dict[str, Any]) -> str:
    scores = ", ".join(
        f"{split} {100 * modes['greedy']['accuracy']:.1f} / {100 * modes['sampled']['accuracy']:.1f} %"
        for split, modes in row["scores"].items()
    )
    return f"{scores} (greedy / sampled), {row['expert'].get('traces', 0)} expert traces, {row['wall_seconds']:.0f} s"


def _rest(began: float, done: int, cells: int) -> str:
    """How long the cells that are left will take, if they take as long as those before."""
    minutes = (time.monotonic() - began) / done * (cells - done) / 60
    return f"{cells - done} cells are left, some {minutes:.0f} minutes"
