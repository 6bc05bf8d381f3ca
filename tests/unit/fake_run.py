"""A run folder as a real run leaves it, made up: the formats are real, the numbers are drawn from a seed."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from metis_rise.report.statistics import wilson
from metis_rise.types import AnswerType, Problem, Trajectory, Verdict

FAMILIES = ("angle", "bars", "dial", "path", "shop", "story")
HELD_BACK = ("dial", "path")
ARMS = ("base", "rl", "rise")
SKILL = {"base": (0.42, 0.01), "rl": (0.68, 0.02), "rise": (0.74, 0.71)}
SAMPLED_LOSS = {"base": 0.35, "rl": 0.93, "rise": 0.9}
QUESTIONS = {
    "angle": "The red and the blue line enclose an angle. By how many degrees does it miss {0} degrees?",
    "bars": "Add the red and the blue bar, then take away {0}. What is left?",
    "dial": "The red hand moves on by {0} marks and back by {1}. On which mark does it stop?",
    "path": "Start at the red field and go {0} steps along the arrows. What number is there?",
    "shop": "You buy {0} of the red and {1} of the blue. How much do you pay?",
}
HUES = ("#c0392b", "#2e86c1", "#27ae60", "#f39c12", "#8e44ad")


def make_run(
    folder: Path, *, problems: int = 120, steps: int = 120, seed: int = 0, picture: int = 112, warn: bool = True
) -> Path:
    """Write a finished run into `folder`; pictures are `picture` pixels wide."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    splits = {split: _split(folder, split, problems, picture, rng) for split in ("train", "dev", "test")}
    _json(folder / "recipe.json", _recipe(seed, steps))
    _lines(folder / "manifest.jsonl", _events(warn))
    _lines(folder / "metrics.jsonl", [*_rl(steps, rng), *_sft(rng)])
    _stages(folder, splits["train"], steps, rng)
    test = splits["test"]
    arms = {arm: {mode: _evaluate(folder, arm, mode, test, rng) for mode in ("greedy", "sampled")} for arm in ARMS}
    seconds = {f.name: json.loads((f / "DONE").read_text())["seconds"] for f in sorted(folder.glob("[1-6]-*"))}
    _json(folder / "summary.json", {"recipe": "tiny", "arms": arms, "seconds": seconds, "peak_memory_mb": 1312.4})
    return folder


def _split(folder: Path, split: str, n: int, size: int, rng: random.Random) -> list[Problem]:
    rows = []
    for index in range(n):
        family = FAMILIES[index % len(FAMILIES)]
        level = 1 + index // len(FAMILIES) % 3
        values = [rng.randint(2, 19) for _ in range(level + 2)]
        images = () if family == "story" else (_picture(folder, family, values, size),)
        question = QUESTIONS.get(family, "Ann has {0} plums and buys {1} more. How many has she now?").format(*values)
        rows.append(
            Problem(
                id=f"{split}-{family}-{index:04d}",
                question=question,
                answer=str(sum(values[:2])),
                answer_type=AnswerType.NUMBER,
                images=images,
                source="world",
                family=family,
                level=level,
            )
        )
    _lines(folder / "problems" / f"{split}.jsonl", [row.to_json() for row in rows])
    return rows


def _picture(folder: Path, family: str, values: list[int], size: int) -> str:
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    unit = size / 112
    if family in ("dial", "angle"):
        draw.ellipse([8 * unit, 8 * unit, 104 * unit, 104 * unit], outline="#222222", width=max(1, round(2 * unit)))
        for value, hue in zip(values, HUES, strict=False):
            turn = value / 20 * 2 * math.pi
            tip = (56 * unit + 42 * unit * math.sin(turn), 56 * unit - 42 * unit * math.cos(turn))
            draw.line([(56 * unit, 56 * unit), tip], fill=hue, width=max(1, round(3 * unit)))
    else:
        for index, (value, hue) in enumerate(zip(values, HUES, strict=False)):
            left = (8 + 20 * index) * unit
            draw.rectangle([left, (104 - 5 * value) * unit, left + 14 * unit, 104 * unit], fill=hue)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    key = hashlib.sha256(buffer.getvalue()).hexdigest()
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / f"{key}.png").write_bytes(buffer.getvalue())
    return key


