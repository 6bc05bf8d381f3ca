"""Run beside verl's packages: what its own data set and its own loader of rewards make of an export, as JSON.

Usage: python rows.py PARQUET_FILE ANSWER_FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from omegaconf import OmegaConf
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.utils.import_utils import load_extern_object

from metis_rise.policy.model import Policy


def main(parquet: str, answer: str) -> None:
    """The messages and picture sizes of each row, and the score of a right completion of it."""
    policy = Policy.load("tiny")
    config = OmegaConf.create({"cache_dir": str(Path(answer).parent / "cache"), "filter_overlong_prompts": False})
    data = RLHFDataset([parquet], policy.tokenizer, config, policy.processor)
    score = load_extern_object("pkg://metis_rise.rewards", "compute_score")
    rows = []
    for row in data:
        gold = row["reward_model"]["ground_truth"]
        said = f"<think> So. </think><answer> \\boxed{{{gold}}} </answer>"
        # Templates of models take the messages as they are.
        policy.processor.apply_chat_template(row["raw_prompt"], tokenize=False, add_generation_prompt=True)
        rows.append(
            {
                "messages": [[_part(part) for part in _parts(turn["content"])] for turn in row["raw_prompt"]],
                "roles": [turn["role"] for turn in row["raw_prompt"]],
                "index": row["index"],
                "score": score(row["data_source"], said, gold, row["extra_info"])["score"],
            }
        )
    Path(answer).write_text(json.dumps(rows), encoding="utf-8")


def _parts(content: object) -> list[object]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def _part(part: dict[str, object]) -> object:
    return part["text"] if part["type"] == "text" else list(part["image"].getpixel((0, 0)))


main(*sys.argv[1:])
