"""A step of TRL's own GRPOTrainer on the shipped model with our reward functions, with pictures, on the CPU."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from metis_rise import world_problems
from metis_rise.policy.model import Policy
from metis_rise.problems.images import ImageStore
from metis_rise.rewards import accuracy_reward, answer_reward, format_reward

trl = pytest.importorskip("trl")


def test_trl_trains_a_step_with_the_rewards(tmp_path: Path):
    problems = [p for p in world_problems("train", 1, tmp_path / "images") if p.images][:2]
    store = ImageStore(tmp_path / "images")
    rows = [
        {
            "prompt": [{"role": "user", "content": p.question.replace("<image1>", "")}],
            "image": store.open(p.images[0]),
            "answer": p.answer,
            "answer_type": p.answer_type.value,
        }
        for p in problems
    ]
    policy = Policy.load("tiny")
    arguments = trl.GRPOConfig(
        output_dir=str(tmp_path / "trl"),
        max_steps=1,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=48,
        generation_kwargs={"suppress_tokens": list(policy.banned_ids)},
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
    )
    trainer = trl.GRPOTrainer(
        policy.model,
        [accuracy_reward, answer_reward, format_reward],
        arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=policy.processor,
    )
    trainer.train()
    logged = trainer.state.log_history[0]
    means = {name: logged[f"rewards/{name}_reward/mean"] for name in ("accuracy", "answer", "format")}
    # The shipped model keeps the format of its own training most of the time.
    assert means["format"] > 0 and means["accuracy"] <= min(means["answer"], means["format"])
    assert logged["reward"] == pytest.approx(sum(means.values()), abs=1e-4)
