"""The arms of `rise bench step` take the same step, and all of it."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metis_rise.bench import trl_steps
from metis_rise.bench.cases import Arms, Case
from metis_rise.bench.model import Sizes
from metis_rise.bench.step import CONFIG, own_step, right, step_arms
from metis_rise.bench.workbench import TEXT_TOKENS, Workbench
from metis_rise.engines.base import Request
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.forward import row_logprobs
from metis_rise.types import Group, StopReason, Trajectory

CASE = Case(image_tokens=16, completion_tokens=6, group_size=4)
PATCHES = 16 * 4


@pytest.fixture
def bench() -> Workbench:
    return Workbench.study(Sizes(64, 2, 2, 1, 96, 1024, 32, 2, 2, 64))


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """TRL's trainers that a test makes."""
    made: list[Any] = []
    whole = trl_steps._trainer
    monkeypatch.setattr(trl_steps, "_trainer", lambda *a, **k: made.append(whole(*a, **k)) or made[-1])
    return made


@pytest.fixture
def arms(bench: Workbench, trainers: list[Any]) -> Arms:
    return step_arms(bench, CASE)


def replayed(tokens: Tensor) -> Any:
    """`NativeEngine.sample` that draws `tokens` [G, C], with the log-probabilities of its policy."""

    def sample(engine: NativeEngine, requests: Sequence[Request]) -> Iterator[Group]:
        (request,) = requests
        prompt = engine.encode(request.problem)
        logprobs = row_logprobs(engine.policy, [(prompt, row) for row in tokens], 1.0, 10_000)
        yield Group(
            request.problem,
            tuple(
                Trajectory(request.problem.id, i, "", tuple(row.tolist()), tuple(values.tolist()), StopReason.LENGTH)
                for i, (row, values) in enumerate(zip(tokens, logprobs, strict=True))
            ),
        )

    return sample


def test_arms_take_the_same_step_on_the_same_completions(
    bench: Workbench, arms: Arms, trainers: list[Any], monkeypatch: pytest.MonkeyPatch
):
    models: dict[str, nn.Module] = {"trl": trainers[0].model, "ours": bench.policy.model}
    slopes: dict[str, dict[str, Tensor]] = {}
    norms = {}
    whole = torch.optim.AdamW.step
    for name, model in models.items():

        def step(optimizer: Any, *args: Any, name: str = name, model: nn.Module = model) -> Any:
            slopes[name] = {key: value.grad.clone() for key, value in model.named_parameters()}
            return whole(optimizer, *args)

        monkeypatch.setattr(torch.optim.AdamW, "step", step)
        norms[name] = float(arms[name]())
        if name == "trl":
            (batch,) = trainers[0]._buffered_inputs
            monkeypatch.setattr(NativeEngine, "sample", replayed(batch["completion_ids"]))
    assert {right(row) for row in batch["completion_ids"].tolist()} == {True, False}
    assert norms["trl"] > CONFIG.max_grad_norm, "it must be clipped for this to mean anything"
    assert norms["ours"] == pytest.approx(norms["trl"], rel=1e-4)
    total = max(value.norm() for value in slopes["trl"].values())
    for name, wanted in slopes["trl"].items():
        assert (slopes["ours"][name] - wanted).norm() <= 1e-4 * max(wanted.norm(), 1e-2 * total), name


def test_our_pictures_are_gone_when_the_arm_is(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arm = own_step(bench, CASE)
    arm()
    (folder,) = tmp_path.glob("rise-bench-*")
    assert len(list(folder.iterdir())) == 1
    del arm
    gc.collect()
    assert not folder.exists()


def test_prompts_are_the_same_in_both(bench: Workbench, arms: Arms, trainers: list[Any]):
    arms["trl"]()
    (batch,) = trainers[0]._buffered_inputs
    (prompt,) = bench.prompts(CASE)
    assert len(prompt) == 16 + TEXT_TOKENS
    assert batch["prompt_ids"].tolist() == [prompt.input_ids.tolist()] * 4
    assert torch.equal(batch["pixel_values"], prompt.pixel_values.repeat(4, 1))


def test_every_round_does_the_whole_work(
    bench: Workbench, arms: Arms, trainers: list[Any], monkeypatch: pytest.MonkeyPatch
):
    """Sampling and update each encode the picture: ours once, TRL once per completion; every picture is new."""
    models = {"ours": bench.policy.model, "trl": trainers[0].model}
    prompt, new = 16 + TEXT_TOKENS, CASE.completion_tokens
    # Prefill, one pass per further token, update; the last token drawn is not read again while sampling.
    expected = {
        "ours": [prompt, *[4] * (new - 1), prompt + 4 * new],
        "trl": [4 * prompt, *[4] * (new - 1), 4 * (prompt + new)],
    }
    copies = {"ours": 1, "trl": 4}
    for name, arm in arms.items():
        model, pixels, tokens = models[name].model, [], []
        query, visual = model.language_model.layers[0].self_attn.q_proj, model.visual
        see, read = visual.forward, query.forward
        with monkeypatch.context() as patched:
            patched.setattr(visual, "forward", lambda p, *a, see=see, to=pixels, **k: to.append(p) or see(p, *a, **k))
            patched.setattr(query, "forward", lambda h, read=read, to=tokens: to.append(h[..., 0].numel()) or read(h))
            before = {key: value.clone() for key, value in models[name].named_parameters()}
            norms = [arm() for _ in range(2)]
        assert tokens == expected[name] * 2, name
        assert [len(each) for each in pixels] == [copies[name] * PATCHES] * 4, name
        assert torch.equal(pixels[0], pixels[1]) and not torch.equal(pixels[1], pixels[2]), name
        assert all(float(norm) > 0 for norm in norms), name
        still = [key for key, value in models[name].named_parameters() if torch.equal(value, before[key])]
        assert still == [] and all(value.grad is None for value in models[name].parameters()), name


def test_completions_have_their_full_length(bench: Workbench, arms: Arms, trainers: list[Any]):
    with torch.no_grad():
        for model in (bench.policy.model, trainers[0].model):
            model.lm_head.weight[list(bench.policy.eos_ids)] *= 40
    arms["trl"]()
    (batch,) = trainers[0]._buffered_inputs
    assert batch["completion_mask"].all() and batch["completion_ids"].shape == (4, 6)
    assert not torch.isin(batch["completion_ids"], torch.tensor(bench.policy.banned_ids)).any()


def test_half_of_completions_are_right():
    assert [right(tokens) for tokens in ([1, 2, 3], [1, 2], [5], [4])] == [True, False, False, True]
