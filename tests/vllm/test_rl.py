"""RL steps over a real server, as a user runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from micro import MICRO, ok
from vllm_server import Server

from metis_rise.run import read_jsonl

pytestmark = pytest.mark.vllm
# The server's log-probabilities leave out the banned ids, the trainer's do not: at single tokens of the tiny base these
# have a share of thousandths. What is left without them is in test_weights.py.
BANNED_SHARE = 1e-2
SETTINGS = (*MICRO, "rl.steps=2", "rl.filter_bounds=closed", "rl.refill_rounds=0", "engine.kind=server")


def steps(folder: Path, *settings: str) -> list[dict[str, Any]]:
    """What the RL steps of a run logged."""
    ok(folder, "rl", "tiny", *SETTINGS, *settings, "--name", "over-servers")
    run = folder / "runs" / "over-servers"
    assert not (run / "served").exists()
    rows = read_jsonl(run / "metrics.jsonl")
    return [row["values"] for row in rows if row["stage"] == "rl"]


def test_each_step_samples_with_the_weights_of_the_step_before(base: Server, tmp_path: Path):
    found = steps(tmp_path, f"engine.urls=[{base.url}]")
    assert len(found) == 2
    for values in found:
        assert values["staleness_max"] == 0
        assert values["sampler_gap"] < 1e-3 and values["sampler_gap_max"] < BANNED_SHARE
        assert 0 < values["probe_difference"] < 1e-3
    assert httpx2.get(f"{base.url}/weight_info").json() == {"weight_version": "2"}


def test_one_step_ahead_the_second_step_trains_on_what_the_first_weights_sampled(base: Server, tmp_path: Path):
    found = steps(tmp_path, f"engine.urls=[{base.url}]", "rl.max_staleness=1")
    assert [values["staleness_max"] for values in found] == [0, 1]
    assert found[0]["sampler_gap"] < 1e-3 and found[0]["sampler_gap_max"] < BANNED_SHARE
    assert all(0 < values["probe_difference"] < 1e-3 for values in found)
