"""benchmarks/gpu_rl_step.py where there is no GPU: the tiny model on the CPU, everything but a GPU's figures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from metis_rise.cluster.facts import facts_of, find_facts
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "benchmarks"), *sys.path])
    import gpu_rl_step

    return gpu_rl_step


def test_the_tiny_model_does_all_of_it_and_every_figure_is_written(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.json"
    assert script.main(["--tiny", "--rounds", "2", "--seconds", "36000", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["rounds"] == len(found["gradient_norms"]) == 2 and found["notes"] == []
    assert all(norm > 0 for norms in found["gradient_norms"] for norm in norms.values())
    parts = found["parts"]
    # 4 problems of 80 tokens with 4 answers of 16 each; 8 examples of 80 + 16.
    tokens = {"sampling": 256, "update": 256 + 320, "SFT step": 768, "RL step": 256}
    assert {name: part["tokens"] for name, part in parts.items()} == tokens
    for name, part in parts.items():
        for kind in ("measured", "planned"):
            assert part["tokens_per_second"][kind] == pytest.approx(tokens[name] / part["seconds"][kind], rel=0.01)
    for kind in ("measured", "planned"):
        both = parts["sampling"]["seconds"][kind] + parts["update"]["seconds"][kind]
        assert parts["RL step"]["seconds"][kind] == pytest.approx(both, abs=1e-4)
    memory = found["memory"]
    assert memory["planned"]["total_mb"] > 0 and set(memory["measured"]) == {"tensors_mb", "reserved_mb", "outside_mb"}
    said = capsys.readouterr().out
    assert "plan: measured here: cpu" in said and "memory in MiB: plan " in said


def test_time_that_is_up_is_said(script: ModuleType, tmp_path: Path):
    out = tmp_path / "out.json"
    assert script.main(["--tiny", "--rounds", "2", "--seconds", "0", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["rounds"] == 1
    assert "1 of 2 rounds, time was up" in found["notes"] and len(found["notes"]) == 2


def test_memory_that_runs_out_is_said_with_what_was_measured(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from gpu.steps import Steps

    def exhausted(*_: Any) -> float:
        raise torch.OutOfMemoryError("tried to allocate\nmuch")

    monkeypatch.setattr(Steps, "_tune", exhausted)
    out = tmp_path / "out.json"
    assert script.main(["--tiny", "--json", str(out)]) == 1
    found = json.loads(out.read_text())
    assert found["notes"] == ["out of memory: SFT step (tried to allocate)"]
    assert found["parts"]["update"]["seconds"]["measured"] > 0
    assert found["parts"]["SFT step"]["seconds"]["measured"] is None


@pytest.mark.parametrize(
    ("device", "gib", "arguments", "said"),
    [
        (None, 0, [], "torch finds no CUDA GPU; --tiny does the same"),
        ("NVIDIA RTX A2000", 12, [], "no data sheet of NVIDIA RTX A2000; --gpu names the one"),
        ("NVIDIA L40S", 44, [], "NVIDIA L40S has 44 GiB; by `rise plan` this needs 6"),
        ("NVIDIA RTX A2000", 12, ["--gpu", "h100-80gb"], "NVIDIA RTX A2000 has 12 GiB"),
    ],
)
def test_where_it_cannot_run_a_line_says_why(
    device: str | None,
    gib: int,
    arguments: list[str],
    said: str,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    class Properties:
        total_memory = gib * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: device is not None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: device)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    assert script.main(arguments) == 2
    heard = capsys.readouterr()
    assert said in heard.err and len(heard.err.splitlines()) == 1 and heard.out == ""


def test_data_sheets_go_by_the_names_of_devices(script: ModuleType):
    from gpu.planned import sheet_of

    assert sheet_of("NVIDIA H100 80GB HBM3") == "h100-80gb"
    assert (sheet_of("NVIDIA A100-SXM4-80GB"), sheet_of("NVIDIA A100-PCIE-40GB")) == ("a100-80gb", "a100-40gb")
    # Half of one, and a card that is slower.
    assert (sheet_of("NVIDIA A100-SXM4-80GB MIG 3g.40gb"), sheet_of("NVIDIA H100 PCIe")) == (None, None)


def test_the_model_has_the_published_dimensions(script: ModuleType):
    from gpu.subject import THREE_B, _config

    from metis_rise.policy.loading import TINY, find_folder
    from metis_rise.policy.processor import load_processor

    config = _config(THREE_B.model, load_processor(find_folder(TINY)).tokenizer)
    made, published = facts_of(config.to_dict(), "made"), find_facts("Qwen/Qwen2.5-VL-3B-Instruct")
    assert (made.text, made.vision) == (published.text, published.vision)


def test_completions_have_the_length_that_the_plan_is_asked_for(script: ModuleType):
    from gpu.subject import SMALL, Subject, recipe_of

    subject = Subject(SMALL, recipe_of(SMALL, None))
    with subject.problems(3) as problems:
        requests = [Request(problem, 4, SamplingParams(max_tokens=16)) for problem in problems]
        groups = list(NativeEngine(subject.policy, subject.prompts).sample(requests))
        pixels = [subject.prompts(problem).pixel_values for problem in problems]
    assert set(subject.policy.eos_ids) <= set(subject.policy.banned_ids)
    assert [len(t.tokens) for group in groups for t in group.trajectories] == [16] * 12
    assert not torch.equal(pixels[0], pixels[1])
    assert {len(answer) for answer in subject.answers(5)} == {16}
    assert not set(torch.cat(subject.answers(5)).tolist()) & set(subject.policy.banned_ids)


def test_the_document_says_what_the_plan_says_of_an_h100(script: ModuleType):
    from gpu.planned import memory_of, plan_of, seconds_of
    from gpu.subject import THREE_B, recipe_of

    plan = plan_of(THREE_B, recipe_of(THREE_B, "h100-80gb"))
    sampling, update, tuning = seconds_of(plan, THREE_B).values()
    memory = memory_of(plan)
    said = (
        f"For an H100 the plan says {sampling:.1f} s, {update:.1f} s and {tuning:.1f} s, "
        f"{memory['tensors_mb'] / 1024:.0f} GiB of tensors and {memory['total_mb'] / 1024:.0f} GiB in all."
    )
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert said in " ".join(text.split())
