"""The sampling loop: each step draws one token of every row, and new prompts join as rows leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby

import torch
from torch import Tensor

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.choice import Chooser
from metis_rise.engines.decoder import Rotations, hidden_states
from metis_rise.engines.prefix import PromptStates, RowLayout
from metis_rise.engines.rows import Growing, Row
from metis_rise.engines.schedule import Held, Waiting
from metis_rise.policy.layout import KeepingLayout, Spans
from metis_rise.policy.model import Policy
from metis_rise.policy.packing import Block
from metis_rise.policy.prompt import Prompt

# Copying the rows that go on costs about as much as a step, so finished ones are dropped a fifth at a time.
DROP_SHARE = 0.2
# Prompts are read in passes of about so many tokens: enough work for any device, and bounded activations.
PASS_TOKENS = 2048


class Loop:
    """Draws the completions of the requests that `waiting` hands out.

    Attributes:
        under_way: the requests that are read or drawn.
    """

    def __init__(self, policy: Policy, waiting: Waiting) -> None:
        """Nothing is read yet."""
        self._policy, self._waiting = policy, waiting
        self._layout = RowLayout()
        self._rotations = Rotations(policy)
        # Those that take part in each step, in the layout's order; ended ones too, until they are dropped.
        self._rows: list[Row] = []
        self._choosers: dict[SamplingParams, Chooser] = {}
        self._device = policy.device
        self._last_layer = len(policy.core.language_model.layers) - 1
        self.under_way: list[Request] = []
        self._latest = self._positions = torch.empty(0, dtype=torch.long, device=self._device)
        self._logits = torch.empty(0, policy.model.config.text_config.vocab_size, device=self._device)

    @torch.no_grad()
    def run(self) -> list[Growing]:
        """Draw until some request has all its completions; returns such requests, none once all are done."""
        with self._policy.precision():
            while True:
                if any(row.stop is None for row in self._rows):
                    self._step()
                self._turn_over()
                if not self._rows:
                    return []
                if done := self._draw():
                    return done

    # Spares each of some thousand small operations a thirtieth of its time. Prompts are read outside: what is kept of
    # them may be trained on.
    @torch.inference_mode()
    def _step(self) -> None:
        """Logits after the token drawn last."""
        self._layout.advance()
        hidden = hidden_states(self._policy, self._latest, self._rotations.of_text(self._positions), self._layout)
        self._logits = self._policy.model.lm_head(hidden).float()
        self._positions += 1

    @torch.inference_mode()
    def _draw(self) -> list[Growing]:
        """Append a token to every row; returns the requests whose last rows have ended with it."""
        drawn, start = [], 0
        for params, alike in groupby(self._rows, key=lambda row: row.params):
            draws = torch.tensor([row.draw for row in alike], dtype=torch.float64, device=self._device)
            drawn.append(self._chooser(params)(self._logits[start : start + len(draws)], draws))
            start += len(draws)
        self._latest, logprobs = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        ended: list[Growing] = []
        for row, token, logprob in zip(self._rows, self._latest.tolist(), logprobs.tolist(), strict=True):
            if row.stop is None:
                row.append(token, logprob, self._policy.eos_ids)
                if row.stop is not None:
                    ended.append(row.growing)
        return [growing for growing in dict.fromkeys(ended) if growing.ended]

    def _chooser(self, params: SamplingParams) -> Chooser:
        if params not in self._choosers:
            self._choosers[params] = Chooser(params, self._policy.banned_ids, self._device)
        return self._choosers[params]

    def _turn_over(self) -> None:
        """Drop ended rows once they are many, and read the requests that there is then room for."""
        kept = [index for index, row in enumerate(self._rows) if row.stop is None]
        if len(kept) > (1 - DROP_SHARE) * len(self._rows):
            return
        self._rows = [self._rows[index] for index in kept]
        growing = dict.fromkeys(row.growing for row in self._rows)
        limits = [row.params.max_tokens for row in self._rows]
        self.under_way = [each.request for each in growing]
        admitted = self._waiting.admit(Held.of([each.length for each in growing], limits))
        self.under_way += [request for request, _ in admitted]
        if not self._rows and not admitted:
            return
        states, logits = self._read([prompt for _, prompt in admitted])
        self._layout.rearrange(kept, states, [request.n for request, _ in admitted])
        self._keep(kept)
        for (request, prompt), after in zip(admitted, logits, strict=True):
            self._rotations.prepare(prompt.next_position + request.params.max_tokens)
            self._rows += Growing(self._policy, request, prompt).rows
            positions = self._positions.new_full((request.n,), prompt.next_position)
            self._positions = torch.cat([self._positions, positions])
            self._logits = torch.cat([self._logits, after.expand(request.n, -1)])

    def _keep(self, rows: Sequence[int]) -> None:
        chosen = torch.tensor(rows, dtype=torch.long, device=self._device)
        self._positions, self._logits = self._positions[chosen], self._logits[chosen]

    def _read(self, prompts: Sequence[Prompt]) -> tuple[list[PromptStates], list[Tensor]]:
        """Keys and values of each prompt, and the logits [vocabulary] after it; each goes through the model once."""
        states: list[PromptStates] = []
        logits: list[Tensor] = []
        for batch in _passes(prompts):
            starts = list(accumulate((len(prompt) for prompt in batch), initial=0))
            blocks = tuple(Block(start, len(prompt), ()) for start, prompt in zip(starts, batch, strict=False))
            layout = KeepingLayout(Spans(blocks, 0, self._device), self._policy.backend.attend, self._last_layer)
            hidden = hidden_states(
                self._policy,
                torch.cat([prompt.input_ids for prompt in batch]).to(self._device),
                self._rotations.of(torch.cat([prompt.position_ids for prompt in batch], 1).to(self._device)),
                layout,
                self._policy.image_features(batch),
                torch.tensor(starts[1:], device=self._device) - 1,
            )
            logits += self._policy.model.lm_head(hidden).float()
            for block in blocks:
                part = slice(block.start, block.first)
                states.append([(key[0, :, part], value[0, :, part]) for key, value in layout.kept.values()])
        return states, logits


def _passes(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    batch: list[Prompt] = []
    for prompt in prompts:
        if batch and sum(map(len, batch)) + len(prompt) > PASS_TOKENS:
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch
