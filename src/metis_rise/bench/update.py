"""Forward, loss and backward over the groups of some prompts: ours against a batch with everything repeated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metis_rise.bench.cases import OURS, Arms, Case, Workbench, repeated_inputs
from metis_rise.policy.forward import completion_logprobs
from metis_rise.policy.objectives import aggregate, group_advantages, policy_loss


def update_arms(bench: Workbench, case: Case) -> Arms:
    """Each arm returns its loss and leaves the gradients in its model (`policy.model`; "repeated": `plain`).

    "repeated" is what one writes first: one row per completion, each with its own copy of the picture, logits at every
    position. No gradient checkpointing and one micro-batch in both arms.
    """
    rows, length = case.prompts * case.group_size, case.completion_tokens
    prompts = bench.prompts(case)
    random = torch.Generator().manual_seed(0)
    # No placeholders of pictures among them.
    allowed = torch.tensor(sorted(set(range(len(bench.policy.tokenizer))) - set(bench.policy.banned_ids)))
    completions = allowed[torch.randint(len(allowed), (rows, length), generator=random)]
    rewards = torch.rand(case.prompts, case.group_size, generator=random)
    advantages = group_advantages(rewards).flatten().repeat_interleave(length)
    # As if each token had been drawn uniformly: a model must not run before the peak of memory is measured.
    old = torch.full((rows * length,), -math.log(bench.policy.model.config.text_config.vocab_size))

    def backward(values: Tensor) -> Tensor:
        loss, _ = policy_loss(values, old, advantages)
        total = aggregate(loss, [length] * rows, "token", rows * length)
        torch.autograd.backward(total)
        return total.detach()

    def ours() -> Tensor:
        bench.policy.model.zero_grad(set_to_none=True)
        fresh = bench.unseen(prompts)
        batch = [(fresh[row // case.group_size], completion) for row, completion in enumerate(completions)]
        return backward(completion_logprobs(bench.policy, batch).values)

    inputs = repeated_inputs(prompts, case.group_size)
    start = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], completions], 1)
    inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(completions)], 1)

    def repeated() -> Tensor:
        bench.plain.zero_grad(set_to_none=True)
        logits = bench.plain(**inputs, use_cache=False).logits[:, start - 1 : -1]
        return backward(logits.log_softmax(-1).gather(-1, completions[..., None]).flatten())

    return {OURS: ours, "repeated": repeated}
