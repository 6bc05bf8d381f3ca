"""The tiny base in the package is what docs/tiny-world.md says it is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import resources
from pathlib import Path

import pytest
from transformers import Qwen2_5_VLForConditionalGeneration

REPOSITORY = Path(__file__).parents[2]
BASE = Path(str(resources.files("metis_rise") / "assets" / "tiny_base"))
pytestmark = pytest.mark.slow


def test_it_is_the_real_class_and_small():
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(BASE)
    assert 1_000_000 <= model.num_parameters() <= 2_000_000
    assert model.lm_head.weight.data_ptr() != model.get_input_embeddings().weight.data_ptr()
    assert sum(path.stat().st_size for path in BASE.iterdir()) < 5 * 2**20


def test_it_has_the_files_that_transformers_and_vllm_ask_for():
    names = {path.name for path in BASE.iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
    }


def test_it_passes_the_gate_that_it_was_shipped_with(monkeypatch: pytest.MonkeyPatch):
    """Measures anew what the builder measured: the shipped weights, not the builder's word, must pass."""
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "scripts"), *sys.path])
    from base_builder.gate import measure

    report = asdict(measure(BASE))
    assert report["faults"] == []
    written = json.loads((BASE / "gate.json").read_text())
    for name in ("captions", "forced_chain_greedy", "greedy"):
        assert report[name] == pytest.approx(written[name], abs=0.04), name
    assert report["sampled_all"] == pytest.approx(written["sampled_all"], abs=0.04)


@pytest.mark.parametrize(
    ("figure", "family", "value", "said"),
    [
        ("captions", "path", 0.89, "captions of path"),
        ("forced", "dial", 0.42, "forced chains of dial"),
        ("sampled", "all", 0.41, "outside"),
        ("sampled", "angle", 0.05, "held-back angle is solved"),
        ("none", "", 0.0, ""),
    ],
)
def test_the_gate_names_what_misses_it(
    figure: str, family: str, value: float, said: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "scripts"), *sys.path])
    from base_builder import gate

    known, held_back = ("bars", "dial", "shop", "story"), ("path", "angle")
    figures = {
        "captions": dict.fromkeys((*known, *held_back, "all"), 1.0),
        "forced": dict.fromkeys((*known, "all"), 0.9),
        "greedy": dict.fromkeys((*known, *held_back, "all"), 0.3),
        "sampled": dict.fromkeys((*known, "all"), 0.2) | dict.fromkeys(held_back, 0.0),
    }
    if said:
        figures[figure][family] = value
    faults = gate._report(figures, 324).faults
    assert len(faults) == bool(said) and all(said in fault for fault in faults)
