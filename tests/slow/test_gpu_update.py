"""benchmarks/gpu_update.py where there is no GPU: small, on the CPU, everything but the figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from metis_rise.policy import attention, vision
from metis_rise.policy.backends import cascade
from metis_rise.policy.layout import Spans
from metis_rise.policy.packing import Row

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# The time is no matter but where a test says so.
SMALL = ("--device", "cpu", "--shape", "small", "--seconds", "36000")
pytestmark = pytest.mark.slow


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import gpu_update

    return gpu_update


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu_update.py"), *arguments]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_it_runs_by_itself_and_writes_every_figure(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "--peak-tflops", "0.1", "--rounds", "1", "--json", "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["parity"]["passed"] and set(result["parity"]["errors"]) >= {"packed", "packed_split", "padded"}
    assert len(result["rows"]) == 4 and result["skipped"] == []
    arms = {"packed", "packed_kept", "padding_free", "padded"}
    for row in result["rows"]:
        assert set(row["seconds"]) == set(row["mfu"]) == arms
        assert set(row["ratio"]) == {"padding_free", "padded"} and all(ratio > 0 for ratio in row["ratio"].values())
        assert row["mfu"]["packed"] == pytest.approx(
            row["model_tflop"] / (0.1 * row["seconds"]["packed"]), rel=0.01, abs=1e-4
        )
        assert row["memory_mb"] is None
    assert "packed is" in done.stdout and "parity passed" in done.stdout
    # 8 x (28 + 16) tokens are more than the 256 of one pass.
    equal = next(row for row in result["rows"] if not row["case"]["ragged"])
    assert {"padding_free in 2 micro-batches", "padded in 2 micro-batches"} <= set(equal["notes"])


def test_it_names_what_the_time_does_not_allow(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert script.main([*SMALL, "--seconds", "0", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["rows"] == [] and len(result["skipped"]) == 4
    assert "16/16 G=8 ragged, tower trained: skipped, it would end after 0 s" in capsys.readouterr().out


def test_a_case_as_long_as_the_last_one_is_not_started_late(script: ModuleType) -> None:
    from gpu.timing import Clock

    clock = Clock(budget=100.0, started=time.perf_counter() - 60)
    clock.learn(seconds=20, flops=4.0)
    clock.learn(seconds=30, flops=10.0)
    assert clock.allows(7.9) and not clock.allows(8.1)
    clock.started -= 40
    assert not clock.allows(0.0)


def test_the_peak_of_a_device_is_found_by_its_name(script: ModuleType) -> None:
    from gpu.timing import peak_flops

    assert peak_flops("NVIDIA H100 80GB HBM3") == peak_flops("NVIDIA H200") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_flops("NVIDIA GeForce RTX 4090") is None


@pytest.mark.parametrize("arguments", [(), ("--device", "cuda"), ("--device", "cpu")])
def test_without_a_gpu_it_says_what_to_do(
    arguments: tuple[str, ...],
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script.main(arguments) == 2
    assert "--shape small" in capsys.readouterr().err


def dense(query: Tensor, key: Tensor, value: Tensor, spans: Spans, scaling: float, *, shift: int) -> Tensor:
    """One masked product; a completion sees all of its prompt but the last `shift` tokens."""
    seen = torch.zeros(key.shape[2], key.shape[2], dtype=torch.bool)
    for block in spans.blocks:
        seen[block.start : block.first, block.start : block.first] = True
        for start, length in zip(block.starts(), block.lengths, strict=True):
            seen[start : start + length, block.start : block.first - shift] = True
            seen[start : start + length, start : start + length] = True
    seen = seen.tril()[spans.kept :]
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_mask_that_is_wrong_by_one_position_fails(
    shift: int, script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cascade, "attend", lambda *args: dense(*args, shift=shift))
    out = tmp_path / "out.json"
    assert script.main([*SMALL, "--seconds", "0", "--json", str(out)]) == shift
    parity: dict[str, Any] = json.loads(out.read_text())["parity"]
    assert parity["passed"] == (shift == 0)
    assert (parity["ratio"]["packed"]["logp"] > 5) == (parity["ratio"]["packed_split"]["logp"] > 5) == bool(shift)
    assert parity["ratio"]["padding_free"]["logp"] < 1.5
    assert ("parity FAILED" in capsys.readouterr().out) == bool(shift)


def test_a_broken_tower_fails(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The padded batch that the others are held against runs the tower as transformers wrote it."""
    product = lambda self, patches: F.linear(patches.flatten(1), self.weight.flatten(1).flip(1))  # noqa: E731
    monkeypatch.setattr(vision.PatchProjection, "forward", product)
    assert script.main([*SMALL, "--seconds", "0"]) == 1


def test_windows_that_see_each_other_fail(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    real = vision.attend_windows

    def unbounded(*states: Any, cu_seq_lens_q: Tensor, **more: Any) -> Any:
        return real(*states, cu_seq_lens_q=cu_seq_lens_q[[0, -1]], **more)

    monkeypatch.setattr(vision, "attend_windows", unbounded)
    assert script.main([*SMALL, "--seconds", "0"]) == 1


def test_an_arm_that_runs_out_of_memory_is_reported(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gpu import arms

    padded = arms._padded

    def exhausted(policy: Any, rows: Sequence[Row]) -> Tensor:
        # The parity check has two prompts, a case has one.
        if len({id(prompt) for prompt, _ in rows}) == 1:
            raise torch.OutOfMemoryError
        return padded(policy, rows)

    monkeypatch.setattr(arms, "_padded", exhausted)
    every = script.make_cases
    monkeypatch.setattr(script, "make_cases", lambda shape: every(shape)[:1])
    out = tmp_path / "out.json"
    assert script.main([*SMALL, "--rounds", "1", "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert "padded ran out of memory" in row["notes"]
    assert set(row["ratio"]) == {"padding_free"} and "padded" not in row["seconds"]


def test_the_padded_arm_needs_no_mask(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the flash kernel can serve it; parity says that it is right all the same."""
    masks = []
    real = attention.sdpa_attention_forward

    def noting(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **more: Any) -> Any:
        masks.append(mask)
        return real(module, query, key, value, mask, **more)

    monkeypatch.setattr(attention, "sdpa_attention_forward", noting)
    assert script.main([*SMALL, "--seconds", "0"]) == 0
    assert masks and all(mask is None for mask in masks)