def answer(problem: Problem, right: bool, rng: random.Random, source: str, well_formed: bool = True) -> Trajectory:
    """A trajectory with its verdict; a wrong one slips in the last sum."""
    said = problem.answer if right else str(int(problem.answer) + rng.choice((-3, -1, 1, 2)))
    chain = f"A is {rng.randint(2, 9)} and B is {rng.randint(2, 9)}.\nTogether that is {said}. So the answer is {said}."
    text = f"<think> {chain} </think><answer>\\boxed{{{said}}}</answer>"
    if not well_formed:
        text = f"{chain} The answer is {said}."
    verdict = Verdict(right, well_formed, said, "boxed" if well_formed else "last number", chain=right)
    return Trajectory(problem.id, 0, text, (5, 6, 7), (-0.1, -0.2, -0.01), source=source, verdict=verdict)


def _evaluate(folder: Path, arm: str, mode: str, rows: list[Problem], rng: random.Random) -> dict[str, Any]:
    trajectories = []
    for row in rows:
        skill = SKILL[arm][row.family in HELD_BACK] * (1 if mode == "greedy" else SAMPLED_LOSS[arm])
        trajectories.append(answer(row, rng.random() < skill, rng, arm, arm != "base" or rng.random() < 0.8))
    _lines(folder / "6-evaluate" / f"{arm}-{mode}.jsonl", [t.to_json() for t in trajectories])
    right = sum(t.strict for t in trajectories)
    low, high = wilson(right, len(rows))
    families = {
        family: sum(t.strict for t, row in zip(trajectories, rows, strict=True) if row.family == family)
        / sum(row.family == family for row in rows)
        for family in FAMILIES
    }
    return {"accuracy": right / len(rows), "low": low, "high": high, "n": len(rows), "families": families}


