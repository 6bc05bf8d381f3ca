"""What everybody writes first: every prompt and picture repeated for every completion, padded, all logits at once.

The reference of the parity tests: it shares nothing with `metis_rise.policy` but the model's own forward.
"""

from __future__ import annotations

from collections.abc import Sequence

import tiny
import torch
from torch import Tensor, nn

from metis_rise.policy.forward import Row
from metis_rise.policy.model import Policy


def padded_logprobs(policy: Policy, rows: Sequence[Row], temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities and entropies [rows, longest], right-padded with zeros, and where they are real."""
    prompts, completions = [prompt for prompt, _ in rows], [completion for _, completion in rows]
    ids = [torch.cat(row) for row in zip([p.input_ids for p in prompts], completions, strict=True)]
    kinds = [torch.cat([p.mm_token_type_ids, torch.zeros_like(c)]) for p, c in rows]
    pad = nn.utils.rnn.pad_sequence
    pixels = [p.pixel_values for p in prompts if p.pixel_values is not None]
    grids = [p.image_grid_thw for p in prompts if p.image_grid_thw is not None]
    policy.core.rope_deltas = None
    logits = policy.model(
        input_ids=pad(ids, batch_first=True, padding_value=policy.pad_id),
        attention_mask=pad([torch.ones_like(i) for i in ids], batch_first=True),
        mm_token_type_ids=pad(kinds, batch_first=True),
        use_cache=False,
        **({"pixel_values": torch.cat(pixels), "image_grid_thw": torch.cat(grids)} if pixels else {}),
    ).logits.float()
    real = torch.arange(max(map(len, completions))) < torch.tensor([len(c) for c in completions])[:, None]
    values, entropy = [], []
    for row, (prompt, completion) in enumerate(rows):
        log_probs = (logits[row, len(prompt) - 1 : len(ids[row]) - 1] / temperature).log_softmax(-1)
        values.append(log_probs[range(len(completion)), completion])
        entropy.append(torch.distributions.Categorical(logits=log_probs).entropy())
    return pad(values, batch_first=True), pad(entropy, batch_first=True), real


def naive_logprobs(policy: Policy, rows: Sequence[Row], temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [N], row after row."""
    values, entropy, real = padded_logprobs(policy, rows, temperature)
    return values[real], entropy[real]


def take_gradients(policy: Policy) -> dict[str, Tensor]:
    """The gradients of what is trained, taken away from the model."""
    found = {name: value.grad for name, value in policy.named_trainable() if value.grad is not None}
    policy.model.zero_grad(set_to_none=True)
    return {name: grad.clone() for name, grad in found.items()}


def relative_error(got: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest |got - expected| / |expected| over all parameters."""
    assert got.keys() == expected.keys() and expected
    return max(float((got[name] - grad).norm() / grad.norm().clamp(min=1e-8)) for name, grad in expected.items())


def short_rows(policy: Policy) -> list[Row]:
    """Four short completions, of a prompt with a picture and of one without."""
    prompts = [
        policy.encode(tiny.message("How many red dots?", 1), [tiny.picture(1)]),
        policy.encode(tiny.message("What is 3 + 14?")),
    ]
    draw = torch.Generator().manual_seed(1)
    return [(prompts[o], torch.randint(8, 300, (n,), generator=draw)) for o, n in ((0, 5), (0, 9), (1, 1), (1, 7))]
