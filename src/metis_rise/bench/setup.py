"""How the arms of a measurement are made, here or in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from metis_rise.bench.cases import Arms, Case, Kind
from metis_rise.bench.model import STUDY, Sizes
from metis_rise.bench.rollout import rollout_arms
from metis_rise.bench.sft import sft_arms
from metis_rise.bench.update import update_arms
from metis_rise.bench.vllm_peer import VllmWorker, pin, vllm_arms
from metis_rise.bench.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Setup:
    """What is measured, besides the case.

    trl: with the loss step of TRL's own trainer.
    threads: that torch computes with.
    vllm_python: the Python of vLLM's environment, where vLLM is the peer.
    sizes: of the model.
    """

    kind: Kind
    trl: bool = False
    threads: int = 1
    vllm_python: Path | None = None
    sizes: Sizes = STUDY

    def workbench(self) -> Workbench:
        """The models; sets torch's threads for good."""
        torch.set_num_threads(self.threads)
        return Workbench.study(self.sizes)

    @contextmanager
    def worker(self, bench: Workbench) -> Iterator[VllmWorker | None]:
        """The process that vLLM runs in, if it is the peer; this one is pinned then, for good."""
        if self.vllm_python is None:
            yield None
            return
        pin(self.threads)
        worker = VllmWorker(self.vllm_python, bench, self.threads)
        try:
            yield worker
        finally:
            worker.close()

    def arms(self, bench: Workbench, case: Case, worker: VllmWorker | None = None) -> Arms:
        """The arms on `case`, ours first."""
        if self.kind == "rollout":
            return rollout_arms(bench, case) if worker is None else vllm_arms(bench, case, worker)
        if self.kind == "step":
            # The stages bring in the whole method, which the other measurements' processes have no use for.
            from metis_rise.bench.step import step_arms

            return step_arms(bench, case)
        return (update_arms if self.kind == "update" else sft_arms)(bench, case, trl=self.trl)
