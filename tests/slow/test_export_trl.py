"""An exported SFT set through TRL's own SFTTrainer: a step on it, with pictures, on the CPU."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
from exported_run import COMPLETIONS, SYSTEM, make_run

from metis_rise.exchange.export import export_sft
from metis_rise.policy.model import Policy

trl = pytest.importorskip("trl")


def test_trl_trains_a_step_on_an_export(tmp_path: Path):
    export_sft(make_run(tmp_path / "run"), "trl", tmp_path / "out")
    file = str(tmp_path / "out" / "train.parquet")
    loaded = datasets.load_dataset("parquet", data_files=file, split="train", cache_dir=str(tmp_path / "cache"))
    # A batch with and one without pictures is beyond TRL's collator: those with come alone.
    loaded = loaded.filter(lambda row: len(row["images"]) > 0)
    policy = Policy.load("tiny")
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "trl"),
        max_steps=1,
        per_device_train_batch_size=3,
        max_length=None,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
    )
    trainer = trl.SFTTrainer(policy.model, arguments, train_dataset=loaded, processing_class=policy.processor)
    batch = next(iter(trainer.get_train_dataloader()))
    assert len(batch["image_grid_thw"]) == 6, "two pictures of each of three examples"
    taught = {
        policy.tokenizer.decode([token for token in row if token != -100], skip_special_tokens=True).strip()
        for row in batch["labels"].tolist()
    }
    assert taught == {COMPLETIONS[name] for name in ("one", "two", "four")}
    assert SYSTEM.split()[0] in policy.tokenizer.decode(batch["input_ids"][0])
    result = trainer.train()
    assert result.global_step == 1 and 0 < result.training_loss < 50
