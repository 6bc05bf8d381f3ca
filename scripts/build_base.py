"""Builds the tiny base model: `python scripts/build_base.py` (about an hour on two cores, seeded, resumable by phase).

The base stands for a pre-trained model with latent, unreliable reasoning, and is built to be one: it sees nearly
perfectly, knows the arithmetic, can reason in the known families, yet mostly guesses, slips or breaks the format;
of the held-back families it has never seen a question. Phases:

1. perception: the vision tower with throw-away heads on every cell (then frozen for good);
2. language: facts, captions, readings and clean chains of the known families;
3. styles: the mixture of guesses, slips, bad formats and clean chains;
4. gate: measured on dev problems; a base that misses it is not written.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from base_builder.architecture import build_model
from base_builder.export import export
from base_builder.gate import measure
from base_builder.language import Classroom, teach_language
from base_builder.lessons import CLEAN, STYLED
from base_builder.perception import teach_perception
from base_builder.phases import phase
from base_builder.tokenizer import build_tokenizer

BATCH = 96


def main() -> None:
    """Runs the phases that the work folder does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/base"),
        help="keeps the weights after each phase; delete it after a change of what is taught",
    )
    parser.add_argument("--out", type=Path, default=Path("src/metis_rise/assets/tiny_base"), help="the package's base")
    parser.add_argument("--perception-steps", type=int, default=600)
    parser.add_argument("--language-steps", type=int, default=1100)
    parser.add_argument("--style-steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0, help="another seed makes another base; give it its own --out")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.seed and options.out == parser.get_default("out"):
        parser.error("--seed makes another base than the package's; give it its own --out")
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)

    tokenizer = build_tokenizer()
    model, seed = build_model(tokenizer, options.seed), options.seed

    def run(name: str, steps: int, work: Callable[[int], object]) -> None:
        phase(model, options.work / f"{name}-{steps}{f'-seed{seed}' if seed else ''}.safetensors", lambda: work(steps))

    run("perception", options.perception_steps, lambda steps: teach_perception(model, steps, BATCH, seed))
    clean = Classroom(tokenizer, seed, CLEAN)
    run("language", options.language_steps, lambda steps: teach_language(model, clean, steps, BATCH, 2e-3, 0.15))
    styled = Classroom(tokenizer, seed + 1, STYLED)
    run("styles", options.style_steps, lambda steps: teach_language(model, styled, steps, BATCH, 6e-4, 0.05))

    candidate = options.work / "candidate"
    export(model, tokenizer, candidate)
    report = measure(candidate)
    print(json.dumps(asdict(report), indent=1))
    if report.faults:
        raise SystemExit(f"the base misses its gate and is not written: {'; '.join(report.faults)}")
    shutil.copytree(candidate, options.out, dirs_exist_ok=True)
    (options.out / "gate.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
