"""Who works on a loaded model: this process, or all processes of a team (`stages/team`).

Stages ask for work through these two interfaces and do not know how many processes do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from metis_rise.policy import checkpoint
from metis_rise.policy.forward import Row, row_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.policy.room import Room
from metis_rise.stages.passes import (
    Completion,
    Job,
    Sample,
    Sums,
    Taught,
    reference_logprobs,
    rows_of,
    teach_passes,
    update_passes,
)
from metis_rise.stages.prompts import Prompts


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """Settings of AdamW: see `Optimizer`."""

    weight_decay: float
    max_grad_norm: float
    adam_beta2: float
    vision_lr_factor: float = 1.0


class Training(Protocol):
    """A model in training: its optimizer, and checkpoints to go on from."""

    @property
    def skipped(self) -> int:
        """Updates refused because loss or gradient was not finite."""
        ...

    @property
    def skipped_in_row(self) -> int:
        """Those since the last update that was made."""
        ...

    def step(self, lr: float, loss: float) -> float:
        """See `Optimizer.step`."""
        ...

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """See `checkpoint.save_training`."""
        ...

    def load(self, folder: Path) -> dict[str, Any]:
        """See `checkpoint.load_training`."""
        ...


class Hands(Protocol):
    """What can be done with a loaded model besides sampling from it.

    The gradients of `update` or `teach` wait for `Training.step`, which comes before the next ones. Where passes do not
    fit into memory see `Room.fit`.
    """

    @property
    def policy(self) -> Policy:
        """The model, or this process's part of it: for its tokenizer, its settings and its version."""
        ...

    @property
    def prompts(self) -> Prompts:
        """Encodes problems for it."""
        ...

    def training(self, settings: OptimizerSettings) -> Training:
        """An optimizer for what the policy trains."""
        ...

    @property
    def data_waited(self) -> float:
        """Seconds that work, sampling included, has waited for prompts with their pictures so far."""
        ...

    def expect(self, completions: Sequence[Completion]) -> None:
        """Says what will be taught next, so that its pictures are there by then."""
        ...

    def update(self, samples: Sequence[Sample], job: Job, reference: Policy | None) -> Sums:
        """Gradients of an update, and its figures; `reference` is of other hands, see `reference_logprobs`."""
        ...

    def teach(self, completions: Sequence[Completion], budget: int) -> Taught:
        """Gradients of the mean negative log-likelihood per token, and that mean."""
        ...

    def logprobs(self, completions: Sequence[Completion], temperature: float, budget: int) -> list[Tensor]:
        """Log-probabilities [C] float32 of each completion, without gradient."""
        ...

    def save(self, folder: Path) -> None:
        """See `Policy.save`."""
        ...

    def load_weights(self, folder: Path) -> None:
        """See `checkpoint.load_weights`."""
        ...

    def close(self) -> None:
        """Lets go of the model."""
        ...


@dataclass(frozen=True, slots=True)
class OwnTraining:
    """Training by this process."""

    policy: Policy
    optimizer: Optimizer

    @property
    def skipped(self) -> int:
        """See `Training`."""
        return self.optimizer.skipped

    @property
    def skipped_in_row(self) -> int:
        """See `Training`."""
        return self.optimizer.skipped_in_row

    def step(self, lr: float, loss: float) -> float:
        """See `Training`."""
        return self.optimizer.step(lr, loss)

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """See `Training`."""
        checkpoint.save_training(folder, self.policy, self.optimizer, state)

    def load(self, folder: Path) -> dict[str, Any]:
        """See `Training`."""
        return checkpoint.load_training(folder, self.policy, self.optimizer)


@dataclass(frozen=True, slots=True)
class OwnHands:
    """Work by this process: all of it where there is one, its share where there are several."""

    policy: Policy
    prompts: Prompts
    room: Room = field(default_factory=Room)

    def training(self, settings: OptimizerSettings) -> OwnTraining:
        """See `Hands`."""
        optimizer = Optimizer(
            self.policy,
            weight_decay=settings.weight_decay,
            max_grad_norm=settings.max_grad_norm,
            vision_lr_factor=settings.vision_lr_factor,
            betas=(0.9, settings.adam_beta2),
        )
        return OwnTraining(self.policy, optimizer)

    @property
    def data_waited(self) -> float:
        """See `Hands`."""
        return self.prompts.waited

    def expect(self, completions: Sequence[Completion]) -> None:
        """See `Hands`."""
        self.prompts.expect(completion.problem for completion in completions)

    def update(self, samples: Sequence[Sample], job: Job, reference: Policy | None) -> Sums:
        """See `Hands`."""
        rows = self._rows([sample.completion for sample in samples])
        references = reference_logprobs(self.policy, reference, rows, job, self.room)
        return update_passes(self.policy, rows, samples, references, job, self.room)

    def teach(self, completions: Sequence[Completion], budget: int) -> Taught:
        """See `Hands`."""
        return self.teach_share(completions, budget, sum(len(each.tokens) for each in completions))

    def teach_share(self, completions: Sequence[Completion], budget: int, total: int) -> Taught:
        """`teach` with a share of the completions, which have `total` tokens in all."""
        return teach_passes(self.policy, self._rows(completions), budget, total, self.room)

    def logprobs(self, completions: Sequence[Completion], temperature: float, budget: int) -> list[Tensor]:
        """See `Hands`."""
        return row_logprobs(self.policy, self._rows(completions), temperature, budget, self.room)

    def save(self, folder: Path) -> None:
        """See `Hands`."""
        self.policy.save(folder)

    def load_weights(self, folder: Path) -> None:
        """See `Hands`."""
        checkpoint.load_weights(folder, self.policy)

    def close(self) -> None:
        """See `Hands`: the memory goes with the last reference."""
        self.prompts.close()

    def _rows(self, completions: Sequence[Completion]) -> list[Row]:
        self.expect(completions)
        return rows_of(self.prompts, completions)
