"""What the next `rise run` would do: which stages, and from where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from metis_rise.check.stages import JOURNAL, MODEL, Checker
from metis_rise.types import Trajectory

_ARMS = ("base", "rl", "rise")
_PAID = "answers.jsonl"


def to_do(check: Checker, stage: str) -> str:
    """What is left of an unfinished stage, a numbered name, of the checker's round."""
    folder = check.folder(stage)
    said = _LEFT[stage](check, folder) if folder.is_dir() else "from its start"
    return f"{check.found.name(folder)}: {said}"


def _rl(check: Checker, folder: Path) -> str:
    steps, all_steps = check.models.checkpoints(folder), check.recipe["rl"]["steps"]
    if not steps:
        return f"from its start, {all_steps} steps"
    return f"goes on from checkpoint-{steps[-1]}, {all_steps - steps[-1]} of {all_steps} steps are left"


def _diagnose(check: Checker, folder: Path) -> str:
    train = check.problems.ids["train"]
    there = check.trajectories(folder / JOURNAL, train, again=True) if (folder / JOURNAL).exists() else []
    begun = len({problem for problem, _, _ in there})
    return f"goes on with {len(there)} samples of {begun} of {len(train)} problems in its journal"


def _distill(check: Checker, folder: Path) -> str:
    return "from its start; it only selects"


def _expert(check: Checker, folder: Path) -> str:
    # All rounds share the first one's journal of answers.
    rows = check.files.rows(check.run.path / "4-expert" / _PAID, needed=False)
    paid = sum("key" in row for _, row in rows)
    return f"from its start; {paid} answers are paid for and not asked again"


def _sft(check: Checker, folder: Path) -> str:
    names = [stage["name"] for stage in check.recipe["sft"]["stages"]]
    made = [name for name in names if (folder / f"{MODEL}-{name}").is_dir()]
    for name in made:
        check.models.model(folder / f"{MODEL}-{name}", "delete the folder: the curriculum stage is done again")
    left = ", ".join(name for name in names if name not in made) or "only the taken model's folder"
    begun = "".join(
        f"; {name} goes on from checkpoint-{steps[-1]}"
        for name in names
        if name not in made and (steps := check.models.checkpoints(folder / f"checkpoints-{name}"))
    )
    return f"{len(made)} of {len(names)} curriculum stages are done; left: {left}" + begun


def _evaluate(check: Checker, folder: Path) -> str:
    modes = [mode for mode in ("greedy", "sampled") if check.recipe["evaluate"][mode]]
    wanted = [f"{arm}-{mode}" for arm in _ARMS for mode in modes]
    left = [name for name in wanted if not (folder / f"{name}.jsonl").exists()]
    for name in wanted:
        for _ in check.files.records(folder / f"{name}.jsonl", Trajectory.from_json, needed=False):
            pass
    return "left: " + (", ".join(left) or "only its summary")


_LEFT: Mapping[str, Callable[[Checker, Path], str]] = {
    "1-rl": _rl,
    "2-diagnose": _diagnose,
    "3-distill": _distill,
    "4-expert": _expert,
    "5-sft": _sft,
    "6-evaluate": _evaluate,
}
