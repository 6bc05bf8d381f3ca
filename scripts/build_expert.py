"""Builds the tiny expert: `python scripts/build_expert.py OUT` (8 minutes of a core, seeded, resumable by phase).

An expert as one meets them: larger than the policy, good at what that cannot do, and imperfect. The shipped base,
widened, learns the two held-back families from the pre-training split alone, asked by the code that asks experts, with
knowledge dropped at random. It forgets a fact of each family unless it is told (`base_builder/lapses.py`). Phases:

1. attempts: what the base says of the problems, to have failed attempts to show;
2. seminar: training;
3. figures: how it does on dev problems, blind and told; one that is not between 50 and 80 % right, blind and sampled,
   is not written.

Serve it with `rise serve OUT`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from base_builder.architecture import EXPERT, build_model
from base_builder.attempts import attempts_at, held_back
from base_builder.expert_figures import measure
from base_builder.export import EXPERT_CARD, export
from base_builder.language import teach_language
from base_builder.phases import phase
from base_builder.seminar import Seminar
from base_builder.widen import widen
from metis_rise.policy.loading import find_folder
from metis_rise.problems.images import ImageStore

SEED = 0
BATCH = 32
PER_KIND = 800
_RANGE = (0.5, 0.8)


def main() -> None:
    """Runs the phases that the work folder does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the model")
    parser.add_argument("--work", type=Path, default=Path("build/expert"), help="keeps what each phase made")
    parser.add_argument("--base", default="tiny", help="folder of the base, or tiny, the shipped one")
    parser.add_argument("--steps", type=int, default=220)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)

    folder, store = find_folder(options.base), ImageStore(options.work / "images")
    problems = held_back(PER_KIND, SEED, store)
    attempts = attempts_at(problems, folder, SEED, store, options.work / "attempts.jsonl")
    print(f"{len(problems)} problems, {sum(map(len, attempts.values()))} attempts of the base at them")

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = build_model(tokenizer, SEED, EXPERT)
    widen(Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32), model)
    seminar = Seminar(tokenizer, SEED, problems, attempts, store)
    file = options.work / f"seminar-{options.steps}.safetensors"
    phase(model, file, lambda: teach_language(model, seminar, options.steps, BATCH, 1e-3, 0.05))

    candidate = options.work / "candidate"
    export(model, tokenizer, candidate, EXPERT_CARD)
    figures = measure(candidate, folder, SEED, options.work)
    print(json.dumps(figures, indent=1))
    blind = figures["blind, sampled"]["all"]
    if not _RANGE[0] <= blind <= _RANGE[1]:
        raise SystemExit(f"the expert is right in {blind:.3f} of blind replies and is not written; wanted: {_RANGE}")
    shutil.copytree(candidate, options.out, dirs_exist_ok=True)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
