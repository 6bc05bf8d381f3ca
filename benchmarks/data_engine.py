"""What each part of the data engine adds, on the tiny world: the table of docs/data-engine.md.

    python benchmarks/data_engine.py [--seeds 0 1 2] [--root ablation] [--json FILE]

Every arm gets the same number of generated plus trained completion tokens, up to a step or an epoch. RL, diagnosis and
examples of a seed are shared (`rise run --from`); what differs is the curriculum, or more RL instead of it. Interrupt
it and start it again as you like: runs that are done are not repeated. Some 20 minutes a seed on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.report.statistics import wilson
from metis_rise.run import read_jsonl
from metis_rise.stages.lengths import token_counter

SELF = {"name": "self", "data": ["self"], "learning_rate": 1e-4, "batch_size": 32}
EXPERT = {"name": "expert", "data": ["expert"], "learning_rate": 7e-4, "batch_size": 32}
SHORT = {"name": "short", "data": ["mastered"], "learning_rate": 1e-9, "batch_size": 32, "epochs": 1}
MODES = ("greedy", "sampled")


@dataclass(frozen=True, slots=True)
class Arm:
    """A row of the table. The last of its `stages` is given the epochs that make up the budget."""

    name: str
    title: str
    stages: Sequence[Mapping[str, Any]]


ARMS = (
    Arm("self", "+ self", [SELF | {"replay": 1.0}]),
    Arm("bare", "+ expert, no replay", [EXPERT | {"replay": 0.0}]),
    Arm("expert", "+ expert, replay", [EXPERT | {"replay": 2.0}]),
    Arm(
        "shuffled",
        "+ both, shuffled",
        [{"name": "both", "data": ["self", "expert"], "replay": 1.5, "learning_rate": 7e-4, "batch_size": 32}],
    ),
)
STAGED = "+ both, staged (recipe tiny)"


@dataclass(frozen=True, slots=True)
class Spent:
    """Completion tokens that were sampled and that were trained on, and seconds of the stages that did it."""

    generated: float
    trained: float
    seconds: float


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--root", type=Path, default=Path("ablation"), help="folder of the runs")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    options = parser.parse_args()
    rows = [row for seed in options.seeds for row in _seed(options.root, seed)]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(_table(rows))


def _seed(root: Path, seed: int) -> Iterator[dict[str, Any]]:
    """All arms of one seed, a row each."""
    name = f"seed{seed}"
    run = _rise(root, name, seed)
    rl, diagnosis, sft = _rl(run), _diagnosis(run), _sft(run)
    yield _row(seed, "RL only, as long as in the other arms", run, "rl", [rl])
    yield from _more_rl(root, seed, rl, diagnosis.generated + sft.trained)
    for arm in ARMS:
        stages = [dict(stage) for stage in arm.stages]
        stages[-1]["epochs"] = _epochs(run, stages[-1], sft.trained)
        # What an arm does to the model is the question, also where a run would rather go back.
        settings = (f"sft.stages={json.dumps(stages)}", "sft.roll_back=false")
        made = _rise(root, f"{name}-{arm.name}", seed, *settings, source=run)
        yield _row(seed, arm.title, made, "rise", [rl, diagnosis, _sft(made)])
    yield _row(seed, STAGED, run, "rise", [rl, diagnosis, sft])


def _more_rl(root: Path, seed: int, rl: Spent, tokens: float) -> Iterator[dict[str, Any]]:
    """RL carried on for as many tokens as diagnosis and SFT take; what comes after it in that run is kept short."""
    steps = 50 + round(tokens / ((rl.generated + rl.trained) / 50))
    run = _rise(root, f"seed{seed}-rl", seed, f"rl.steps={steps}", f"sft.stages={json.dumps([SHORT])}")
    yield _row(seed, "RL only, equal tokens", run, "rl", [_rl(run)], note=f"{steps} steps")


def _rise(root: Path, name: str, seed: int, *settings: str, source: Path | None = None) -> Path:
    """The finished run of that name."""
    run = root / name
    if not (run / "6-evaluate" / "DONE").exists():
        taken = [] if source is None else ["--from", str(source)]
        command = [sys.executable, "-m", "metis_rise", "run", "tiny", f"seed={seed}", "threads=1", *settings]
        subprocess.run([*command, "--root", str(root), "--name", name, *taken], check=True, stdout=sys.stderr)
    return run


def _rl(run: Path) -> Spent:
    """RL's tokens: `length` is the mean over what a step sampled; kept groups are about as long."""
    values = [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl"]
    group = json.loads((run / "recipe.json").read_text())["rl"]["group_size"]
    generated = sum(v["length"] * v["groups_sampled"] * group for v in values)
    trained = sum(v["length"] * v["groups_kept"] * group for v in values)
    return Spent(generated, trained, _seconds(run, "1-rl"))


def _diagnosis(run: Path) -> Spent:
    rows = read_jsonl(run / "2-diagnose" / "trajectories-0000.jsonl")
    return Spent(sum(len(row["tokens"]) for row in rows), 0, _seconds(run, "2-diagnose"))


def _sft(run: Path) -> Spent:
    rows = [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"].startswith("sft-")]
    return Spent(0, sum(values.get("tokens", 0) for values in rows), _seconds(run, "5-sft"))


def _seconds(run: Path, stage: str) -> float:
    return float(json.loads((run / stage / "DONE").read_text())["seconds"])


def _epochs(run: Path, stage: Mapping[str, Any], tokens: float) -> int:
    """Epochs of `stage` that come nearest to `tokens`, from the lengths of the examples that the run has."""
    pools = {name: _lengths(run / file) for name, file in _POOLS.items()}
    taught = [length for name in stage["data"] for length in pools[name]]
    rest = [length for name in ("mastered", "self") if name not in stage["data"] for length in pools[name]]
    replayed = min(len(rest), round(stage["replay"] * len(taught)))
    per_epoch = sum(taught) + (replayed * sum(rest) / len(rest) if rest else 0)
    return max(1, round(tokens / per_epoch))


_POOLS = {
    "self": "3-distill/trajectories-0000.jsonl",
    "mastered": "3-distill/replay-0000.jsonl",
    "expert": "4-expert/trajectories-0000.jsonl",
}


def _lengths(file: Path) -> list[int]:
    """Tokens of each completion, end token included."""
    count = token_counter("tiny")
    return [count(row["text"]) for row in read_jsonl(file)]


def _row(seed: int, title: str, run: Path, arm: str, parts: Sequence[Spent], note: str = "") -> dict[str, Any]:
    scores = json.loads((run / "summary.json").read_text())["arms"][arm]
    return {
        "seed": seed,
        "arm": title,
        "note": note,
        "generated": sum(part.generated for part in parts),
        "trained": sum(part.trained for part in parts),
        "seconds": sum(part.seconds for part in parts),
        **{mode: scores[mode]["accuracy"] for mode in MODES},
        "n": scores["greedy"]["n"],
        "families": {mode: scores[mode]["families"] for mode in MODES},
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Means over the seeds with the interval of all their problems together, and each seed's own figures."""
    lines = [
        "| arm | greedy (95 %) | by seed | sampled (95 %) | by seed | generated + trained | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        found = [row for row in rows if row["arm"] == arm]
        cells = [cell for mode in MODES for cell in _score(found, mode)]
        tokens = " + ".join(f"{_mean(found, key) / 1000:.0f}k" for key in ("generated", "trained"))
        lines.append(f"| {arm} | {' | '.join(cells)} | {tokens} | {_mean(found, 'seconds'):.0f} |")
    return "\n".join(lines)


def _score(rows: Sequence[Mapping[str, Any]], mode: str) -> tuple[str, str]:
    n = sum(row["n"] for row in rows)
    low, high = wilson(sum(row[mode] * row["n"] for row in rows), n)
    each = " / ".join(f"{100 * row[mode]:.1f}" for row in rows)
    return f"**{100 * _mean(rows, mode):.1f}** ({100 * low:.1f} to {100 * high:.1f})", each


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(sum(row[key] for row in rows) / len(rows))


if __name__ == "__main__":
    main()
