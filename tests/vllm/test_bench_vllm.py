"""The peer `vllm` of `rise bench rollout` with the real vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from metis_rise.bench.cases import Case
from metis_rise.bench.model import Sizes
from metis_rise.bench.vllm_peer import VllmWorker, vllm_arms
from metis_rise.bench.workbench import Workbench

pytestmark = pytest.mark.vllm

PYTHON = Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python"
CASE = Case(image_tokens=16, completion_tokens=8, group_size=3, prompts=2)
# vLLM's lowest temperature; together with SHARP the likeliest token has all the probability, though completions of a
# group are still drawn one by one.
ALL_BUT_GREEDY = 0.01
SHARP = 1000


@pytest.fixture(scope="module")
def bench() -> Workbench:
    made = Workbench.study(Sizes(64, 2, 2, 1, 96, 1024, 32, 2, 2, 64))
    with torch.no_grad():
        # A random model with tied embeddings repeats its last token, whatever it sees, unless its layers weigh more.
        for name, value in made.policy.model.named_parameters():
            if "proj" in name or "qkv" in name:
                value *= 8
        made.policy.core.language_model.norm.weight *= SHARP
        # Where completions may end they end soon.
        made.policy.model.lm_head.weight[list(made.policy.eos_ids)] *= 40
    return made


@pytest.fixture(scope="module")
def worker(bench: Workbench) -> Iterator[VllmWorker]:
    made = VllmWorker(PYTHON, bench, threads=1)
    yield made
    made.close()


def test_ours_and_vllm_draw_the_same_tokens_from_the_same_pictures(bench: Workbench, worker: VllmWorker):
    arms = vllm_arms(bench, CASE, worker, ALL_BUT_GREEDY)
    rounds = [(arms["ours"](), arms["vllm"]()) for _ in range(2)]
    for ours, theirs in rounds:
        assert theirs.shape == (6, 8) and torch.equal(ours, theirs)
        assert not torch.isin(theirs, torch.tensor(bench.policy.banned_ids)).any()
        assert not torch.equal(ours[0], ours[3]), "prompts must differ for this to mean anything"
    assert not torch.equal(rounds[0][0], rounds[1][0]), "pictures are new in every round"
