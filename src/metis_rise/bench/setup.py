"""How the arms of a measurement are made, here or in a process of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from metis_rise.bench.cases import Arms, Case, Kind
from metis_rise.bench.model import STUDY, Sizes
from metis_rise.bench.rollout import rollout_arms
from metis_rise.bench.sft import sft_arms
from metis_rise.bench.update import update_arms
from metis_rise.bench.workbench import Workbench
from metis_rise.policy.loading import TINY


@dataclass(frozen=True, slots=True)
class Setup:
    """What is measured, besides the case.

    trl: with the loss step of TRL's own trainer.
    threads: that torch computes with.
    spec: the model that is sampled from.
    sizes: of the model that is trained.
    """

    kind: Kind
    trl: bool = False
    threads: int = 1
    spec: str | Path = TINY
    sizes: Sizes = STUDY

    def workbench(self) -> Workbench:
        """The models; sets torch's threads for good."""
        torch.set_num_threads(self.threads)
        return Workbench.load(self.spec) if self.kind == "rollout" else Workbench.study(self.sizes)

    def arms(self, bench: Workbench, case: Case) -> Arms:
        """The arms on `case`, ours first."""
        if self.kind == "rollout":
            return rollout_arms(bench, case)
        return (update_arms if self.kind == "update" else sft_arms)(bench, case, trl=self.trl)
