"""A small run folder that is whole in every part, written by the writers of a real run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import dump_problems
from metis_rise.recipe import load_recipe, resolved
from metis_rise.run import Run, append_jsonl, write_atomic, write_jsonl
from metis_rise.types import AnswerType, Problem, Trajectory, Verdict

STEPS, GROUP, SAMPLES = 2, 2, 2
# How often each training problem is solved.
RIGHT = {"mastered": 2, "inconsistent": 1, "absent": 0}
RECIPE = resolved(load_recipe("tiny", [f"rl.steps={STEPS}", f"rl.group_size={GROUP}"]))


def make_whole(root: Path) -> Path:
    """Writes the run root/whole, all of whose stages are done; returns its folder."""
    run = Run.open(root, "whole", RECIPE)
    train = _problems(run, "train", list(RIGHT))
    _problems(run, "dev", ["easy"])
    test = _problems(run, "test", ["one", "two"])
    _rl(run, train)
    _diagnose(run, train)
    _examples(run, train)
    for folder in ("model-self", "model-expert", "model"):
        model(run.stage("sft").path / folder)
    run.stage("sft").finish({"stages": [{"name": "self", "examples": 1}, {"name": "expert", "examples": 1}]})
    _evaluate(run, test)
    return run.path


def said(problem: Problem, sample: int, right: bool) -> dict[str, Any]:
    """A journal's row."""
    return Trajectory(problem.id, sample, "text", (1, 2), verdict=Verdict(right, True, "1", "boxed")).to_json()


def model(folder: Path, **tensors: Sequence[float]) -> None:
    """A model's folder, with one tensor or those given."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "config.json", "{}\n")
    values: Mapping[str, Sequence[float]] = tensors or {"weight": [1.0, 2.0]}
    save_file({name: np.array(value, np.float32) for name, value in values.items()}, folder / "model.safetensors")


def checkpoint(folder: Path) -> None:
    """A whole checkpoint."""
    model(folder / "model")
    save_file({"weight.step": np.zeros(1, np.float32)}, folder / "optimizer.safetensors")
    write_atomic(folder / "state.json", '{"state": {}, "optimizer": {}, "version": 1, "rng": {}}\n')
    (folder / "COMPLETE").touch()


def _problems(run: Run, split: str, names: Sequence[str]) -> list[Problem]:
    store = ImageStore(run.path / "images")
    found = [
        Problem(f"{split}-{name}", "How many?", "1", AnswerType.NUMBER, (store.put(_picture(split, name)),))
        for name in names
    ]
    dump_problems(found, run.path / "problems" / f"{split}.jsonl")
    return found


def _picture(split: str, name: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (len(split), len(name), ord(name[0]))).save(buffer, "PNG")
    return buffer.getvalue()


def _rl(run: Run, train: Sequence[Problem]) -> None:
    stage = run.stage("rl")
    for step in range(1, STEPS + 1):
        run.metric("rl", step, {"groups_sampled": 1})
        write_jsonl(stage.path / f"trajectories-{step:06d}.jsonl", [said(train[1], n, n == 0) for n in range(GROUP)])
        checkpoint(stage.path / f"checkpoint-{step}")
    model(stage.path / "model")
    stage.finish({"steps": STEPS, "counts": {"problems": 1, "used": STEPS * GROUP}, "dropped": {}})


def _diagnose(run: Run, train: Sequence[Problem]) -> None:
    stage, rates = run.stage("diagnose"), []
    for problem, (bucket, right) in zip(train, RIGHT.items(), strict=True):
        append_jsonl(stage.path / "trajectories-0000.jsonl", [said(problem, n, n < right) for n in range(SAMPLES)])
        rate = {"samples": SAMPLES, "right": right, "solve_rate": right / SAMPLES}
        rates.append({"problem_id": problem.id, "bucket": bucket, **rate})
    write_jsonl(stage.path / "solve-rates.jsonl", rates)
    stage.finish(
        {
            "counts": {"problems": len(train), "used": SAMPLES * len(train)},
            "buckets": dict.fromkeys(RIGHT, 1),
            "solve_rates": {row["problem_id"]: row["solve_rate"] for row in rates},
        }
    )


def _examples(run: Run, train: Sequence[Problem]) -> None:
    mastered, inconsistent, absent = train
    distill, expert = run.stage("distill"), run.stage("expert")
    write_jsonl(distill.path / "trajectories-0000.jsonl", [said(inconsistent, 0, True)])
    write_jsonl(distill.path / "replay-0000.jsonl", [said(mastered, 0, True)])
    distill.finish({"counts": {"kept": 1, "replay": 1}})
    write_jsonl(expert.path / "trajectories-0000.jsonl", [said(absent, 0, True)])
    write_jsonl(expert.path / "outcomes.jsonl", [{"problem": absent.id, "kept": True}])
    append_jsonl(expert.path / "answers.jsonl", [{"key": "a", "cost": 1.0}])
    expert.finish({"counts": {"problems": 1, "kept": 1}})


def _evaluate(run: Run, test: Sequence[Problem]) -> None:
    stage = run.stage("evaluate")
    arms = ("base", "rl", "rise")
    for arm in arms:
        for mode in ("greedy", "sampled"):
            write_jsonl(stage.path / f"{arm}-{mode}.jsonl", [said(p, 0, n == 0) for n, p in enumerate(test)])
    stage.finish({"arms": {arm: {"greedy": {"accuracy": 0.5}, "sampled": {"accuracy": 0.5}} for arm in arms}})