def _rl(steps: int, rng: random.Random) -> Iterable[dict[str, Any]]:
    for step in range(1, steps + 1):
        rise = 1 - math.exp(-4 * step / steps)
        accuracy = 0.12 + 0.33 * rise + rng.gauss(0, 0.03)
        form = min(1.0, 0.55 + 0.44 * rise + rng.gauss(0, 0.015))
        kept = min(16, 9 + round(rng.gauss(3, 2)))
        values = {
            "reward": accuracy + 0.5 * form,
            "accuracy": accuracy,
            "format": form,
            "length": 62 - 9 * rise + rng.gauss(0, 1.5),
            "entropy": 0.74 - 0.42 * rise + rng.gauss(0, 0.02),
            "clip_low": abs(rng.gauss(0.002, 0.001)),
            "clip_high": abs(rng.gauss(0.004, 0.002)),
            "grad_norm": 0.6 + rng.expovariate(8),
            "loss": rng.gauss(0, 0.02),
            "groups_kept": kept,
            "groups_sampled": kept + rng.randint(4, 16),
            "filter_rate": 0.4,
            "carried": rng.randint(0, 4),
            "refill_rounds": rng.randint(1, 3),
            "tokens_per_second": 5200 + rng.gauss(0, 300),
            "sampler_gap": abs(rng.gauss(2e-4, 5e-5)),
            "lr": 3e-4 * min(1, step / 10),
            "seconds": 0.9 + rng.random() / 4,
        }
        yield {"stage": "rl", "step": step, "time": "2025-11-24T14:30:00Z", "values": values}
        if step % max(1, steps // 8) == 0:
            dev = {"greedy": 0.31 + 0.17 * rise, "sampled": 0.09 + 0.34 * rise}
            yield {"stage": "rl-dev", "step": step, "time": "2025-11-24T15:00:00Z", "values": dev}


def _sft(rng: random.Random) -> Iterable[dict[str, Any]]:
    for number, stage in enumerate(("self-distilled", "expert", "mixed")):
        for step in range(41):
            loss = (0.5, 1.6, 0.4)[number] * math.exp(-step / 18) + 0.08 + abs(rng.gauss(0, 0.02))
            values = {"loss": loss, "lr": 1e-4, "grad_norm": 0.5, "tokens": 4096, "seconds": 0.4}
            if step > 0:
                yield {"stage": f"sft-{stage}", "step": step, "time": "2025-11-24T15:10:00Z", "values": values}
            if step % 20 == 0:
                held_out = {"loss": 1.1 * math.exp(-(step + 40 * number) / 50) + 0.14}
                yield {
                    "stage": f"sft-{stage}-heldout",
                    "step": step,
                    "time": "2025-11-24T15:10:00Z",
                    "values": held_out,
                }


def _stages(folder: Path, train: list[Problem], steps: int, rng: random.Random) -> None:
    rates = {row.id: min(8, max(0, round(rng.gauss(-1 if row.family in HELD_BACK else 5, 3)))) / 8 for row in train}
    bucket = {i: "absent" if c == 0 else "mastered" if c == 1 else "inconsistent" for i, c in rates.items()}
    families = {f: dict(Counter(bucket[row.id] for row in train if row.family == f)) for f in FAMILIES}
    distilled = [answer(row, True, rng, "self") for row in train if bucket[row.id] == "inconsistent"]
    expert = [answer(row, True, rng, "expert") for row in train if bucket[row.id] == "absent"]
    n, k, e = len(train), len(distilled), len(expert)
    _lines(folder / "1-rl" / f"trajectories-{steps:06d}.jsonl", _rollouts(train, steps, rng))
    drawn = [_sample(row, "rl", k, k < 8 * rates[row.id], rng) for row in train for k in range(8)]
    _lines(folder / "2-diagnose" / "trajectories-0000.jsonl", [t.to_json() for t in drawn])
    _lines(folder / "3-distill" / "trajectories-0000.jsonl", [t.to_json() for t in distilled])
    _lines(folder / "4-expert" / "trajectories-0000.jsonl", [t.to_json() for t in expert])
    done: dict[str, dict[str, Any]] = {
        "1-rl": {
            "steps": steps,
            "best_step": steps - 15,
            "counts": {"problems": n, "used": steps * 96},
            "dropped": {"group all wrong": 4211, "group all right": 1980, "too old to carry over": 64},
        },
        "2-diagnose": {
            "buckets": dict(Counter(bucket.values())),
            "families": families,
            "solve_rates": rates,
            "counts": {"problems": n, "trajectories": 8 * n},
            "sampling": {
                "drawn": 5 * n,
                "reused": 0,
                "fixed": 8 * n,
                "problems_by_samples": {"2": n // 2, "8": n // 2},
            },
            "dropped": {},
        },
        "3-distill": {
            "counts": {"candidates": 5 * k, "kept": k, "problems": k},
            "dropped": {"chain wrong": k, "duplicate": 2 * k, "over the cap": k},
        },
        "4-expert": {"counts": {"candidates": e, "kept": e, "problems": e}, "dropped": {"chain wrong": 0}},
        "5-sft": {
            "stages": [
                {
                    "name": "self-distilled",
                    "examples": k,
                    "replay": 12,
                    "steps": 40,
                    "loss_first": 0.58,
                    "loss_last": 0.13,
                    "heldout_first": 1.24,
                    "heldout_last": 0.63,
                },
                {
                    "name": "expert",
                    "examples": e,
                    "replay": 20,
                    "steps": 40,
                    "loss_first": 1.66,
                    "loss_last": 0.26,
                    "heldout_first": 0.63,
                    "heldout_last": 0.36,
                },
                {
                    "name": "mixed",
                    "examples": k + e,
                    "replay": 20,
                    "steps": 40,
                    "loss_first": 0.48,
                    "loss_last": 0.11,
                    "heldout_first": 0.36,
                    "heldout_last": 0.24,
                },
            ]
        },
        "6-evaluate": {"counts": {"problems": n, "trajectories": 6 * n}, "dropped": {}},
    }
    for name, result in done.items():
        _json(folder / name / "DONE", {"seconds": 20 + 60 * rng.random(), "counts": {}, "dropped": {}} | result)


def _rollouts(train: list[Problem], steps: int, rng: random.Random) -> Iterable[dict[str, Any]]:
    """Each problem once early and once late in RL, four samples each."""
    for turn in (0, 1):
        for number, row in enumerate(train):
            version = (turn * steps + number * steps // len(train)) // 2
            for k in range(4):
                one = _sample(row, "rl", k, rng.random() < 0.2 + 0.5 * turn, rng)
                yield replace(one, weights_version=version).to_json() | {"tokens": [], "logprobs": []}


def _sample(row: Problem, source: str, number: int, right: bool, rng: random.Random) -> Trajectory:
    return replace(answer(row, right, rng, source), sample=number)


def _recipe(seed: int, steps: int) -> dict[str, Any]:
    return {
        "name": "tiny",
        "seed": seed,
        "threads": 2,
        "model": {"path": "tiny", "lora": None},
        "prompt": {"system": None},
        "rl": {"steps": steps, "group_size": 8, "clip_low": 0.2, "clip_high": 0.28, "eval_every": 15},
        "sampling": {"temperature": 1.0},
    }


def _events(warn: bool) -> Iterable[dict[str, Any]]:
    yield {"time": "2025-11-24T14:00:00Z", "kind": "start", "environment": {"python": "3.11.9", "cores": 2}}
    if warn:
        text = "step 88: only 5 of 16 groups were kept after 3 rounds of sampling; the step is smaller"
        yield {"time": "2025-11-24T14:09:31Z", "kind": "warning", "text": text}


def _json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
