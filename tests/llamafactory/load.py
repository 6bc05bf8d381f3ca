"""Run with LLaMA-Factory's Python: loads a folder with its own loader and writes the rows that it makes as JSON.

Usage: python load.py FOLDER ROWS_FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llamafactory.data.loader import _get_merged_dataset
from llamafactory.hparams import DataArguments, ModelArguments, TrainingArguments


def main(folder: str, target: str) -> None:
    """The loader as LLaMA-Factory's trainer calls it, before a tokenizer comes in."""
    data = DataArguments(dataset="rise_sft", dataset_dir=folder, media_dir=folder, template="qwen2_vl")
    training = TrainingArguments(output_dir=str(Path(folder) / "output"), use_cpu=True, report_to=[])
    model = ModelArguments(model_name_or_path="none")
    rows = _get_merged_dataset(data.dataset, model, data, training, stage="sft")
    Path(target).write_text(json.dumps(list(rows)), encoding="utf-8")


main(*sys.argv[1:])
