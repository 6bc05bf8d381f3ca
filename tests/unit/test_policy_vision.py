from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from metis_rise.policy import vision
from metis_rise.policy.features import encode_pictures
from metis_rise.policy.loading import load_model
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"), request.param)


def prompts(policy: Policy) -> list[Prompt]:
    """Pictures whose windows differ in size, within a picture and between them."""
    sizes = [(112, 112), (200, 140), (57, 180)]
    shown = [tiny.picture(seed, *size) for seed, size in enumerate(sizes)]
    return [policy.encode(tiny.message("What?", 3), shown), policy.encode(tiny.message("Q", 1), [shown[0]])]


def features_and_gradient(core: Any, prompt: Prompt) -> tuple[Tensor, list[Tensor]]:
    features = torch.cat(encode_pictures(core, [(patches, grid) for _, patches, grid in prompt.pictures()], CPU), 1)
    weight = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    trained = [value for value in core.visual.parameters() if value.requires_grad]
    return features.detach(), list(torch.autograd.grad((features * weight).sum(), trained))


def test_features_and_gradients_are_those_of_transformers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, plain = Policy.load(folder, freeze_vision=False), load_model(folder, torch.float32).eval()
    assert plain.model.visual.config._attn_implementation == "sdpa"
    seen: list[list[int]] = []
    ours = vision.F.scaled_dot_product_attention
    monkeypatch.setattr(
        vision.F,
        "scaled_dot_product_attention",
        lambda q, *a, **k: seen.append(list(q.shape)) or ours(q, *a, **k),
    )
    for prompt in prompts(policy):
        got, gradients = features_and_gradient(policy.core, prompt)
        calls = len(seen)
        expected, wanted = features_and_gradient(plain.model, prompt)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradients, wanted, atol=1e-3, rtol=1e-4)
        assert calls <= len(seen) - calls, "no more calls than transformers makes"
        seen.clear()


def test_windows_alike_are_one_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, shapes = Policy.load(folder), []
    ours = vision.F.scaled_dot_product_attention
    monkeypatch.setattr(
        vision.F,
        "scaled_dot_product_attention",
        lambda q, *a, **k: shapes.append(q.shape[0]) or ours(q, *a, **k),
    )
    pictures = [policy.encode(tiny.message("Q", 1), [tiny.picture(seed)]) for seed in range(4)]
    policy.image_features(pictures)
    depth = len(policy.core.visual.blocks)
    assert len(shapes) == depth and set(shapes) == {4}, "four pictures of one size: one call per layer"


def test_on_cuda_everything_goes_to_the_kernel_with_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 3, 14, 8, generator=generator) for _ in range(3))
    bounds = torch.tensor([0, 4, 8, 14])

    def kernel(q: Tensor, k: Tensor, v: Tensor, first: Tensor, second: Tensor, *longest: int, scale: float) -> Tensor:
        assert first.dtype == torch.int32 and torch.equal(first, second) and longest == (6, 6)
        pieces = zip(first[:-1].tolist(), first[1:].tolist(), strict=True)
        return torch.cat(
            [
                torch.einsum("hqk,khd->qhd", (torch.einsum("qhd,khd->hqk", q[a:b], k[a:b]) * scale).softmax(-1), v[a:b])
                for a, b in pieces
            ]
        )

    monkeypatch.setattr(vision.varlen, "varlen_attn", kernel)
    expected, _ = vision.attend_windows(
        torch.nn.Identity(), query, key, value, None, scaling=0.3, cu_seq_lens_q=bounds, max_length_q=6
    )
    states = [tensor[0] for tensor in (query, key, value)]
    got = vision._on_cuda(states, bounds.to(torch.int32), 6, 0.3)
    torch.testing.assert_close(got, expected)
