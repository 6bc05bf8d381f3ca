"""What an imperfect expert over HTTP is worth, told of one thing or another: the tables of docs/data-engine.md.

    python scripts/build_expert.py build/tiny-expert
    rise serve build/tiny-expert --port 8000 --python .venv-vllm/bin/python
    python benchmarks/real_expert.py RUN --url http://127.0.0.1:8000/v1 --model build/tiny-expert [--root DIR]

RUN is a finished run of the recipe tiny. Its RL, diagnosis and own examples are shared by all arms (`rise run --from`);
what differs is who is asked about the absent problems, told of what. Interrupt it and start it again as you like.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metis_rise.report.statistics import wilson
from metis_rise.run import read_jsonl

ARMS: Mapping[str, tuple[str, ...]] = {
    "blind": (),
    "failed attempts": ("failed_attempts",),
    "hints": ("hints",),
    "reference answer": ("reference_answer",),
    "reference solution": ("reference_solution",),
    "hints and answer": ("hints", "reference_answer"),
    "hints, answer, attempts": ("hints", "reference_answer", "failed_attempts"),
    "all, with the solution": ("hints", "reference_answer", "failed_attempts", "reference_solution"),
}
FAMILIES = ("path", "angle")
MODES = ("greedy", "sampled")
# Hardly more than the longest answer of the world's expert: none is cut off that could be learnt.
MAX_TOKENS = 80
TEMPERATURES = (0.0, 0.7, 1.0)


def main() -> None:
    """Runs the arms that are missing, then prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run that all arms start from")
    parser.add_argument("--url", required=True, help="of the expert's API, /v1 included")
    parser.add_argument("--model", required=True, help="its name there")
    parser.add_argument("--root", type=Path, default=Path("real-expert"), help="folder of the arms' runs")
    options = parser.parse_args()
    expert = {
        "name": "vlm",
        "url": options.url,
        "model": options.model,
        "max_tokens": MAX_TOKENS,
        "temperatures": TEMPERATURES,
    }
    runs = {arm: _rise(options.run, options.root, arm, expert, told) for arm, told in ARMS.items()}
    print(_yields(runs), _scores(options.run, runs), sep="\n\n")


def _rise(source: Path, root: Path, arm: str, expert: Mapping[str, Any], told: tuple[str, ...]) -> Path:
    """The finished run of an arm."""
    run = root / "".join(letter if letter.isalpha() else "-" for letter in arm)
    if not (run / "6-evaluate" / "DONE").exists():
        seed = json.loads((source / "recipe.json").read_text())["seed"]
        settings = [f"expert.experts=[{json.dumps(expert)}]", f"expert.knowledge={json.dumps(told)}"]
        small = ["expert.template=brief", "expert.system=null", "threads=1", f"seed={seed}"]
        command = [sys.executable, "-m", "metis_rise", "run", "tiny", *settings, *small, "--from", str(source)]
        subprocess.run([*command, "--root", str(root), "--name", run.name], check=True, stdout=sys.stderr)
    return run


def _yields(runs: Mapping[str, Path]) -> str:
    """What the expert gave, by arm."""
    lines = [
        "| told | solved (95 %) | path / angle | greedy alone | calls | tokens in / out | refused replies |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, run in runs.items():
        rows = read_jsonl(run / "4-expert" / "outcomes.jsonl")
        figures = json.loads((run / "4-expert" / "DONE").read_text())["experts"]["vlm"]
        kept = [bool(row["kept"]) for row in rows]
        by_family = (_share([r["kept"] for r in rows if r["problem"].startswith(f)]) for f in FAMILIES)
        cells = (
            arm,
            f"{sum(kept)} of {len(kept)}: **{_share(kept)}** {_interval(sum(kept), len(kept))}",
            " / ".join(by_family),
            _share([row["kept"] and row["attempt"] == 0 for row in rows]),
            str(figures["calls"]),
            f"{figures['prompt_tokens']:,} / {figures['completion_tokens']:,}",
            ", ".join(f"{reason} {n}" for reason, n in Counter(figures["refused"]).most_common()),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _scores(source: Path, runs: Mapping[str, Path]) -> str:
    """Test accuracy of the source's models, and of each arm's."""
    lines = ["| model | greedy (95 %) | path / angle | sampled (95 %) | path / angle |", "|---|---|---|---|---|"]
    rows = [("base", source, "base"), ("RL", source, "rl"), ("RISE, the world's expert", source, "rise")]
    for title, run, arm in [*rows, *((f"RISE, {arm}", run, "rise") for arm, run in runs.items())]:
        scores = json.loads((run / "summary.json").read_text())["arms"][arm]
        cells = [cell for mode in MODES for cell in _score(scores[mode])]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _score(scores: Mapping[str, Any]) -> tuple[str, str]:
    right = round(scores["accuracy"] * scores["n"])
    families = " / ".join(f"{100 * scores['families'][family]:.0f}" for family in FAMILIES)
    return f"**{100 * scores['accuracy']:.1f}** {_interval(right, scores['n'])}", families


def _share(values: list[bool]) -> str:
    return f"{100 * sum(values) / len(values):.0f} %"


def _interval(right: int, n: int) -> str:
    low, high = wilson(right, n)
    return f"({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
