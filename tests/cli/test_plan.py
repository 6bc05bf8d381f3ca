"""`rise plan` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from micro import ENVIRONMENT, MICRO, ok, rise

NOWHERE = ("problems.train=nowhere.jsonl", "problems.test=nowhere.jsonl")
SEVEN = ("user_jsonl", *NOWHERE, "model.path=Qwen/Qwen2.5-VL-7B-Instruct", "model.dtype=bfloat16")
STATED = (*SEVEN, "sampling.max_tokens=4096", "rl.micro_tokens=16384", "sft.micro_tokens=16384")


def test_a_stated_gpu_needs_neither_weights_nor_torch(tmp_path: Path):
    code = """
import sys
for heavy in ("torch", "transformers"):
    sys.modules[heavy] = None
from metis_rise.cli import main
main()
"""
    arguments = ["plan", *STATED, "--gpu", "a100-40gb", "--nodes", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["layout"]["gpus"], found["fits"], found["recipe"]) == (16, False, "user_jsonl")
    assert any("gradient_checkpointing" in line for line in found["advice"])
    assert any("data sheet of a100-40gb" in line for line in found["assumptions"])


def test_tables_say_what_does_not_fit_and_the_mend(tmp_path: Path):
    said = " ".join(ok(tmp_path, "plan", *STATED, "--gpu", "a100-40gb").split())
    assert "TOO LITTLE" in said
    assert "It does NOT fit." in said
    assert "bottleneck: " in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*STATED, "--gpu", "h100"), "override cluster.gpu=h100: cluster.gpu = 'h100': must be 'a100-40gb'"),
        ((*STATED, "--nodes", "8"), "must name the kind of GPU with cluster.nodes=8"),
        ((*STATED, "--gpu", "h100-80gb", "--completion-tokens", "5000"), "are above sampling.max_tokens (4096)"),
        (
            ("user_jsonl", *NOWHERE, "model.path=who/what", "--gpu", "h100-80gb"),
            "its config is not here; give a folder",
        ),
    ],
)
def test_faults_are_told_in_a_line(tmp_path: Path, arguments: tuple[str, ...], said: str):
    done = rise(tmp_path, "plan", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_this_machine_is_measured_and_a_run_can_say_what_it_was_like(tmp_path: Path):
    ok(tmp_path, "rl", "tiny", *MICRO, "--name", "before")
    here = json.loads(ok(tmp_path, "plan", "tiny", *MICRO, "--json"))
    assert here["layout"]["gpu"] is None
    assert here["step"]["step"] > 0 and here["memory"]["trainer"]["limit_mb"] is None
    assert any("measured here: cpu" in line for line in here["assumptions"])
    like = json.loads(ok(tmp_path, "plan", "tiny", *MICRO, "--like", "runs/before", "--json"))
    assert any("as runs/before did it" in line for line in like["assumptions"])


def test_a_launch_file_is_not_made_for_a_run_that_could_not_be_called_so(tmp_path: Path):
    done = rise(tmp_path, "launch", "qwen2_5_vl_7b", *NOWHERE, "--name", "a b")
    assert (done.returncode, done.stdout) == (2, "")
    assert "run name 'a b'" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_launch_file_for_machines_that_are_too_small_comes_with_a_warning(tmp_path: Path):
    done = rise(tmp_path, "launch", "qwen2_5_vl_7b", *NOWHERE, "cluster.gpus_per_node=1")
    assert done.returncode == 0 and done.stdout.startswith("#!/bin/bash")
    assert "warning: training needs " in done.stderr and "what would change that: cluster.nodes=" in done.stderr
