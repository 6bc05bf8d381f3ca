"""TRL's own trainers: their loss steps on the tokens of a case, and the GRPO step with its generation."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metis_rise.bench.cases import Case, Fresh
from metis_rise.bench.peers import backward, padded
from metis_rise.bench.workbench import Workbench, repeated_pictures
from metis_rise.errors import InputError
from metis_rise.policy.objectives import OBJECTIVES, Objective
from metis_rise.policy.packing import Row
from metis_rise.recipe.rl import RLConfig

_PLAIN: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "gradient_accumulation_steps": 1,
    "report_to": [],
    "save_strategy": "no",
}


def check_installed() -> None:
    """InputError when TRL is not there."""
    if importlib.util.find_spec("trl") is None:
        raise InputError("this measurement needs TRL 1.16: pip install 'metis-rise[bench]'")


def grpo_step(
    bench: Workbench, rows: Sequence[Row], advantages: Tensor, old: float, objective: Objective
) -> Callable[[], Tensor]:
    """`GRPOTrainer.compute_loss` and backward; the trainer's model is a copy of `plain`.

    `advantages` are [rows]; `old` is the log-probability of every token when it was drawn. The prompts are of equal
    length.
    """
    trainer = _trainer(
        "GRPO",
        bench,
        {"prompt": "", "image": None},
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        per_device_train_batch_size=len(rows),
        num_generations=len(rows),
        loss_type="dapo",
        epsilon=objective.clip_low,
        epsilon_high=objective.clip_high,
        beta=0.0,
    )
    # The training loop sets it.
    trainer.current_gradient_accumulation_steps = 1
    completions = [completion for _, completion in rows]
    mask = pad_sequence([torch.ones_like(completion) for completion in completions], batch_first=True)
    prompt_ids = torch.stack([prompt.input_ids for prompt, _ in rows])
    types = torch.stack([prompt.mm_token_type_ids for prompt, _ in rows])
    inputs = {
        "prompt_ids": prompt_ids,
        "prompt_mask": torch.ones_like(prompt_ids),
        "completion_ids": pad_sequence(completions, batch_first=True, padding_value=bench.policy.pad_id),
        "completion_mask": mask,
        "mm_token_type_ids": torch.cat([types, torch.zeros_like(mask)], 1),
        "num_images": [1] * len(rows),
        "advantages": advantages,
        "old_per_token_logps": torch.full(mask.shape, old),
        "num_items_in_batch": mask.sum(),
        **repeated_pictures([prompt for prompt, _ in rows]),
    }
    return _step(trainer, inputs)


def whole_grpo_step(
    bench: Workbench, case: Case, right: Callable[[Sequence[int]], bool], config: RLConfig
) -> Fresh[list[dict[str, Any]]]:
    """`GRPOTrainer.training_step`, which generates and scores, then clipping and the optimizer's step.

    The trainer's model is a copy of `plain`; the reward is 1 for a completion that is `right`, else 0. Around these
    steps the trainer's own loop has a data loader, callbacks and a log, which nobody is charged for. Returns the norm
    of the gradient before clipping.
    """
    objective = OBJECTIVES[config.objective]
    trainer = _trainer(
        "GRPO",
        bench,
        {"prompt": "", "image": None},
        reward_funcs=lambda completion_ids, **_: [float(right(tokens)) for tokens in completion_ids],
        per_device_train_batch_size=case.group_size,
        num_generations=case.group_size,
        max_completion_length=case.completion_tokens,
        generation_kwargs={"suppress_tokens": list(bench.policy.banned_ids)},
        loss_type="dapo",
        epsilon=objective.clip_low,
        epsilon_high=objective.clip_high,
        beta=0.0,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        adam_beta2=config.adam_beta2,
    )
    # The training loop does both.
    trainer.current_gradient_accumulation_steps = 1
    trainer.create_optimizer()

    def make(turn: int) -> list[dict[str, Any]]:
        (picture,) = bench.pictures(case, turn)
        example = {"prompt": [{"role": "user", "content": bench.question}], "image": picture}
        return [example] * case.group_size

    def run(examples: list[dict[str, Any]]) -> Tensor:
        with _quiet():
            trainer.training_step(trainer.model, examples, None)
        norm: Tensor = trainer.accelerator.clip_grad_norm_(trainer.model.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()
        trainer.model.zero_grad()
        return norm

    return Fresh(make, run)


def sft_step(bench: Workbench, rows: Sequence[Row]) -> Callable[[], Tensor]:
    """`SFTTrainer.compute_loss` and backward; the trainer's model is a copy of `plain`.

    The batch is padded: with pictures TRL 1.16 refuses both `packing` and `padding_free`.
    """
    example = {"prompt": "", "completion": "", "image": None}
    trainer = _trainer("SFT", bench, example, max_length=None)
    inputs, completed = padded(rows, bench.policy.pad_id)
    inputs["labels"] = inputs["input_ids"].masked_fill(~completed, -100)
    return _step(trainer, inputs)


def _trainer(method: str, bench: Workbench, example: dict[str, Any], reward_funcs: Any = None, **settings: Any) -> Any:
    """The trainer of `method`, which has seen one `example`, for what it tells of the data's kind."""
    trl, datasets = (importlib.import_module(name) for name in ("trl", "datasets"))
    with tempfile.TemporaryDirectory() as folder, _quiet():
        trainer = getattr(trl, f"{method}Trainer")(
            model=copy.deepcopy(bench.plain),
            processing_class=bench.policy.processor,
            args=getattr(trl, f"{method}Config")(output_dir=folder, **_PLAIN, **settings),
            train_dataset=datasets.Dataset.from_list([example]),
            **({} if reward_funcs is None else {"reward_funcs": reward_funcs}),
        )
    trainer.model.train()
    return trainer


@contextmanager
def _quiet() -> Iterator[None]:
    """TRL uses names that transformers has changed; it is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _step(trainer: Any, inputs: dict[str, Any]) -> Callable[[], Tensor]:
    # A trainer adds keywords of its own to the inputs.
    return lambda: backward(trainer.model, lambda: trainer.compute_loss(trainer.model, dict(inputs)))
