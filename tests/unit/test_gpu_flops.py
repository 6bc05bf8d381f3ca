"""The operations that benchmarks/gpu_update.py divides by time, against what torch counts while a model runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

PROMPT, COMPLETION = 40, 11
# 16 and 30 image tokens; the second one's last windows are cut off.
GRIDS = [[1, 8, 8], [1, 10, 12]]


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    from gpu.shapes import SMALL, make_config

    return make_config(SMALL)


@pytest.fixture
def model(config: Any) -> Any:
    """With eager attention, whose products torch counts as they are; it does not know the CPU's fused kernel."""
    from gpu.shapes import make_model

    made = make_model(config, torch.device("cpu"), torch.float32)
    made.set_attn_implementation("eager")
    return made


def run(model: Any, pixels: Tensor) -> Tensor:
    """One prompt and completion through the language model, the head at the completion, the tower beside it."""
    hidden = model.model.language_model(torch.zeros(1, PROMPT + COMPLETION, dtype=torch.long)).last_hidden_state
    features = model.model.get_image_features(pixels, torch.tensor(GRIDS), return_dict=True).pooler_output
    logits: Tensor = model.lm_head(hidden[0, -COMPLETION - 1 : -1])
    return logits.sum() + torch.cat(list(features)).sum()


def hidden_pairs(config: Any) -> int:
    """What eager attention multiplies and masks out: the upper triangle."""
    tokens, text = PROMPT + COMPLETION, config.text_config
    return 4 * text.hidden_size * text.num_hidden_layers * tokens * (tokens - 1) // 2


def test_forward_is_what_torch_counts(config: Any, model: Any) -> None:
    from gpu.flops import forward_flops

    pixels = torch.randn(sum(h * w for _, h, w in GRIDS), 1176)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run(model, pixels)
    expected = forward_flops(config, PROMPT, [COMPLETION], GRIDS) + hidden_pairs(config)
    # Beyond that torch sees the angles of rotary embedding, made by a product.
    assert expected <= counter.get_total_flops() < 1.001 * expected


def test_training_is_three_times_that(config: Any, model: Any) -> None:
    from gpu.flops import TRAINING, forward_flops

    pixels = torch.randn(sum(h * w for _, h, w in GRIDS), 1176)
    with FlopCounterMode(display=False) as counter:
        run(model, pixels).backward()
    vision = config.vision_config
    # Nobody wants the gradient of the pixels, nor that of an embedding's table by a product.
    pixels_slope = 2 * pixels.numel() * vision.hidden_size
    expected = TRAINING * (forward_flops(config, PROMPT, [COMPLETION], GRIDS) + hidden_pairs(config)) - pixels_slope
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-3)


def test_completions_share_their_prompt(config: Any) -> None:
    from gpu.flops import attention_pairs, forward_flops

    assert attention_pairs(3, []) == 6
    # Two tokens and one token after a prompt of three: (4 + 5) + 4 more.
    assert attention_pairs(3, [2, 1]) == 6 + 9 + 4
    one, two, none = (forward_flops(config, PROMPT, lengths, []) for lengths in ([5], [5, 5], []))
    assert two - one == one - none > 0


def test_seven_billion_parameters_come_to_the_figures_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """TFLOP by hand: 5.6 for the picture, 14.9 for a prompt of 1124 tokens, 15.2 for 1024 new ones."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    from gpu.flops import forward_flops, vision_flops
    from gpu.shapes import SEVEN_B, make_config

    config = make_config(SEVEN_B)
    prompt = forward_flops(config, 1124, [], [])
    assert vision_flops(config.vision_config, [[1, 64, 64]]) / 1e12 == pytest.approx(5.6, abs=0.3)
    assert prompt / 1e12 == pytest.approx(14.9, abs=0.3)
    assert (forward_flops(config, 1124, [1024], []) - prompt) / 1e12 == pytest.approx(15.2, abs=0.4)
