"""The sampling loop over one batch of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metis_rise.engines.choice import Chooser
from metis_rise.engines.prefix import Decode, Prefill
from metis_rise.policy.features import as_encoder_outputs
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt

# Copying the rows that go on costs about as much as a step, so finished ones are dropped a fifth at a time.
DROP_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Completion:
    """Token ids, the end token included where it was drawn, and their log-probabilities."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


@torch.no_grad()
def generate(
    policy: Policy, prompts: Sequence[Prompt], counts: Sequence[int], draws: Tensor, choose: Chooser
) -> list[Completion]:
    """Complete prompt i counts[i] times; rows in that order.

    Args:
        policy: what is sampled from.
        prompts: B prompts.
        counts: completions per prompt, R in all.
        draws: [R, tokens] float64, the random numbers; their width is where completions are cut.
        choose: picks tokens from logits.
    """
    device = policy.device
    prompt_of = torch.arange(len(prompts)).repeat_interleave(torch.tensor(counts)).to(device)
    prefill = Prefill()
    with policy.precision():
        first = _prefill(policy, prompts, prefill)[prompt_of]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        positions = torch.tensor([prompt.next_position for prompt in prompts], device=device)[prompt_of]
        return _Loop(policy, Decode(prefill, lengths, prompt_of), positions, draws.to(device), choose).run(first)


def _prefill(policy: Policy, prompts: Sequence[Prompt], layout: Prefill) -> Tensor:
    """Logits [B, vocabulary] after each prompt; each goes through the model once."""
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    width = int(lengths.max())
    ids = torch.full((len(prompts), width), policy.pad_id)
    positions = torch.zeros(3, len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)], positions[:, row, : len(prompt)] = prompt.input_ids, prompt.position_ids
    output = policy.core(
        input_ids=ids.to(policy.device),
        position_ids=positions.to(policy.device),
        mm_encoder_outputs=as_encoder_outputs(policy.image_features(prompts)),
        rise_layout=layout,
        use_cache=False,
    )
    last = output.last_hidden_state[torch.arange(len(prompts)), lengths - 1]
    logits: Tensor = policy.model.lm_head(last)
    return logits


class _Loop:
    """State of the rows of one batch while they are drawn."""

    def __init__(self, policy: Policy, layout: Decode, positions: Tensor, draws: Tensor, choose: Chooser) -> None:
        self.policy, self.layout, self.choose = policy, layout, choose
        self.positions = positions
        self.draws = draws
        self.ends = torch.tensor(policy.eos_ids, device=policy.device)
        self.rows = torch.arange(len(draws), device=policy.device)
        self.open = torch.ones(len(draws), dtype=torch.bool, device=policy.device)
        self.tokens = torch.zeros(draws.shape, dtype=torch.long, device=policy.device)
        self.logprobs = torch.zeros(draws.shape, device=policy.device)
        self.lengths = torch.full((len(draws),), draws.shape[1], device=policy.device)

    def run(self, logits: Tensor) -> list[Completion]:
        """Draw until every row has ended; `logits` [R, vocabulary] are those after the prompts."""
        limit = self.draws.shape[1]
        for step in range(limit):
            latest, logp = self.choose(logits, self.draws[self.rows, step])
            self.tokens[self.rows, step], self.logprobs[self.rows, step] = latest, logp
            ended = self.open & torch.isin(latest, self.ends)
            self.lengths[self.rows[ended]] = step + 1
            self.open &= ~ended
            going = int(self.open.sum())
            if not going or step + 1 == limit:
                break
            if going <= (1 - DROP_SHARE) * len(self.open):
                latest = latest[self._drop_finished()]
            logits = self._forward(latest, step)
        return self._completions()

    def _drop_finished(self) -> Tensor:
        kept = self.open.nonzero()[:, 0]
        self.layout.keep(kept)
        self.rows, self.positions, self.open = self.rows[kept], self.positions[kept], self.open[kept]
        return kept

    def _forward(self, latest: Tensor, step: int) -> Tensor:
        self.layout.advance()
        core = self.policy.core
        hidden = core.language_model(
            inputs_embeds=core.get_input_embeddings()(latest[:, None]),
            position_ids=(self.positions + step)[None, :, None].expand(3, -1, -1),
            rise_layout=self.layout,
            use_cache=False,
        ).last_hidden_state
        logits: Tensor = self.policy.model.lm_head(hidden[:, 0])
        return logits

    def _completions(self) -> list[Completion]:
        rows = zip(self.tokens.tolist(), self.logprobs.tolist(), self.lengths.tolist(), strict=True)
        return [Completion(tuple(tokens[:n]), tuple(logprobs[:n])) for tokens, logprobs, n in rows]
