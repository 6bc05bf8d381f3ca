"""One step of supervised fine-tuning without its optimizer: forward, mean loss of completion tokens, backward."""

from __future__ import annotations

from torch import Tensor

from metis_rise.bench import trl_steps
from metis_rise.bench.cases import Arms, Case
from metis_rise.bench.peers import training_arms
from metis_rise.bench.workbench import Workbench


def sft_arms(bench: Workbench, case: Case, *, trl: bool = False) -> Arms:
    """See `training_arms`; with `trl` also TRL's own loss step, "trl", which has a model of its own."""
    rows = bench.rows(case)
    arms = dict(training_arms(bench, rows, mean_loss))
    if trl:
        arms["trl"] = trl_steps.sft_step(bench, rows)
    return arms


def mean_loss(values: Tensor) -> Tensor:
    """The mean negative log-likelihood."""
    return -values.mean()
